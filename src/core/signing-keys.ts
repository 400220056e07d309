/**
 * The keys that sign events for third parties: Ed25519, kept wrapped under the master key, served as a JWK set.
 *
 * Rollover: the new key signs from now on; the old one stays in the set for as long as an event that it signed may be
 * on its way.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { calculateJwkThumbprint, type JSONWebKeySet, type JWK } from "jose";
import { wipe } from "../base/wipe.ts";
import type { KeyHierarchy } from "./keys/hierarchy.ts";
import type { CoreEvent } from "./protocol/events.ts";
import type { SigningKeyRow, Store } from "./store/store.ts";

/** The `typ` of a signed event, which verifiers demand: no other kind of JWS is taken for one. */
const EVENT_JWS_TYPE = "crypto-edge-event";
/** How long a retired key stays in the set. */
const RETIRED_KEY_MS = 24 * 3_600_000;

interface Current {
  readonly kid: string;
  readonly privateKey: KeyObject;
}

/** How long an answer to `GET /core/v1/keys` may be behind a roll by another Core. */
const JWKS_FRESH_MS = 1_000;

export interface SigningKeysOptions {
  readonly store: Store;
  readonly hierarchy: KeyHierarchy;
  readonly now: () => number;
}

export class SigningKeys {
  readonly #options: SigningKeysOptions;
  #current: Current;
  #jwks: JSONWebKeySet = { keys: [] };
  #readAtMs = Number.NEGATIVE_INFINITY;

  /** Opens the newest key, or makes the first one. */
  static async open(options: SigningKeysOptions): Promise<SigningKeys> {
    const rows = await options.store.signingKeys();
    const newest = rows.find((row) => row.retiredAt === undefined);
    const current = newest === undefined ? await makeKey(options, "first") : openKey(options, newest);
    const keys = new SigningKeys(options, current);
    await keys.refresh();
    return keys;
  }

  private constructor(options: SigningKeysOptions, current: Current) {
    this.#options = options;
    this.#current = current;
  }

  get kid(): string {
    return this.#current.kid;
  }

  /** `GET /core/v1/keys`: with the keys that other Cores have made. The last ones known while the store is away. */
  async jwks(): Promise<JSONWebKeySet> {
    if (Math.abs(this.#options.now() - this.#readAtMs) >= JWKS_FRESH_MS) await this.refresh().catch(() => undefined);
    return this.#jwks;
  }

  /**
   * The JWS compact serialization (RFC 7515, section 7.1; EdDSA) of an event's JSON. In the call that learnt of the event, where a
   * library's promise would come back behind whatever else the Core is being asked.
   */
  sign(event: CoreEvent): string {
    const { kid, privateKey } = this.#current;
    const header = base64url(JSON.stringify({ alg: "EdDSA", kid, typ: EVENT_JWS_TYPE }));
    const signed = `${header}.${base64url(JSON.stringify(event))}`;
    return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString("base64url")}`;
  }

  /**
   * A new key signs from now on, at every Core. The old one stays in the set for a day; `withdraw`, for one that was stolen, takes it
   * and all before it out at once. Returns the new one's id.
   */
  async roll({ withdraw = false }: { readonly withdraw?: boolean } = {}): Promise<string> {
    this.#current = await makeKey(this.#options, withdraw ? "the only one" : "another");
    await this.refresh();
    return this.#current.kid;
  }

  /** Takes over what another Core has rolled. */
  async refresh(): Promise<void> {
    const rows = await this.#options.store.signingKeys();
    const newest = rows.find((row) => row.retiredAt === undefined);
    if (newest !== undefined && newest.kid !== this.#current.kid) this.#current = openKey(this.#options, newest);
    const since = new Date(this.#options.now() - RETIRED_KEY_MS).toISOString();
    this.#jwks = {
      keys: rows
        .filter(({ retiredAt }) => retiredAt === undefined || retiredAt >= since)
        .flatMap((row) => publicJwk(this.#options, row)),
    };
    this.#readAtMs = this.#options.now();
  }
}

function base64url(text: string): string {
  return Buffer.from(text).toString("base64url");
}

/**
 * `first`: only where no other Core has made one meanwhile; that one is taken then. `the only one`: every other one is forgotten.
 */
async function makeKey(options: SigningKeysOptions, which: "first" | "another" | "the only one"): Promise<Current> {
  const { store, hierarchy, now } = options;
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const spki = publicKey.export({ format: "der", type: "spki" });
  const kid = await calculateJwkThumbprint(publicKey.export({ format: "jwk" }) as JWK);
  const secret = privateKey.export({ format: "der", type: "pkcs8" });
  try {
    return await store.change(async (change) => {
      const known = (await change.signingKeys()).find((row) => row.retiredAt === undefined);
      if (which === "first" && known !== undefined) return openKey(options, known);
      await change.insertSigningKey(
        { kid, publicKey: spki, wrappedPrivateKey: await hierarchy.wrap(change, ["signing", kid], secret) },
        new Date(now()).toISOString(),
        // Retired at this very moment is the one that signed until now.
        new Date(which === "the only one" ? now() + 1 : now() - RETIRED_KEY_MS).toISOString(),
      );
      return { kid, privateKey };
    });
  } finally {
    wipe(secret);
  }
}

function openKey({ hierarchy }: SigningKeysOptions, { kid, wrappedPrivateKey }: SigningKeyRow): Current {
  const secret = hierarchy.unwrap(["signing", kid], wrappedPrivateKey);
  try {
    return {
      kid,
      privateKey: createPrivateKey({
        key: Buffer.from(secret.buffer, secret.byteOffset, secret.length),
        format: "der",
        type: "pkcs8",
      }),
    };
  } finally {
    wipe(secret);
  }
}

/**
 * The public half, made from the private one, which the master key protects: a row that someone put into the database is not
 * served as the Core's. Nothing for such a row.
 */
function publicJwk(options: SigningKeysOptions, row: SigningKeyRow): JWK[] {
  let current: Current;
  try {
    current = openKey(options, row);
  } catch {
    return [];
  }
  const jwk = createPublicKey(current.privateKey as unknown as Parameters<typeof createPublicKey>[0]).export({
    format: "jwk",
  });
  return [{ ...(jwk as JWK), kid: row.kid, alg: "EdDSA", use: "sig" }];
}
