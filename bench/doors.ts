/** The front doors beside the native API, on one edge: what a protocol of another system costs over our own. */
import { join } from "node:path";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import type { BenchContext } from "./harness/context.ts";
import { writeDecryptRequest, writeEncryptRequest } from "./harness/kubernetes-messages.ts";
import { cpuSecondsOf, type ServerProcess, startServer } from "./harness/processes.ts";
import { compare, interleave, median, spread } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";
import { runWrk } from "./harness/wrk.ts";

export const about =
  "GenerateDataKey and Decrypt by the doors aws-kms and vault-transit against the native calls; a Kubernetes Decrypt";

const CONNECTIONS = 32;
const CALLS_IN_FLIGHT = 16;
/** What boto3 sends besides the body. */
const AWS_HEADERS = {
  "User-Agent":
    "Boto3/1.44.8 md/Botocore#1.44.8 ua/2.1 os/linux#6.18 md/arch#x86_64 lang/python#3.11.7 md/pyimpl#CPython m/Z,b,n,D cfg/retry-mode#legacy Botocore/1.44.8",
  "X-Amz-Date": "20261127T100000Z",
  Authorization: `AWS4-HMAC-SHA256 Credential=AKIDTEST0000000000001/20261127/us-east-1/kms/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=${"0".repeat(64)}`,
  "amz-sdk-invocation-id": "8f3f9c1e-6f0e-4f3e-9f4c-0f6b1a2c3d4e",
  "amz-sdk-request": "attempt=1",
  "Accept-Encoding": "identity",
};
/** What Vault's Go library sends. */
const VAULT_HEADERS = {
  "X-Vault-Token": "any",
  "X-Vault-Request": "true",
  "X-Vault-Namespace": "tenant-a",
  "Accept-Encoding": "gzip",
};

interface Call {
  readonly path: string;
  readonly body: object;
  readonly headers?: Readonly<Record<string, string>>;
}

type Protocol = "native" | "aws-kms" | "vault-transit";

export async function run(context: BenchContext): Promise<Row[]> {
  const unix = join(context.directory, "kms.sock");
  const edge = await startServer("edge.ts", {
    configuration: {
      listeners: [
        { http: "127.0.0.1:0", principal: "bench", doors: ["native", "aws-kms", "vault-transit"] },
        { unix, mode: "0600", principal: "bench", doors: ["kubernetes-kms"] },
      ],
      doors: { "kubernetes-kms": { tenant: "tenant-a", service: "billing" } },
      policies: [
        {
          principals: ["bench"],
          tenants: ["tenant-*"],
          services: ["*"],
          operations: ["create", "encrypt", "decrypt", "rewrap"],
        },
      ],
    },
  });
  context.cleanUp(() => edge.stop());
  return [...(await overHttp(context, edge)), await kubernetes(context, edge, unix)];
}

async function overHttp(context: BenchContext, edge: ServerProcess): Promise<Row[]> {
  const port = edge.ready.port as number;
  const kms = (operation: string) => ({
    ...AWS_HEADERS,
    "X-Amz-Target": `TrentService.${operation}`,
    "Content-Type": "application/x-amz-json-1.1",
  });
  const make: Record<Protocol, Call> = {
    native: { path: "/v1/keys/create", body: { tenant: "tenant-a", service: "billing", plaintext: true } },
    "aws-kms": {
      path: "/",
      body: { KeyId: "alias/tenant-a/billing", KeySpec: "AES_256" },
      headers: kms("GenerateDataKey"),
    },
    "vault-transit": { path: "/v1/transit/datakey/plaintext/billing", body: { bits: 256 }, headers: VAULT_HEADERS },
  };
  const made = {
    native: await ask(port, make.native),
    "aws-kms": await ask(port, make["aws-kms"]),
    "vault-transit": await ask(port, make["vault-transit"]),
  };
  const open: Record<Protocol, Call> = {
    native: { path: "/v1/keys/decrypt", body: { wrapped: made.native.wrapped } },
    "aws-kms": {
      path: "/",
      body: { CiphertextBlob: made["aws-kms"].CiphertextBlob, KeyId: made["aws-kms"].KeyId },
      headers: kms("Decrypt"),
    },
    "vault-transit": {
      path: "/v1/transit/decrypt/billing",
      body: { ciphertext: (made["vault-transit"].data as { ciphertext: string }).ciphertext },
      headers: VAULT_HEADERS,
    },
  };
  for (const call of Object.values(open)) await ask(port, call);

  const rows: Row[] = [];
  for (const [what, calls] of [
    ["a data key made", make],
    ["a data key opened", open],
  ] as const) {
    const sample = (protocol: Protocol) => async () => {
      const { path, body, headers = {} } = calls[protocol];
      const before = cpuSecondsOf(edge.pid);
      const seconds = Math.max(1, context.sampleMs / 1000);
      const load = await runWrk({ port, path, body: JSON.stringify(body), headers, connections: CONNECTIONS, seconds });
      if (load.errors > 0) throw new Error(`${load.errors} requests failed.`);
      return load.requests / (cpuSecondsOf(edge.pid) - before);
    };
    const samples = await interleave(
      { native: sample("native"), "aws-kms": sample("aws-kms"), "vault-transit": sample("vault-transit") },
      context.rounds,
    );
    for (const protocol of ["aws-kms", "vault-transit"] as const) {
      rows.push(
        row({
          name: `doors: ${what} by ${protocol}`,
          ...compare(samples[protocol], samples.native),
          baselineName: "the native call",
          unit: "requests per second of server's processor time",
          goal: { of: "ratio", atLeast: 0.6 },
          note: `${CONNECTIONS} connections; with the headers that ${protocol === "aws-kms" ? "boto3" : "Vault's Go library"} sends`,
        }),
      );
    }
  }
  return rows;
}

async function ask(port: number, { path, body, headers = {} }: Call): Promise<Record<string, unknown>> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`);
  return (await answer.json()) as Record<string, unknown>;
}

/** Processor time of one Decrypt, as an API server asks that starts with many seeds. */
async function kubernetes(context: BenchContext, edge: ServerProcess, unix: string): Promise<Row> {
  const client = new Client(`unix://${unix}`, credentials.createInsecure());
  context.cleanUp(() => client.close());
  const call = (method: string, message: Buffer): Promise<Buffer> =>
    new Promise((done, failed) => {
      const unchanged = (bytes: Buffer): Buffer => bytes;
      client.makeUnaryRequest(
        `/v2.KeyManagementService/${method}`,
        unchanged,
        unchanged,
        message,
        new Metadata(),
        (error, answer) => (error === null ? done(answer!) : failed(error)),
      );
    });
  const sealed = await call("Encrypt", writeEncryptRequest(Buffer.alloc(32, 7)));
  const request = writeDecryptRequest(sealed);
  const sample = async (): Promise<number> => {
    const before = cpuSecondsOf(edge.pid);
    const endMs = performance.now() + Math.max(1_000, context.sampleMs);
    let calls = 0;
    const caller = async (): Promise<void> => {
      for (; performance.now() < endMs; calls++) await call("Decrypt", request);
    };
    await Promise.all(Array.from({ length: CALLS_IN_FLIGHT }, caller));
    return ((cpuSecondsOf(edge.pid) - before) / calls) * 1e6;
  };
  const { decrypt } = await interleave({ decrypt: sample }, context.rounds);
  return row({
    name: "doors: Decrypt by kubernetes-kms",
    value: median(decrypt),
    spread: spread(decrypt),
    unit: "µs of server's processor time",
    goal: { of: "value", atMost: 150 },
    note: `${CALLS_IN_FLIGHT} calls in flight on one connection, seeds of 32 bytes`,
  });
}
