/**
 * What a browser keeps for the console: encrypted and authenticated (JWE, RFC 7516; `dir`, A256GCM), so that nobody reads, makes or
 * changes it. The key comes from the secret that all Cores of one master key share: any of them opens what another one sealed.
 */
import { createHmac } from "node:crypto";
import { EncryptJWT, type JWTPayload, jwtDecrypt } from "jose";
import type { Clock } from "../../base/time/clock.ts";
import { wipe } from "../../base/wipe.ts";

/** `__Host-`: the browser takes them over TLS from this host alone, and sends them nowhere else. */
const PREFIX = "__Host-crypto-edge-";
const MAX_COOKIE_BYTES = 4_096;

/** What a cookie is for; one does not pass for the other. */
export type CookieName = "session" | "sign-in";

export class SealedCookies {
  readonly #key: Uint8Array;
  readonly #clock: Clock;

  /** @param secret 32 bytes, which stay the caller's */
  constructor(secret: Uint8Array, clock: Clock) {
    this.#key = createHmac("sha256", secret).update("cookies").digest();
    this.#clock = clock;
  }

  /** A `Set-Cookie` header. `Lax`: the issuer's redirect leads back here from another site. */
  async seal(name: CookieName, content: JWTPayload, lifeMs: number): Promise<string> {
    const expires = new Date(this.#clock.wallMs() + lifeMs);
    const sealed = await new EncryptJWT(content)
      .setProtectedHeader({ alg: "dir", enc: "A256GCM" })
      .setAudience(name)
      .setExpirationTime(expires)
      .encrypt(this.#key);
    return `${PREFIX}${name}=${sealed}; Path=/; Secure; HttpOnly; SameSite=Lax; Expires=${expires.toUTCString()}`;
  }

  /** The content of a cookie that this Core, or one that shares its master key, sealed and that has not ended. */
  async open(name: CookieName, cookieHeader: string | undefined): Promise<JWTPayload | undefined> {
    const sealed = cookieOf(`${PREFIX}${name}`, cookieHeader);
    if (sealed === undefined) return undefined;
    try {
      const { payload } = await jwtDecrypt(sealed, this.#key, {
        keyManagementAlgorithms: ["dir"],
        contentEncryptionAlgorithms: ["A256GCM"],
        audience: name,
        requiredClaims: ["exp"],
        currentDate: new Date(this.#clock.wallMs()),
      });
      return payload;
    } catch {
      return undefined;
    }
  }

  /** A `Set-Cookie` header that makes the browser forget. */
  forget(name: CookieName): string {
    return `${PREFIX}${name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0`;
  }

  wipe(): void {
    wipe(this.#key);
  }
}

function cookieOf(name: string, header: string | undefined): string | undefined {
  for (const part of (header ?? "").split(";")) {
    const [key, value] = part.trim().split("=", 2);
    if (key === name && value !== undefined && value.length <= MAX_COOKIE_BYTES) return value;
  }
  return undefined;
}
