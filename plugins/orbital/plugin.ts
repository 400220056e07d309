/** Orbital drives the edge: revocations by task requests, signed and confirmed. docs/orbital.md is the operator's page. */
import { contribution, definePlugin } from "crypto-edge/plugin";
import { OrbitalSection } from "./settings.ts";
import { createOrbitalTarget, createOrbitalTransport } from "./transport.ts";

export default definePlugin({
  name: "orbital",
  apiVersion: 1,
  revocationTransports: { orbital: contribution({ configuration: OrbitalSection, create: createOrbitalTransport }) },
  coreTargets: { orbital: contribution({ configuration: OrbitalSection, create: createOrbitalTarget }) },
});
