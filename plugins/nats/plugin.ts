/** Revocation events over NATS JetStream: for an edge to listen to, for a Core to publish to. */
import { contribution, definePlugin, followLogin } from "crypto-edge/plugin";
import { createNatsPublisher } from "./publisher.ts";
import { NatsSection } from "./settings.ts";
import { createNatsTransport } from "./transport.ts";

export default definePlugin({
  name: "nats",
  apiVersion: 1,
  revocationTransports: {
    nats: contribution({
      configuration: NatsSection,
      async create(configuration, context) {
        await followLogin(context, configuration.servers[0]!, configuration.tls);
        return createNatsTransport(configuration, context);
      },
    }),
  },
  eventPublishers: {
    nats: contribution({
      configuration: NatsSection,
      async create(configuration, context) {
        await followLogin(context, configuration.servers[0]!, configuration.tls);
        return createNatsPublisher(configuration, context);
      },
    }),
  },
});
