/** Requests and answers over gRPC: the service `orbital.v1.TaskService`, with mutual TLS. */
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import { messageOf, type PluginContext } from "crypto-edge/plugin";
import type { GrpcCredentials } from "./grpc-credentials.ts";
import { protobufCodec } from "./protobuf.ts";
import type { GrpcSettings } from "./settings.ts";
import { SignatureRefused } from "./signatures.ts";
import { MalformedTask, REQUEST_BYTES_MAX, type TaskRequest, type TaskResponse } from "./task.ts";

const CLOSE_MS = 1_000;

const asItIs = (bytes: Buffer): Buffer => bytes;
const SERVICE = {
  SendTaskRequest: {
    path: "/orbital.v1.TaskService/SendTaskRequest",
    requestStream: false,
    responseStream: false,
    requestSerialize: asItIs,
    requestDeserialize: asItIs,
    responseSerialize: asItIs,
    responseDeserialize: asItIs,
  },
} as const;

export interface GrpcChannelOptions {
  readonly settings: GrpcSettings;
  readonly credentials: GrpcCredentials;
  readonly context: PluginContext;
  readonly answer: (request: TaskRequest) => Promise<TaskResponse>;
}

/** Serves until `signal` aborts, with whatever credentials there are; rejects where it can't listen. */
export async function runGrpc(options: GrpcChannelOptions, signal: AbortSignal, up: () => void): Promise<void> {
  while (!signal.aborted) {
    await serve(options, AbortSignal.any([signal, options.credentials.changed]), up);
  }
}

async function serve(options: GrpcChannelOptions, signal: AbortSignal, up: () => void): Promise<void> {
  const { settings, credentials } = options;
  const server = new Server({
    "grpc.max_receive_message_length": REQUEST_BYTES_MAX + 1_024,
    "grpc.max_concurrent_streams": 256,
  });
  server.addService(SERVICE, {
    SendTaskRequest: (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) =>
      void answerCall(call.request, options).then(
        (answer) => callback(null, answer),
        (error: unknown) => callback(refusalOf(error, options.context)),
      ),
  });
  const tls = ServerCredentials.createSsl(
    credentials.clientAuthorities,
    [{ cert_chain: credentials.certificate, private_key: credentials.privateKey }],
    true,
  );
  const { host, port } = settings.listen;
  const address = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  try {
    const bound = await new Promise<number>((resolve, reject) =>
      server.bindAsync(address, tls, (error, at) => (error === null ? resolve(at) : reject(error))),
    );
    options.context.log.info({ host, port: bound }, "listening for Orbital's calls");
    up();
    await new Promise<void>((resolve) => {
      if (signal.aborted) return resolve();
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  } finally {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        server.forceShutdown();
        resolve();
      }, CLOSE_MS);
      server.tryShutdown(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

async function answerCall(bytes: Buffer, { answer }: GrpcChannelOptions): Promise<Buffer> {
  return Buffer.from(protobufCodec.encodeResponse(await answer(protobufCodec.decodeRequest(bytes))));
}

function refusalOf(error: unknown, { log }: PluginContext): { code: status; details: string } {
  if (error instanceof MalformedTask) return { code: status.INVALID_ARGUMENT, details: error.message };
  if (error instanceof SignatureRefused) {
    log.warn({ reason: error.message }, "a task request was refused: its signature does not hold");
    return { code: status.UNAUTHENTICATED, details: error.message };
  }
  log.error({ reason: messageOf(error) }, "a task request was not answered");
  return { code: status.INTERNAL, details: "the task could not be handled" };
}
