/** Service keys wrapped by AWS KMS and kept in a file. See README.md. */
import { DecryptCommand, KMSClient, KMSServiceException } from "@aws-sdk/client-kms";
import {
  contribution,
  Duration,
  definePlugin,
  type KeySource,
  KeySourceError,
  type LeasableState,
  type LeasedServiceKey,
  type LeaseGrant,
  LeaseTimes,
  leasableVersions,
  leaseTimesOf,
  messageOf,
  openVersions,
  Path,
  type PluginContext,
  Section,
  type Static,
  Type,
} from "crypto-edge/plugin";
import { encryptionContext, type WrappedKey, watchKeyFile } from "./wrapped-keys.ts";

const KmsSection = Section(
  {
    region: Type.String({
      pattern: "^[a-z0-9-]+$",
      expected: "a region such as eu-central-1",
      description: "The region.",
    }),
    key_id: Type.String({
      minLength: 1,
      description: "The KMS key's ARN, id or alias. A file wrapped under any other key does not open.",
    }),
    file: Path({ description: "The file of wrapped service keys, made by keys.ts." }),
    endpoint: Type.Optional(
      Type.String({
        pattern: "^(https://|http://(127\\.0\\.0\\.1|localhost|\\[::1\\])[:/])",
        expected: "an https:// URL (plain http:// on loopback only)",
        description: "Where KMS is, if not at the region's own address: a VPC endpoint, a FIPS endpoint.",
      }),
    ),
    timeout: Duration({ default: "3s", minimumMs: 10, description: "How long one call to KMS may take." }),
    ...LeaseTimes,
  },
  { description: "Service keys wrapped by AWS KMS. Credentials come from where the AWS SDK looks for them." },
);

const KEY_BYTES = 32;

/** What KMS says when it will not open a key for anybody, now and later: the operator has cut it off. */
const WITHDRAWN = new Set(["DisabledException", "KMSInvalidStateException"]);

export function createKmsSource(configuration: Static<typeof KmsSection>, { log }: PluginContext): KeySource {
  const { region, endpoint, key_id: keyId, file, timeout } = configuration;
  const times = leaseTimesOf(configuration);
  const client = new KMSClient({
    region,
    ...(endpoint === undefined ? {} : { endpoint }),
    // The edge asks again itself, in its own time.
    maxAttempts: 1,
  });
  const keys = watchKeyFile(file);
  let closed = false;
  let lastFailure: string | undefined;

  async function open(
    { tenant, service, version, state, wrapped }: WrappedKey & { state: LeasableState },
    signal: AbortSignal,
  ): Promise<LeasedServiceKey> {
    const { Plaintext: plaintext } = await client.send(
      new DecryptCommand({
        KeyId: keyId,
        CiphertextBlob: Buffer.from(wrapped, "base64"),
        EncryptionContext: encryptionContext({ tenant, service, version }),
      }),
      { abortSignal: AbortSignal.any([signal, AbortSignal.timeout(timeout)]) },
    );
    if (plaintext?.length === KEY_BYTES) return { version, state, key: plaintext };
    plaintext?.fill(0);
    throw new Error(`KMS opened something that is not ${KEY_BYTES} bytes`);
  }

  return {
    name: "aws-kms",

    health: () => (lastFailure === undefined ? { ok: true } : { ok: false, detail: lastFailure }),

    async lease({ tenant, service, version }, signal): Promise<LeaseGrant> {
      if (closed || signal.aborted)
        throw new KeySourceError("unavailable", "The source was closed, or the call given up.");
      try {
        const named = keys().filter((key) => key.tenant === tenant && key.service === service);
        const versions = await openVersions(
          leasableVersions(named, version),
          (key) => open(key, signal),
          () => signal.aborted || closed,
        );
        lastFailure = undefined;
        return { tenant, service, ...times, log: undefined, revocationSeq: 0, versions };
      } catch (error) {
        const failure = asKeySourceError(error);
        if (!failure.authoritative && !signal.aborted && !closed) {
          lastFailure = failure.message;
          log.warn({ reason: failure.message }, "no key from KMS");
        }
        throw failure;
      }
    },

    async close() {
      closed = true;
      client.destroy();
    },
  };
}

function asKeySourceError(error: unknown): KeySourceError {
  if (error instanceof KeySourceError) return error;
  const message = messageOf(error);
  if (error instanceof KMSServiceException) {
    const text = `KMS answers ${error.name}: ${message.slice(0, 200)}`;
    if (error.name === "AccessDeniedException") return new KeySourceError("edge_not_allowed", text, { cause: error });
    if (WITHDRAWN.has(error.name)) return new KeySourceError("key_revoked", text, { cause: error });
    return new KeySourceError("unavailable", text, { cause: error });
  }
  return new KeySourceError("unavailable", `KMS gives no key: ${message}`, { cause: error });
}

export default definePlugin({
  name: "aws-kms",
  apiVersion: 1,
  keySources: {
    "aws-kms": contribution({ configuration: KmsSection, create: createKmsSource }),
  },
});
