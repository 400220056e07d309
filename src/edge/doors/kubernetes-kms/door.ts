/**
 * The front door `kubernetes-kms`: Kubernetes' KMS plugin API v2, gRPC on a Unix socket, for kube-apiserver's encryption at rest
 * (docs/door-kubernetes-kms.md). The socket's mode and owner say who may call: the protocol itself has no caller.
 */
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { OperationError } from "../../../base/errors.ts";
import type { Principal } from "../../access/principal.ts";
import type { Caller } from "../../operations/operations.ts";
import type { DoorContext, DoorFactory, DoorSocket, SocketDoor, SocketLimits } from "../door.ts";
import type { KubernetesKmsConfiguration } from "./configuration.ts";
import { createService, type KeyManagementService, type Method } from "./service.ts";
import { grpcErrorOf } from "./status.ts";

const NAME = "kubernetes-kms";
/** Seeds have 32 bytes, and ciphertexts at most 1,024: this is far more than a caller has any use for. */
const MESSAGE_BYTES_MAX = 131_072;
/** Of one connection, the fewest that RFC 9113, 6.5.2 advises; further calls wait at their caller, and do not make one long turn. */
const STREAMS_MAX = 100;
/** The listener gives as much. */
const FINISH_MS = 1_000;
const UID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;

const METHODS = ["Status", "Encrypt", "Decrypt"] as const satisfies readonly (keyof KeyManagementService)[];

export const door: DoorFactory<KubernetesKmsConfiguration> = {
  create: (section, context) => createKubernetesKmsDoor(section, context),
};

function createKubernetesKmsDoor(section: KubernetesKmsConfiguration, { operations, log }: DoorContext): SocketDoor {
  const service = createService(operations, section);

  return {
    name: NAME,
    transport: "socket",
    serve(socket, connection, limits) {
      if (connection.principal === undefined) {
        log.warn({}, "a connection to the Kubernetes door proves no principal: give its listener one");
        socket.destroy();
        return undefined;
      }
      return serveConnection(socket, connection.principal, limits);
    },
  };

  /** One gRPC server for each connection: so each call knows its caller, and nothing outlives it. There are a handful of these. */
  function serveConnection(socket: DoorSocket, principal: Principal, limits: SocketLimits): () => void {
    const server = new Server({
      "grpc.max_receive_message_length": Math.min(MESSAGE_BYTES_MAX, limits.messageBytesMax),
      "grpc.max_concurrent_streams": STREAMS_MAX,
      "grpc.enable_channelz": 0,
    });
    const handlers = METHODS.map((name) => [name, handler(service[name], principal, limits)] as const);
    server.addService(DEFINITION, Object.fromEntries(handlers));
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    socket.once("close", () => injector.destroy());
    injector.injectConnection(socket);
    // Callers are told to go elsewhere (GOAWAY), and what they have asked is answered.
    return () => injector.drain(FINISH_MS);
  }

  function handler(method: Method, principal: Principal, limits: SocketLimits) {
    const callerOf = (uid: string): Caller => ({ principal, door: NAME, requestId: UID.test(uid) ? uid : undefined });
    return ({ request }: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>): void => {
      const bytes = request.length;
      if (!limits.enter(bytes)) {
        callback(grpcErrorOf(new OperationError("overloaded", "this edge has too many calls in flight")));
        return;
      }
      const failed = (error: unknown): void => {
        limits.leave(bytes);
        if (!(error instanceof OperationError)) log.error({ err: error }, "a call of Kubernetes failed by a defect");
        callback(grpcErrorOf(error));
      };
      const succeeded = (answer: Buffer): void => {
        limits.leave(bytes);
        callback(null, answer);
      };
      try {
        const made = method(request, callerOf);
        if (made instanceof Promise) made.then(succeeded, failed);
        else succeeded(made);
      } catch (error) {
        failed(error);
      }
    };
  }
}

const unchanged = (message: Buffer): Buffer => message;

/** Messages go through as bytes: one that is malformed is then refused in our words, not as a defect of the server. */
const DEFINITION: ServiceDefinition = Object.fromEntries(
  METHODS.map((name) => [
    name,
    {
      path: `/v2.KeyManagementService/${name}`,
      requestStream: false,
      responseStream: false,
      requestSerialize: unchanged,
      requestDeserialize: unchanged,
      responseSerialize: unchanged,
      responseDeserialize: unchanged,
    },
  ]),
);
