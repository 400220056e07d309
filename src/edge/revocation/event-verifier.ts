/** Signed events (core-protocol.md, "Revocations"): JWS compact serializations that the Core made, EdDSA. */
import { type CryptoKey, compactVerify, decodeProtectedHeader, importJWK, type JSONWebKeySet } from "jose";
import { messageOf } from "../../base/errors.ts";
import type { Clock } from "../../base/time/clock.ts";
import { DroppedEvent } from "./dropped-event.ts";
import { JWS_MAX_LENGTH, parseRevocationEvent } from "./event-format.ts";
import type { RevocationEvent } from "./revocation-transport.ts";

export interface EventVerifier {
  /** @throws {DroppedEvent} for whatever must not be believed. */
  verify(jws: string): Promise<RevocationEvent>;
}

export interface EventVerifierOptions {
  /** `GET /core/v1/keys`, over mTLS. */
  readonly fetchKeys: (signal: AbortSignal) => Promise<JSONWebKeySet>;
  readonly clock: Clock;
  /** An event made longer ago says nothing about a lease that can still be held; the longest lease lives an hour. */
  readonly maxAgeMs?: number;
  /** A key that the Core has withdrawn is trusted no longer than this. */
  readonly keysMaxAgeMs?: number;
  /** The least time between two fetches, so that forged key ids don't become load on the Core. */
  readonly refetchAfterMs?: number;
  readonly fetchTimeoutMs?: number;
}

const KEYS_MAX = 32;
/** Events remembered as verified: the same one comes by each broker. */
const VERIFIED_MAX = 64;

export function createEventVerifier(options: EventVerifierOptions): EventVerifier {
  const { fetchKeys, clock } = options;
  const maxAgeMs = options.maxAgeMs ?? 3_600_000;
  const keysMaxAgeMs = options.keysMaxAgeMs ?? 300_000;
  const refetchAfterMs = options.refetchAfterMs ?? 5_000;
  const fetchTimeoutMs = options.fetchTimeoutMs ?? 5_000;

  let keys = new Map<string, CryptoKey>();
  let fetchedMs = Number.NEGATIVE_INFINITY;
  let triedMs = Number.NEGATIVE_INFINITY;
  let failure = "not asked yet";
  /** The last fetch failed: then the next one is made beside the events, and none of them waits for it. */
  let failing = false;
  let fetching: Promise<void> | undefined;

  async function fetchNow(): Promise<void> {
    triedMs = clock.monotonicMs();
    const controller = new AbortController();
    const timer = clock.schedule(fetchTimeoutMs, () => controller.abort());
    const aborted = new Promise<never>((_, reject) => {
      controller.signal.addEventListener("abort", () => reject(new Error(`no answer in ${fetchTimeoutMs} ms`)));
    });
    aborted.catch(() => {});
    try {
      const set = await Promise.race([fetchKeys(controller.signal), aborted]);
      const imported = new Map<string, CryptoKey>();
      for (const jwk of set.keys.slice(0, KEYS_MAX)) {
        if (jwk.kid === undefined || jwk.kty !== "OKP" || jwk.crv !== "Ed25519") continue;
        imported.set(jwk.kid, (await importJWK(jwk, "EdDSA")) as CryptoKey);
      }
      keys = imported;
      fetchedMs = clock.monotonicMs();
      failing = false;
    } catch (error) {
      failure = messageOf(error);
      failing = true;
      triedMs = clock.monotonicMs();
    } finally {
      timer.cancel();
    }
  }

  /** One fetch for all who wait; none when the last was a moment ago. */
  function refresh(): Promise<void> {
    if (fetching === undefined) {
      if (clock.monotonicMs() - triedMs < refetchAfterMs) return Promise.resolve();
      fetching = fetchNow().finally(() => {
        fetching = undefined;
      });
    }
    return fetching;
  }

  /** Waits for a fetch that can be expected to succeed. */
  function refreshed(): Promise<void> {
    const fetched = refresh();
    return failing ? Promise.resolve() : fetched;
  }

  async function keyFor(kid: string): Promise<CryptoKey> {
    if (clock.monotonicMs() - fetchedMs >= keysMaxAgeMs) {
      await refreshed();
      // The Core may be away: the last set goes on for a while, as leases do, but not for ever.
      if (clock.monotonicMs() - fetchedMs >= maxAgeMs) throw new DroppedEvent("no_key", `no key set: ${failure}`);
    }
    let key = keys.get(kid);
    if (key === undefined) {
      await refreshed();
      key = keys.get(kid);
    }
    if (key === undefined) throw new DroppedEvent("no_key", "the Core's key set lacks the key that the event names");
    return key;
  }

  /** What was signed and is the Core's. The promises of those that are not are not kept. */
  const verified = new Map<string, Promise<RevocationEvent>>();

  function verifyOnce(jws: string): Promise<RevocationEvent> {
    const known = verified.get(jws);
    if (known !== undefined) return known;
    const verifying = verifySignature(jws);
    verified.set(jws, verifying);
    verifying.catch(() => verified.delete(jws));
    for (const oldest of verified.keys()) {
      if (verified.size <= VERIFIED_MAX) break;
      verified.delete(oldest);
    }
    return verifying;
  }

  async function verifySignature(jws: string): Promise<RevocationEvent> {
    let kid: string;
    try {
      const header = decodeProtectedHeader(jws);
      if (header.alg !== "EdDSA" || typeof header.kid !== "string") throw new Error("alg must be EdDSA, with a kid");
      kid = header.kid;
    } catch (error) {
      throw new DroppedEvent("malformed", messageOf(error));
    }
    const key = await keyFor(kid);
    let payload: Uint8Array;
    try {
      ({ payload } = await compactVerify(jws, key, { algorithms: ["EdDSA"] }));
    } catch {
      throw new DroppedEvent("bad_signature", "the signature is not the Core's");
    }
    try {
      return parseRevocationEvent(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload)));
    } catch (error) {
      throw new DroppedEvent("malformed", messageOf(error));
    }
  }

  return {
    async verify(jws) {
      if (jws.length > JWS_MAX_LENGTH) throw new DroppedEvent("malformed", "longer than any event");
      const event = await verifyOnce(jws);
      if (clock.wallMs() - Date.parse(event.at) > maxAgeMs) {
        throw new DroppedEvent("too_old", "made longer ago than any lease lives");
      }
      return event;
    },
  };
}
