/** The Core's answer to a lease call (core-protocol.md, "Leases"): checked against what was asked for, and its keys opened. */
import { SERVICE_KEY_BYTES } from "../../../base/service-key.ts";
import { wipe } from "../../../base/wipe.ts";
import type { LeasedServiceKey, LeaseGrant, LeaseRequest } from "../key-source.ts";
import { type LeaseAnswer, type SealedVersion, wrongInLease } from "./answer-shapes.ts";
import { CoreCallError } from "./core-call-error.ts";
import { type LeaseRecipient, leaseAad } from "./hpke-open.ts";
import { turnForLease } from "./turn-for-lease.ts";

/** One sealed version, in buffers that are used again: it is opened in one go, and its texts are as long as they must be. */
const ENC = Buffer.alloc(32);
const SEALED = Buffer.alloc(SERVICE_KEY_BYTES + 16);

/**
 * The grant that an answer holds; many keys are opened in turns with everyone's requests. The key buffers are the caller's, who wipes them.
 *
 * @throws CoreCallError where the answer is malformed, is for something else than was asked for, or does not open; no key is left then
 */
export async function openLeaseAnswer(
  body: unknown,
  request: LeaseRequest,
  recipient: LeaseRecipient,
  core: string,
): Promise<LeaseGrant> {
  const lease = checkLeaseAnswer(body, request, core);
  const versions: LeasedServiceKey[] = [];
  for (const sealed of lease.versions) {
    const turn = turnForLease();
    if (turn !== undefined) await turn;
    openVersion(lease, sealed, recipient, versions, core);
  }
  return {
    tenant: lease.tenant,
    service: lease.service,
    ttlMs: lease.ttl_seconds * 1_000,
    refreshAfterMs: Math.min(lease.refresh_after_seconds, lease.ttl_seconds) * 1_000,
    log: lease.log,
    revocationSeq: lease.revocation_seq,
    versions,
  };
}

function checkLeaseAnswer(body: unknown, request: LeaseRequest, core: string): LeaseAnswer {
  const wrong = wrongInLease(body);
  if (wrong !== undefined) {
    throw new CoreCallError(`${core} answered with a malformed lease${wrong === "" ? "" : ` (at ${wrong})`}`);
  }
  const lease = body as LeaseAnswer;
  if (lease.tenant !== request.tenant || lease.service !== request.service) {
    throw new CoreCallError(`${core} answered with a lease for another tenant or service than was asked for`);
  }
  const { versions } = lease;
  let active = 0;
  for (const { state } of versions) if (state === "active") active++;
  if (active > 1 || hasOneTwice(versions)) {
    throw new CoreCallError(`${core} answered with a lease whose versions contradict each other`);
  }
  if (
    request.version === undefined ? active !== 1 : versions.length !== 1 || versions[0]!.version !== request.version
  ) {
    throw new CoreCallError(`${core} answered with a lease for other versions than were asked for`);
  }
  return lease;
}

function hasOneTwice(versions: LeaseAnswer["versions"]): boolean {
  return versions.length > 1 && new Set(versions.map(({ version }) => version)).size !== versions.length;
}

/** Adds it to those that were opened. @throws CoreCallError where it does not open; those that did are wiped. */
function openVersion(
  lease: LeaseAnswer,
  { version, state, enc, sealed }: SealedVersion,
  recipient: LeaseRecipient,
  opened: LeasedServiceKey[],
  core: string,
): void {
  try {
    ENC.write(enc, "base64url");
    SEALED.write(sealed, "base64url");
    const key = recipient.open(ENC, SEALED, leaseAad(lease.tenant, lease.service, version));
    opened.push({ version, state, key });
    if (key.length !== SERVICE_KEY_BYTES) throw new RangeError("a service key has 32 bytes");
  } catch (error) {
    for (const { key } of opened) wipe(key);
    throw new CoreCallError(`a key that ${core} leased does not open: it was sealed for another edge or name`, {
      cause: error,
    });
  }
}
