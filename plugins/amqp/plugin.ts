/** Revocation events over RabbitMQ: for an edge to listen to, for a Core to publish to. */
import { contribution, definePlugin } from "crypto-edge/plugin";
import { createAmqpPublisher } from "./publisher.ts";
import { AmqpSection } from "./settings.ts";
import { createAmqpTransport } from "./transport.ts";

export default definePlugin({
  name: "amqp",
  apiVersion: 1,
  revocationTransports: { amqp: contribution({ configuration: AmqpSection, create: createAmqpTransport }) },
  eventPublishers: { amqp: contribution({ configuration: AmqpSection, create: createAmqpPublisher }) },
});
