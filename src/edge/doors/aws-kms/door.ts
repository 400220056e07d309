/**
 * The front door `aws-kms`: the JSON API of AWS KMS, for its SDKs and what is built on them (docs/door-aws-kms.md).
 *
 * @example
 * AWS_ENDPOINT_URL_KMS=http://127.0.0.1:7402 aws kms generate-data-key --key-id alias/tenant-a/billing --key-spec AES_256
 */
import { OperationError } from "../../../base/errors.ts";
import type { Caller, MaybePromise } from "../../operations/operations.ts";
import type {
  DoorAnswer,
  DoorContext,
  DoorFactory,
  DoorIdentity,
  DoorRequest,
  DoorRequestHead,
  HttpDoor,
} from "../door.ts";
import { parseJsonObject } from "../json-body.ts";
import type { AwsKmsConfiguration } from "./configuration.ts";
import { KmsError, writeKmsError } from "./errors.ts";
import { KeyNames } from "./key-names.ts";
import { operationOf } from "./operations.ts";
import { parseSignatureHeader, SignatureVerifier } from "./sigv4.ts";

/** Ciphertext, two contexts at their longest with every character escaped, and room. */
const BODY_BYTES_MAX = 131_072;
const HEADERS = { "Content-Type": "application/x-amz-json-1.1" };
const SCOPE_REGION = /Credential=[^/,]{1,128}\/\d{8}\/([a-z0-9-]{1,32})\/kms\//;
/** DescribeKey has another name for it. */
const DESCRIBE_TYPES = { lease_unavailable: { type: "DependencyTimeoutException", status: 503 } };

export const door: DoorFactory<AwsKmsConfiguration> = {
  create: (section, context) => createAwsKmsDoor(section, context),
};

function createAwsKmsDoor(section: AwsKmsConfiguration, { operations, log, now }: DoorContext): HttpDoor {
  const names = new KeyNames({ account: section.account, table: section.keys });
  const verifier =
    section.access_keys.length === 0 ? undefined : new SignatureVerifier(section.access_keys, () => now.wallMs());

  const answer = (body: string): DoorAnswer => ({ status: 200, headers: HEADERS, body });

  function handle(request: DoorRequest, caller: Caller): MaybePromise<DoorAnswer> {
    const { headers } = request;
    const failed = (error: unknown): DoorAnswer => {
      const requestId = caller.requestId?.toString();
      if (!(error instanceof OperationError))
        log.error({ err: error, request_id: requestId }, "a KMS request failed by a defect");
      return writeKmsError(
        error,
        requestId,
        headers.get("x-amz-target") === "TrentService.DescribeKey" ? DESCRIBE_TYPES : undefined,
      );
    };
    try {
      const operation = operationOf(headers.get("x-amz-target"));
      const body = parseJsonObject(request.body);
      if (body === undefined) throw new KmsError("SerializationException", "The body is not a JSON object.");
      const region = (): string => SCOPE_REGION.exec(headers.get("authorization") ?? "")?.[1] ?? section.region;
      const made = operation({ operations, names, caller, body, region, account: section.account });
      return made instanceof Promise ? made.then(answer, failed) : answer(made);
    } catch (error) {
      return failed(error);
    }
  }

  return {
    name: "aws-kms",
    transport: "http",
    routes: [{ methods: ["POST"], path: "/", bodyBytesMax: BODY_BYTES_MAX, handle }],
    identify({ headers }): DoorIdentity {
      const token = headers.get("x-amz-security-token");
      if (token !== undefined) return { kind: "token", token };
      const signature = verifier && parseSignatureHeader(headers.get("authorization") ?? "");
      return signature ? { kind: "unproven", load: `access-key:${signature.accessKeyId}` } : { kind: "none" };
    },
    ...(verifier === undefined ? {} : { prove: (request: DoorRequest) => verifier.verify(request) }),
    refuse(error, head) {
      return writeKmsError(asUnauthenticated(error, head, now.wallMs()), undefined);
    },
  };
}

/** AWS's own names for why nobody is known. */
function asUnauthenticated(error: unknown, { headers }: DoorRequestHead, nowMs: number): unknown {
  if (!(error instanceof OperationError) || error.code !== "unauthenticated" || error instanceof KmsError) return error;
  const token = headers.get("x-amz-security-token");
  if (token !== undefined) {
    return hasExpired(token, nowMs) ? new KmsError("ExpiredTokenException", error.message, "unauthenticated") : error;
  }
  if (headers.has("authorization")) return error;
  return new KmsError(
    "MissingAuthenticationTokenException",
    "Present a client certificate, a token of an accepted issuer as AWS_SESSION_TOKEN, or a signature with a configured access key.",
    "unauthenticated",
  );
}

/** Of a token that was refused already: only which of two words the refusal has. */
function hasExpired(token: string, nowMs: number): boolean {
  try {
    const { exp } = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8")) as {
      exp?: unknown;
    };
    return typeof exp === "number" && exp * 1000 <= nowMs;
  } catch {
    return false;
  }
}
