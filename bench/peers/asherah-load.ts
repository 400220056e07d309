/**
 * Loads Asherah's sidecar: streams that each ask again as soon as they were answered, until the seconds are over.
 * Argument: JSON of { socket, operation, connections, seconds }. Prints { requests, latencyMs: { p50, p99 } }.
 */
import { Client, credentials } from "@grpc/grpc-js";
import protobuf from "protobufjs";

/** The fields of https://github.com/godaddy/asherah/blob/main/server/protos/appencryption.proto that are used. */
const { root } = protobuf.parse(`
  syntax = "proto3";
  message SessionRequest { oneof request { Encrypt encrypt = 1; Decrypt decrypt = 2; GetSession get_session = 3; } }
  message Encrypt { bytes data = 1; }
  message Decrypt { bytes data_row_record = 1; }
  message GetSession { string partition_id = 1; }
  message SessionResponse {
    oneof response { EncryptResponse encrypt_response = 1; DecryptResponse decrypt_response = 2; ErrorResponse error_response = 3; }
  }
  message EncryptResponse { bytes data_row_record = 1; }
  message DecryptResponse { bytes data = 1; }
  message ErrorResponse { string message = 1; }
`);
const requestType = root.lookupType("SessionRequest");
const responseType = root.lookupType("SessionResponse");

interface Answer {
  readonly encryptResponse?: { readonly dataRowRecord: Uint8Array };
  readonly decryptResponse?: { readonly data: Uint8Array };
  readonly errorResponse?: { readonly message: string };
}

interface Order {
  readonly socket: string;
  readonly operation: "create" | "decrypt";
  readonly connections: number;
  readonly seconds: number;
}

const { socket, operation, connections, seconds } = JSON.parse(process.argv[2]!) as Order;
const data = crypto.getRandomValues(new Uint8Array(32));
const latenciesMs: number[] = [];

const sessions = await Promise.all(Array.from({ length: connections }, openSession));
const { encryptResponse } = await sessions[0]!.ask({ encrypt: { data } });
if (encryptResponse === undefined) throw new Error("Asherah's sidecar encrypted nothing");
const message =
  operation === "create"
    ? { encrypt: { data } }
    : { decrypt: { dataRowRecord: Buffer.from(encryptResponse.dataRowRecord) } };
const endMs = performance.now() + seconds * 1000;
await Promise.all(
  sessions.map(async ({ ask, end }) => {
    while (performance.now() < endMs) {
      const startMs = performance.now();
      await ask(message);
      latenciesMs.push(performance.now() - startMs);
    }
    end();
  }),
);
latenciesMs.sort((a, b) => a - b);
const at = (share: number): number => latenciesMs[Math.floor((latenciesMs.length - 1) * share)]!;
console.log(JSON.stringify({ requests: latenciesMs.length, latencyMs: { p50: at(0.5), p99: at(0.99) } }));
process.exit(0);

/** A connection of its own, with a session for one partition. */
async function openSession() {
  // Without an option of its own each client would share one connection.
  const client = new Client(`unix:${socket}`, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
  const stream = client.makeBidiStreamRequest(
    "/asherah.apps.server.AppEncryption/Session",
    (value: Record<string, unknown>) => Buffer.from(requestType.encode(requestType.fromObject(value)).finish()),
    (bytes: Buffer) => responseType.toObject(responseType.decode(bytes)) as Answer,
  );
  let settle: { resolve(answer: Answer): void; reject(error: Error): void } | undefined;
  stream.on("data", (answer: Answer) => {
    if (answer.errorResponse === undefined) settle?.resolve(answer);
    else settle?.reject(new Error(answer.errorResponse.message));
  });
  stream.on("error", (error) => settle?.reject(error));
  const ask = (value: Record<string, unknown>): Promise<Answer> =>
    new Promise((resolve, reject) => {
      settle = { resolve, reject };
      stream.write(value);
    });
  await ask({ getSession: { partitionId: "tenant-a" } });
  return {
    ask,
    end(): void {
      settle = undefined;
      stream.end();
    },
  };
}
