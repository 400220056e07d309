/** An operator over one or both ways of Orbital. Whichever brings a task first has it done. */
import { keepConnected, type PluginContext } from "crypto-edge/plugin";
import type { Authority } from "./edge-tasks.ts";
import type { GrpcCredentials } from "./grpc-credentials.ts";
import { Operator, type TaskHandler } from "./operator.ts";
import { protobufCodec } from "./protobuf.ts";
import type { OrbitalConfiguration } from "./settings.ts";
import { jsonCodec, type TaskRequest } from "./task.ts";
import { followTrust } from "./trust.ts";

type Session = (signal: AbortSignal, up: () => void) => Promise<void>;

/** Told of the first way that comes up, and of the last that goes down. */
export interface WaysObserver {
  readonly connected: () => void;
  readonly disconnected: (reason: string) => void;
}

export async function openWays(
  configuration: OrbitalConfiguration,
  context: PluginContext,
  credentials: GrpcCredentials | undefined,
  handlers: Readonly<Record<string, TaskHandler<Authority>>>,
  observer: WaysObserver,
): Promise<{ close(): Promise<void> }> {
  const { amqp, grpc, require_signature: requireSignature } = configuration;
  const { issuers, signer } = await followTrust(configuration, context);
  const { clock } = context;
  const operator = new Operator({ handlers, issuers, requireSignature, signer, clock });
  const answer = (request: TaskRequest) => operator.answer(request);
  const ways: Record<string, Session> = {};
  // What is not configured is not loaded.
  if (amqp !== undefined) {
    const { runAmqp } = await import("./amqp.ts");
    const codec = amqp.codec === "protobuf" ? protobufCodec : jsonCodec;
    ways.amqp = (signal, up) => runAmqp({ settings: amqp, codec, context, answer }, signal, up);
  }
  if (grpc !== undefined && credentials !== undefined) {
    const { runGrpc } = await import("./grpc.ts");
    ways.grpc = (signal, up) => runGrpc({ settings: grpc, credentials, context, answer }, signal, up);
  }
  const live = new Set<string>();
  const running = Object.entries(ways).map(([way, session]) =>
    keepConnected({
      clock,
      session: (signal, up) =>
        session(signal, () => {
          up();
          live.add(way);
          observer.connected();
        }),
      onDown(reason) {
        live.delete(way);
        if (live.size === 0) observer.disconnected(`${way}: ${reason}`);
        else context.log.warn({ way, reason }, "one of the ways of Orbital is down");
      },
    }),
  );
  return {
    async close() {
      await Promise.all(running.map((one) => one.close()));
    },
  };
}
