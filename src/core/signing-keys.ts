/**
 * The keys that sign events for third parties: Ed25519, kept wrapped under the master key, served as a JWK set.
 *
 * Rollover: the new key signs from now on; the old one stays in the set for as long as an event that it signed may be
 * on its way.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { calculateJwkThumbprint, type JSONWebKeySet, type JWK } from "jose";
import { wipe } from "../base/wipe.ts";
import type { CoreEvent } from "./events.ts";
import type { KeyStore } from "./key-store.ts";

/** The `typ` of a signed event: it can't be taken for any other kind of JWS. */
export const EVENT_JWS_TYPE = "crypto-edge-event";
/** How long a retired key stays in the set. */
const RETIRED_KEY_MS = 24 * 3_600_000;

interface Current {
  readonly kid: string;
  readonly privateKey: KeyObject;
}

export class SigningKeys {
  readonly #store: KeyStore;
  readonly #now: () => number;
  #current: Current;
  #jwks: JSONWebKeySet;

  /** Opens the newest key, or makes the first one. */
  static async open(store: KeyStore, now: () => number): Promise<SigningKeys> {
    const row = store.db
      .query<{ kid: string; private_key: Uint8Array }, []>(
        "SELECT kid, private_key FROM signing_keys WHERE retired_at IS NULL ORDER BY created_at DESC LIMIT 1",
      )
      .get();
    const current = row === null ? await makeKey(store, now()) : openKey(store, row.kid, row.private_key);
    return new SigningKeys(store, now, current);
  }

  private constructor(store: KeyStore, now: () => number, current: Current) {
    this.#store = store;
    this.#now = now;
    this.#current = current;
    this.#jwks = this.#readJwks();
  }

  get kid(): string {
    return this.#current.kid;
  }

  /** `GET /core/v1/keys`. */
  get jwks(): JSONWebKeySet {
    return this.#jwks;
  }

  /**
   * The JWS compact serialization (RFC 7515, section 7.1; EdDSA) of an event's JSON. In the call that committed the event, where a
   * library's promise would come back behind whatever else the Core is being asked.
   */
  sign(event: CoreEvent): string {
    const { kid, privateKey } = this.#current;
    const header = base64url(JSON.stringify({ alg: "EdDSA", kid, typ: EVENT_JWS_TYPE }));
    const signed = `${header}.${base64url(JSON.stringify(event))}`;
    return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString("base64url")}`;
  }

  /** A new key signs from now on. Returns its id. */
  async roll(): Promise<string> {
    this.#current = await makeKey(this.#store, this.#now());
    this.#jwks = this.#readJwks();
    return this.#current.kid;
  }

  #readJwks(): JSONWebKeySet {
    const since = new Date(this.#now() - RETIRED_KEY_MS).toISOString();
    this.#store.db.query("DELETE FROM signing_keys WHERE retired_at < ?").run(since);
    const rows = this.#store.db
      .query<{ kid: string; public_key: Uint8Array }, []>(
        "SELECT kid, public_key FROM signing_keys ORDER BY created_at DESC",
      )
      .all();
    return { keys: rows.map((row) => publicJwk(row.kid, row.public_key)) };
  }
}

function base64url(text: string): string {
  return Buffer.from(text).toString("base64url");
}

async function makeKey(store: KeyStore, nowMs: number): Promise<Current> {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const spki = publicKey.export({ format: "der", type: "spki" });
  const kid = await calculateJwkThumbprint(publicKey.export({ format: "jwk" }) as JWK);
  const secret = privateKey.export({ format: "der", type: "pkcs8" });
  const wrapped = store.wrapOwn(kid, secret);
  wipe(secret);
  const at = new Date(nowMs).toISOString();
  store.db.transaction(() => {
    store.db.query("UPDATE signing_keys SET retired_at = ? WHERE retired_at IS NULL").run(at);
    store.db
      .query("INSERT INTO signing_keys (kid, public_key, private_key, created_at) VALUES (?, ?, ?, ?)")
      .run(kid, spki, wrapped, at);
  })();
  return { kid, privateKey };
}

function openKey(store: KeyStore, kid: string, wrapped: Uint8Array): Current {
  const secret = store.unwrapOwn(kid, wrapped);
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
