/**
 * Verifies AWS Signature Version 4, header form, over the raw request: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html.
 * The hash of the body is made here and never taken from the request; what the operation depends on must be signed.
 */
import { hash, timingSafeEqual } from "node:crypto";
import type { OperationError } from "../../../base/errors.ts";
import type { Principal } from "../../access/principal.ts";
import { hmacSha256 } from "../../cipher/hmac.ts";
import type { DoorRequest } from "../door.ts";
import { KmsError } from "./errors.ts";

export interface AccessKey {
  readonly id: string;
  readonly secret: string;
}

/** The parts of an `Authorization` header. */
export interface SignatureHeader {
  readonly accessKeyId: string;
  /** `20261127` */
  readonly day: string;
  readonly region: string;
  readonly service: string;
  readonly signedHeaders: readonly string[];
  /** 64 hex digits. */
  readonly signature: string;
}

const ALGORITHM = "AWS4-HMAC-SHA256";
const HEADER =
  /^AWS4-HMAC-SHA256 +Credential=([A-Za-z0-9_]{1,128})\/(\d{8})\/([a-z0-9-]{1,32})\/([a-z0-9-]{1,32})\/aws4_request, *SignedHeaders=([a-z0-9;_-]{1,4096}), *Signature=([0-9a-f]{64})$/;
const DATE = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/;
const SKEW_MAX_MS = 5 * 60_000;
/** Else one call could be made another: of the operation, of the time, of the place. */
const MUST_BE_SIGNED = ["host", "x-amz-date", "x-amz-target"] as const;
const SIGNING_KEYS_MAX = 1_024;

export function parseSignatureHeader(authorization: string): SignatureHeader | undefined {
  const match = HEADER.exec(authorization);
  if (match === null) return undefined;
  const [, accessKeyId, day, region, service, signedHeaders, signature] = match as unknown as string[];
  return {
    accessKeyId: accessKeyId!,
    day: day!,
    region: region!,
    service: service!,
    signedHeaders: signedHeaders!.split(";"),
    signature: signature!,
  };
}

export class SignatureVerifier {
  /** Each gives its secret of the time. */
  readonly #keys: ReadonlyMap<string, AccessKey>;
  /** What an unknown id is computed with, so that its refusal takes as long as a wrong signature's. */
  readonly #dummy = crypto.randomUUID() + crypto.randomUUID();
  readonly #now: () => number;
  /** By id, day and region: four hashes of the five that a signature takes. */
  readonly #signingKeys = new Map<string, { readonly secret: string | undefined; readonly key: Uint8Array }>();

  constructor(keys: readonly AccessKey[], now: () => number) {
    this.#keys = new Map(keys.map((key) => [key.id, key]));
    this.#now = now;
  }

  /** Who signed this request. @throws {KmsError} of code `unauthenticated` */
  verify(request: DoorRequest): Principal {
    const header = parseSignatureHeader(request.headers.get("authorization") ?? "");
    if (header === undefined) {
      throw refused("IncompleteSignatureException", "Authorization is not a signature of AWS4-HMAC-SHA256.");
    }
    const date = request.headers.get("x-amz-date") ?? "";
    this.#checkTime(date, header);
    if (header.service !== "kms")
      throw refused("InvalidSignatureException", "The signature's scope is not of the service kms.");
    checkSignedHeaders(request, header.signedHeaders);
    if (request.query !== "") throw refused("InvalidSignatureException", "Requests to AWS KMS have no query.");

    const secret = this.#keys.get(header.accessKeyId)?.secret;
    const scope = `${header.day}/${header.region}/kms/aws4_request`;
    const toSign = `${ALGORITHM}\n${date}\n${scope}\n${sha256Hex(canonicalRequest(request, header.signedHeaders))}`;
    const signature = hmacSha256(this.#signingKey(header, secret), utf8(toSign));
    const holds = timingSafeEqual(signature, Buffer.from(header.signature, "hex"));
    if (secret === undefined) throw refused("UnrecognizedClientException", "The access key id is not known here.");
    if (!holds) {
      throw refused(
        "InvalidSignatureException",
        "The signature does not hold: check the secret access key, and that no proxy changes Host, the signed headers or the body.",
      );
    }
    const { peer } = request.connection;
    return { kind: "access_key", name: header.accessKeyId, ...(peer === undefined ? {} : { peer }) };
  }

  #checkTime(date: string, { day }: SignatureHeader): void {
    const parts = DATE.exec(date);
    const atMs =
      parts === null
        ? Number.NaN
        : Date.UTC(+parts[1]!, +parts[2]! - 1, +parts[3]!, +parts[4]!, +parts[5]!, +parts[6]!);
    if (!date.startsWith(day) || Number.isNaN(atMs)) {
      throw refused(
        "InvalidSignatureException",
        "X-Amz-Date is missing, malformed, or not of the day in the signature's scope.",
      );
    }
    if (!(Math.abs(this.#now() - atMs) <= SKEW_MAX_MS)) {
      throw refused(
        "InvalidSignatureException",
        "The signature is more than five minutes old, or of the future: check both clocks.",
      );
    }
  }

  #signingKey({ accessKeyId, day, region }: SignatureHeader, secret: string | undefined): Uint8Array {
    const name = `${secret === undefined ? "" : accessKeyId}/${day}/${region}`;
    const known = this.#signingKeys.get(name);
    if (known !== undefined && known.secret === secret) return known.key;
    known?.key.fill(0);
    let key = hmacKey(utf8(`AWS4${secret ?? this.#dummy}`));
    for (const part of [day, region, "kms", "aws4_request"]) {
      const next = hmacSha256(key, utf8(part));
      key.fill(0);
      key = next;
    }
    if (this.#signingKeys.size >= SIGNING_KEYS_MAX) this.#forget();
    this.#signingKeys.set(name, { secret, key });
    return key;
  }

  #forget(): void {
    for (const { key } of this.#signingKeys.values()) key.fill(0);
    this.#signingKeys.clear();
  }
}

/** HMAC's own rule for keys that are longer than a block of its hash (RFC 2104, section 2). */
function hmacKey(secret: Uint8Array): Uint8Array {
  return secret.length <= 64 ? secret : hash("sha256", secret, "buffer");
}

function checkSignedHeaders({ headers }: DoorRequest, signed: readonly string[]): void {
  for (const [index, name] of signed.entries()) {
    if (index > 0 && !(signed[index - 1]! < name)) {
      throw refused("InvalidSignatureException", "SignedHeaders are not sorted, or hold a name twice.");
    }
    if (!headers.has(name))
      throw refused("InvalidSignatureException", "SignedHeaders hold a header that was not sent.");
  }
  for (const name of MUST_BE_SIGNED) {
    if (!signed.includes(name)) throw refused("InvalidSignatureException", `The header ${name} is not signed.`);
  }
  for (const name of headers.keys()) {
    if (name.startsWith("x-amz-") && !signed.includes(name)) {
      throw refused("InvalidSignatureException", "A header of AWS's own (x-amz-…) was sent and is not signed.");
    }
  }
}

/** The path is `/` and there is no query: the door has no other. */
function canonicalRequest({ method, path, headers, body }: DoorRequest, signed: readonly string[]): string {
  const lines = signed.map((name) => `${name}:${headers.get(name)!.trim().replace(/ +/g, " ")}\n`);
  return `${method}\n${path}\n\n${lines.join("")}\n${signed.join(";")}\n${hash("sha256", body, "hex")}`;
}

/** Header fields hold one character for each byte that came. */
function sha256Hex(text: string): string {
  return hash("sha256", Buffer.from(text, "latin1"), "hex");
}

function utf8(text: string): Uint8Array {
  return Buffer.from(text, "utf8");
}

function refused(type: string, message: string): OperationError {
  return new KmsError(type, message, "unauthenticated");
}
