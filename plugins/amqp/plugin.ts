/** Revocation events over RabbitMQ: for an edge to listen to, for a Core to publish to. */
import { contribution, definePlugin, followLogin } from "crypto-edge/plugin";
import { createAmqpPublisher } from "./publisher.ts";
import { AmqpSection } from "./settings.ts";
import { createAmqpTransport } from "./transport.ts";

export default definePlugin({
  name: "amqp",
  apiVersion: 1,
  revocationTransports: {
    amqp: contribution({
      configuration: AmqpSection,
      async create(configuration, context) {
        await followLogin(context, configuration.servers[0]!, configuration.tls);
        return createAmqpTransport(configuration, context);
      },
    }),
  },
  eventPublishers: {
    amqp: contribution({
      configuration: AmqpSection,
      async create(configuration, context) {
        await followLogin(context, configuration.servers[0]!, configuration.tls);
        return createAmqpPublisher(configuration, context);
      },
    }),
  },
});
