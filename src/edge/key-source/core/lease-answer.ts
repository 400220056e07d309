/** The Core's answer to a lease call (core-protocol.md, "Leases"): checked against what was asked for, and its keys opened. */
import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { SERVICE_KEY_BYTES } from "../../../base/service-key.ts";
import { wipe } from "../../../base/wipe.ts";
import type { LeasedServiceKey, LeaseGrant, LeaseRequest } from "../key-source.ts";
import { CoreCallError } from "./core-connection.ts";
import { type LeaseRecipient, leaseAad } from "./hpke-open.ts";

const LeaseAnswer = Type.Object({
  tenant: Type.String({ maxLength: 128 }),
  service: Type.String({ maxLength: 128 }),
  ttl_seconds: Type.Number({ exclusiveMinimum: 0, maximum: 86_400 * 366 }),
  refresh_after_seconds: Type.Number({ exclusiveMinimum: 0, maximum: 86_400 * 366 }),
  log: Type.String({ minLength: 1, maxLength: 64, pattern: "^[A-Za-z0-9_-]+$" }),
  revocation_seq: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  versions: Type.Array(
    Type.Object({
      version: Type.Integer({ minimum: 1, maximum: 2 ** 32 - 1 }),
      state: Type.Union([Type.Literal("active"), Type.Literal("deprecated")]),
      // 32 bytes; 32 bytes and a tag of 16
      enc: Type.String({ pattern: "^[A-Za-z0-9_-]{43}$" }),
      sealed: Type.String({ pattern: "^[A-Za-z0-9_-]{64}$" }),
    }),
    { minItems: 1, maxItems: 128 },
  ),
});
const isLeaseAnswer = TypeCompiler.Compile(LeaseAnswer);

/**
 * The grant that an answer holds. The key buffers are the caller's, who wipes them.
 *
 * @throws CoreCallError where the answer is malformed, is for something else than was asked for, or does not open; no key is left then
 */
export function openLeaseAnswer(
  body: unknown,
  request: LeaseRequest,
  recipient: LeaseRecipient,
  core: string,
): LeaseGrant {
  const lease = checkLeaseAnswer(body, request, core);
  return {
    tenant: lease.tenant,
    service: lease.service,
    ttlMs: lease.ttl_seconds * 1_000,
    refreshAfterMs: Math.min(lease.refresh_after_seconds, lease.ttl_seconds) * 1_000,
    log: lease.log,
    revocationSeq: lease.revocation_seq,
    versions: openVersions(lease, recipient, core),
  };
}

function checkLeaseAnswer(body: unknown, request: LeaseRequest, core: string): Static<typeof LeaseAnswer> {
  if (!isLeaseAnswer.Check(body)) {
    const where = isLeaseAnswer.Errors(body).First()?.path ?? "";
    throw new CoreCallError(`${core} answered with a malformed lease${where === "" ? "" : ` (at ${where})`}`);
  }
  if (body.tenant !== request.tenant || body.service !== request.service) {
    throw new CoreCallError(`${core} answered with a lease for another tenant or service than was asked for`);
  }
  const versions = new Set(body.versions.map((one) => one.version));
  const active = body.versions.filter((one) => one.state === "active").length;
  if (versions.size !== body.versions.length || active > 1) {
    throw new CoreCallError(`${core} answered with a lease whose versions contradict each other`);
  }
  if (request.version === undefined ? active !== 1 : versions.size !== 1 || !versions.has(request.version)) {
    throw new CoreCallError(`${core} answered with a lease for other versions than were asked for`);
  }
  return body;
}

/** @throws CoreCallError where one does not open; those that did are wiped. */
function openVersions(lease: Static<typeof LeaseAnswer>, recipient: LeaseRecipient, core: string): LeasedServiceKey[] {
  const opened: LeasedServiceKey[] = [];
  try {
    for (const { version, state, enc, sealed } of lease.versions) {
      const aad = leaseAad(lease.tenant, lease.service, version);
      const key = recipient.open(Buffer.from(enc, "base64url"), Buffer.from(sealed, "base64url"), aad);
      opened.push({ version, state, key });
      if (key.length !== SERVICE_KEY_BYTES) throw new RangeError("a service key has 32 bytes");
    }
  } catch (error) {
    for (const { key } of opened) wipe(key);
    throw new CoreCallError(`a key that ${core} leased does not open: it was sealed for another edge or name`, {
      cause: error,
    });
  }
  return opened;
}
