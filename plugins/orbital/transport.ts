/** The revocation transport: an operator of Orbital over one or both of its ways. Whichever brings a task first has it done. */
import { keepConnected, type PluginContext, type RevocationSink, type RevocationTransport } from "crypto-edge/plugin";
import { edgeHandlers } from "./edge-tasks.ts";
import { Operator } from "./operator.ts";
import { protobufCodec } from "./protobuf.ts";
import { authoritiesOf, checkOrbital, type OrbitalConfiguration, signerOf } from "./settings.ts";
import { jsonCodec, type TaskRequest } from "./task.ts";

type Session = (signal: AbortSignal, up: () => void) => Promise<void>;

/** @throws {SectionError} */
export function createOrbitalTransport(
  configuration: OrbitalConfiguration,
  context: PluginContext,
): RevocationTransport {
  checkOrbital(configuration);
  const { amqp, grpc, require_signature: requireSignature } = configuration;
  const issuers = authoritiesOf(configuration, context);
  const signer = signerOf(configuration.sign);
  const running: { close(): Promise<void> }[] = [];

  /** Connected while one of the ways is. */
  function keep(sink: RevocationSink, ways: Readonly<Record<string, Session>>): void {
    const live = new Set<string>();
    for (const [way, session] of Object.entries(ways)) {
      running.push(
        keepConnected({
          clock: context.clock,
          session: (signal, up) =>
            session(signal, () => {
              up();
              live.add(way);
              sink.connected();
            }),
          onDown(reason) {
            live.delete(way);
            if (live.size === 0) sink.disconnected(`${way}: ${reason}`);
            else context.log.warn({ way, reason }, "one of the ways of Orbital is down");
          },
        }),
      );
    }
  }

  return {
    name: "orbital",
    async start(sink) {
      if (running.length > 0) return;
      const operator = new Operator({ handlers: edgeHandlers(sink), issuers, requireSignature, signer });
      const answer = (request: TaskRequest) => operator.answer(request);
      const ways: Record<string, Session> = {};
      // What is not configured is not loaded.
      if (amqp !== undefined) {
        const { runAmqp } = await import("./amqp.ts");
        const codec = amqp.codec === "protobuf" ? protobufCodec : jsonCodec;
        ways.amqp = (signal, up) => runAmqp({ settings: amqp, codec, context, answer }, signal, up);
      }
      if (grpc !== undefined) {
        const { runGrpc } = await import("./grpc.ts");
        ways.grpc = (signal, up) => runGrpc({ settings: grpc, context, answer }, signal, up);
      }
      keep(sink, ways);
    },
    async close() {
      await Promise.all(running.map((one) => one.close()));
    },
  };
}
