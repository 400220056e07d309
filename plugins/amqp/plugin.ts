/** Revocation events over RabbitMQ: for an edge to listen to, for a Core to publish to. */
import { contribution, definePlugin, followLogin, type PluginContext } from "crypto-edge/plugin";
import { createAmqpPublisher } from "./publisher.ts";
import { type AmqpConfiguration, AmqpSection } from "./settings.ts";
import { createAmqpTransport } from "./transport.ts";

/** What `create` makes, once the files of its login are followed. */
const followed =
  <Made>(create: (configuration: AmqpConfiguration, context: PluginContext) => Made) =>
  async (configuration: AmqpConfiguration, context: PluginContext): Promise<Made> => {
    await followLogin(context, configuration.servers[0]!, configuration.tls);
    return create(configuration, context);
  };

export default definePlugin({
  name: "amqp",
  apiVersion: 1,
  revocationTransports: {
    amqp: contribution({ configuration: AmqpSection, create: followed(createAmqpTransport) }),
  },
  eventPublishers: {
    amqp: contribution({ configuration: AmqpSection, create: followed(createAmqpPublisher) }),
  },
});
