/** Signed events (core-protocol.md, "Revocations"): JWS compact serializations that the Core made, EdDSA. */
import { compactVerify, decodeProtectedHeader } from "jose";
import { messageOf } from "../../base/errors.ts";
import { CoreKeySet, type CoreKeySetOptions, EVENT_MAX_AGE_MS } from "./core-key-set.ts";
import { DroppedEvent } from "./dropped-event.ts";
import { JWS_MAX_LENGTH, parseRevocationEvent } from "./event-format.ts";
import type { RevocationEvent } from "./revocation-transport.ts";

export interface EventVerifier {
  /** @throws {DroppedEvent} for whatever must not be believed. */
  verify(jws: string): Promise<RevocationEvent>;
}

export interface EventVerifierOptions extends CoreKeySetOptions {
  /** An event made longer ago says nothing about a lease that can still be held; the longest lease lives an hour. */
  readonly maxAgeMs?: number;
}

/** The `typ` of the Core's events (core-protocol.md): nothing else that the Core's key may have signed is taken for one. */
const EVENT_JWS_TYPE = "crypto-edge-event";
/** How far the Core's clock may be ahead of this machine's. */
const CLOCK_SKEW_MS = 300_000;

/** Events remembered as verified: the same one comes by each broker. */
const VERIFIED_MAX = 64;

export function createEventVerifier(options: EventVerifierOptions): EventVerifier {
  const { clock, maxAgeMs = EVENT_MAX_AGE_MS } = options;
  const keys = new CoreKeySet(options);

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
      if (header.typ !== EVENT_JWS_TYPE) throw new Error(`typ must be ${EVENT_JWS_TYPE}: this is no event`);
      kid = header.kid;
    } catch (error) {
      throw new DroppedEvent("malformed", messageOf(error));
    }
    const key = await keys.find(kid);
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
      const ageMs = clock.wallMs() - Date.parse(event.at);
      if (ageMs > maxAgeMs) throw new DroppedEvent("too_old", "made longer ago than any lease lives");
      if (ageMs < -CLOCK_SKEW_MS)
        throw new DroppedEvent("from_future", "its time has not come yet: it would never age");
      return event;
    },
  };
}
