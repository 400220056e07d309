/** The two places of the operator: an edge's revocation transport, and a Core's target. */
import { type CoreTarget, followLogin, type PluginContext, type RevocationTransport } from "crypto-edge/plugin";
import { coreHandlers } from "./core-tasks.ts";
import { edgeHandlers } from "./edge-tasks.ts";
import { followGrpc, type GrpcCredentials } from "./grpc-credentials.ts";
import { checkOrbital, type OrbitalConfiguration } from "./settings.ts";
import { openWays } from "./ways.ts";

/** @throws (rejects with) {SectionError} */
export async function createOrbitalTransport(
  configuration: OrbitalConfiguration,
  context: PluginContext,
): Promise<RevocationTransport> {
  const credentials = await followOrbital(configuration, context);
  let ways: Promise<{ close(): Promise<void> }> | undefined;
  return {
    name: "orbital",
    async start(sink) {
      ways ??= openWays(configuration, context, credentials, edgeHandlers(sink), {
        connected: () => sink.connected(),
        disconnected: (reason) => sink.disconnected(reason),
      });
      await ways;
    },
    async close() {
      await (await ways)?.close();
    },
  };
}

/** @throws (rejects with) {SectionError} */
export async function createOrbitalTarget(
  configuration: OrbitalConfiguration,
  context: PluginContext,
): Promise<CoreTarget> {
  const credentials = await followOrbital(configuration, context);
  let ways: Promise<{ close(): Promise<void> }> | undefined;
  return {
    name: "orbital",
    async start(commands) {
      ways ??= openWays(configuration, context, credentials, coreHandlers(commands), {
        connected: () => context.log.info({}, "Orbital can order things of this Core"),
        disconnected: (reason) => context.log.warn({ reason }, "Orbital can't be reached"),
      });
      await ways;
    },
    async close() {
      await (await ways)?.close();
    },
  };
}

async function followOrbital(
  configuration: OrbitalConfiguration,
  context: PluginContext,
): Promise<GrpcCredentials | undefined> {
  checkOrbital(configuration);
  const { amqp, grpc } = configuration;
  if (amqp !== undefined) await followLogin(context, amqp.server, amqp.tls);
  return followGrpc(grpc, context);
}
