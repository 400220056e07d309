/** Revocation events over NATS JetStream: for an edge to listen to, for a Core to publish to. */
import { contribution, definePlugin } from "crypto-edge/plugin";
import { createNatsPublisher } from "./publisher.ts";
import { NatsSection } from "./settings.ts";
import { createNatsTransport } from "./transport.ts";

export default definePlugin({
  name: "nats",
  apiVersion: 1,
  revocationTransports: { nats: contribution({ configuration: NatsSection, create: createNatsTransport }) },
  eventPublishers: { nats: contribution({ configuration: NatsSection, create: createNatsPublisher }) },
});
