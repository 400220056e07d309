/** Revocation events over NATS JetStream: for an edge to listen to, for a Core to publish to. */
import { contribution, definePlugin, followLogin, type PluginContext } from "crypto-edge/plugin";
import { createNatsPublisher } from "./publisher.ts";
import { type NatsConfiguration, NatsSection } from "./settings.ts";
import { createNatsTransport } from "./transport.ts";

/** What `create` makes, once the files of its login are followed. */
const followed =
  <Made>(create: (configuration: NatsConfiguration, context: PluginContext) => Made) =>
  async (configuration: NatsConfiguration, context: PluginContext): Promise<Made> => {
    await followLogin(context, configuration.servers[0]!, configuration.tls);
    return create(configuration, context);
  };

export default definePlugin({
  name: "nats",
  apiVersion: 1,
  revocationTransports: {
    nats: contribution({ configuration: NatsSection, create: followed(createNatsTransport) }),
  },
  eventPublishers: {
    nats: contribution({ configuration: NatsSection, create: followed(createNatsPublisher) }),
  },
});
