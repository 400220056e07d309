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
      if (clock.wallMs() - Date.parse(event.at) > maxAgeMs) {
        throw new DroppedEvent("too_old", "made longer ago than any lease lives");
      }
      return event;
    },
  };
}
