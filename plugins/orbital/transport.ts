/** The two places of the operator: an edge's revocation transport, and a Core's target. */
import type { CoreTarget, PluginContext, RevocationTransport } from "crypto-edge/plugin";
import { coreHandlers } from "./core-tasks.ts";
import { edgeHandlers } from "./edge-tasks.ts";
import { checkOrbital, type OrbitalConfiguration } from "./settings.ts";
import { openWays } from "./ways.ts";

/** @throws {SectionError} */
export function createOrbitalTransport(
  configuration: OrbitalConfiguration,
  context: PluginContext,
): RevocationTransport {
  checkOrbital(configuration);
  let ways: Promise<{ close(): Promise<void> }> | undefined;
  return {
    name: "orbital",
    async start(sink) {
      ways ??= openWays(configuration, context, edgeHandlers(sink), {
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

/** @throws {SectionError} */
export function createOrbitalTarget(configuration: OrbitalConfiguration, context: PluginContext): CoreTarget {
  checkOrbital(configuration);
  let ways: Promise<{ close(): Promise<void> }> | undefined;
  return {
    name: "orbital",
    async start(commands) {
      ways ??= openWays(configuration, context, coreHandlers(commands), {
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
