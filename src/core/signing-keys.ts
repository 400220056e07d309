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

/** The `typ` of a signed event: it can't be taken for any other kind of JWS. */
export const EVENT_JWS_TYPE = "crypto-edge-event";
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

  /** A new key signs from now on, at every Core. Returns its id. */
  async roll(): Promise<string> {
    this.#current = await makeKey(this.#options, "another");
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
        .map((row) => publicJwk(row.kid, row.publicKey)),
    };
    this.#readAtMs = this.#options.now();
  }
}

function base64url(text: string): string {
  return Buffer.from(text).toString("base64url");
}

/** `first`: only where no other Core has made one meanwhile; that one is taken then. */
async function makeKey(options: SigningKeysOptions, which: "first" | "another"): Promise<Current> {
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
        new Date(now() - RETIRED_KEY_MS).toISOString(),
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

function publicJwk(kid: string, spki: Uint8Array): JWK {
  const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  return { ...(key.export({ format: "jwk" }) as JWK), kid, alg: "EdDSA", use: "sig" };
}
