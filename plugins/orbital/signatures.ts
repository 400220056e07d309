/** Signatures of requests and answers: a compact JWS (PS256) in `metaData`, over the hash of a canonical text. */
import { createHash, createPrivateKey, type KeyObject, timingSafeEqual, X509Certificate } from "node:crypto";
import { CompactSign, compactVerify, decodeProtectedHeader } from "jose";
import type { IssuerKeys } from "./issuer-keys.ts";
import type { TaskRequest, TaskResponse } from "./task.ts";

export const SIGNATURE = "X-Message-Signature";
export const KEY_BITS_MIN = 3_072;
const NIL_UUID = "00000000-0000-0000-0000-000000000000";
const SIGNATURE_MAX = 8_192;

/** The signature of a request does not hold, or is missing where it has to be there. */
export class SignatureRefused extends Error {
  override readonly name = "SignatureRefused";
}

/** Who says what: an issuer of the configuration. */
export interface TrustedIssuer {
  readonly issuer: string;
  readonly keys: IssuerKeys;
}

/** A signature whose key has been found, not verified yet. */
export interface ClaimedSignature<Issuer extends TrustedIssuer> {
  readonly issuer: Issuer;
  /** @throws {SignatureRefused} where it does not hold */
  verify(): Promise<void>;
}

/**
 * Finds the key that a request claims to be signed by, which may take a while; undefined where it carries no signature.
 *
 * @throws {SignatureRefused}
 */
export async function claimedSignature<Issuer extends TrustedIssuer>(
  request: TaskRequest,
  issuers: readonly Issuer[],
): Promise<ClaimedSignature<Issuer> | undefined> {
  const token = request.metaData[SIGNATURE];
  if (token === undefined) return undefined;
  const { iss, kid, hash } = claimsOf(token);
  const issuer = issuers.find((each) => each.issuer === iss);
  if (issuer === undefined) throw new SignatureRefused("its issuer is not one of those configured");
  const key = await issuer.keys.find(kid);
  if (key === undefined) throw new SignatureRefused("the issuer's key set lacks the key that it names");
  return {
    issuer,
    async verify() {
      try {
        await compactVerify(token, key, { algorithms: ["PS256"] });
      } catch {
        throw new SignatureRefused("it was not made by the issuer's key");
      }
      const expected = sha256(canonicalRequest(request));
      const claimed = Buffer.from(hash, "base64url");
      if (claimed.length !== expected.length || !timingSafeEqual(claimed, expected)) {
        throw new SignatureRefused("it was made for another request");
      }
    },
  };
}

function claimsOf(token: string): { iss: string; kid: string; hash: string } {
  try {
    if (token.length > SIGNATURE_MAX) throw new Error("too long");
    const { alg, typ } = decodeProtectedHeader(token);
    if (alg !== "PS256" || typ !== "JWT") throw new Error("not PS256, or no JWT");
    const payload = Buffer.from(token.split(".")[1]!, "base64url").toString();
    const { iss, kid, hash, "hash-alg": algorithm } = JSON.parse(payload) as Record<string, unknown>;
    if (typeof iss !== "string" || typeof kid !== "string" || typeof hash !== "string" || algorithm !== "SHA256") {
      throw new Error("claims are missing");
    }
    return { iss, kid, hash };
  } catch {
    throw new SignatureRefused("it is no JWS (PS256) with the claims iss, kid, hash and hash-alg SHA256");
  }
}

/** Makes the signatures of answers. */
export class AnswerSigner {
  readonly #key: KeyObject;
  readonly #issuer: string;
  readonly #keyId: string;

  /** @throws Error for a key that can never work */
  constructor(options: { readonly issuer: string; readonly keyId: string; readonly privateKey: string }) {
    this.#issuer = options.issuer;
    this.#keyId = options.keyId;
    try {
      this.#key = createPrivateKey(options.privateKey);
    } catch {
      throw new Error("it holds no private key (PEM) without a password");
    }
    if (!isStrong(this.#key)) throw new Error(`it is no RSA key of ${KEY_BITS_MIN} bits or more`);
  }

  async sign(response: TaskResponse): Promise<TaskResponse> {
    const claims = {
      iss: this.#issuer,
      kid: this.#keyId,
      hash: sha256(canonicalResponse(response)).toString("base64url"),
      "hash-alg": "SHA256",
    };
    const token = await new CompactSign(Buffer.from(JSON.stringify(claims)))
      .setProtectedHeader({ typ: "JWT", alg: "PS256" })
      .sign(this.#key);
    return { ...response, metaData: { ...response.metaData, [SIGNATURE]: token } };
  }
}

/** The key of a JWK's first certificate (its `n` and `e` are not those of RFC 7518); undefined for one that must not be used. */
export function keyOfCertificate(certificate: string, nowMs: number): KeyObject | undefined {
  try {
    const { publicKey, validFrom, validTo } = new X509Certificate(Buffer.from(certificate, "base64"));
    const isCurrent = Date.parse(validFrom) <= nowMs && nowMs <= Date.parse(validTo);
    return isCurrent && isStrong(publicKey) ? publicKey : undefined;
  } catch {
    return undefined;
  }
}

function isStrong(key: KeyObject): boolean {
  return key.asymmetricKeyType === "rsa" && (key.asymmetricKeyDetails?.modulusLength ?? 0) >= KEY_BITS_MIN;
}

function canonicalRequest({ taskId, type, externalId, data, workingState, eTag }: TaskRequest): string {
  return `taskId:${idOf(taskId)},type:${type},externalId:${externalId},data:${base64(data)},workingState:${base64(workingState)},eTag:${eTag}`;
}

function canonicalResponse(response: TaskResponse): string {
  const { taskId, type, externalId, workingState, eTag, status, errorMessage = "", reconcileAfterSec } = response;
  return `taskId:${idOf(taskId)},type:${type},externalId:${externalId},workingState:${base64(workingState)},eTag:${eTag},status:${status},errorMessage:${errorMessage},reconcileAfterSec:${reconcileAfterSec}`;
}

const idOf = (taskId: string): string => (taskId === NIL_UUID ? "" : taskId);
const base64 = (bytes: Uint8Array | undefined): string => (bytes ? Buffer.from(bytes).toString("base64") : "");
const sha256 = (text: string): Buffer => createHash("sha256").update(text).digest();
