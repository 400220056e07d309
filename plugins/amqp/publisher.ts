/** The Core's side: signed events into a durable fanout exchange; heartbeats are told and not kept. */
import type { ConfirmChannel } from "amqplib";
import {
  connectedPublisher,
  type EventPublisher,
  type PluginContext,
  type PublisherConnection,
} from "crypto-edge/plugin";
import { runSession } from "./session.ts";
import { type AmqpConfiguration, checkAmqp, exchanges } from "./settings.ts";

export function createAmqpPublisher(configuration: AmqpConfiguration, context: PluginContext): EventPublisher {
  checkAmqp(configuration);
  const { events, heartbeats } = exchanges(configuration);
  function session(signal: AbortSignal, up: (connection: PublisherConnection) => void): Promise<void> {
    return runSession(
      configuration,
      "crypto-edge core",
      signal,
      (connected) => connected.createConfirmChannel(),
      async (channel) => {
        for (const exchange of [events, heartbeats])
          await channel.assertExchange(exchange, "fanout", { durable: true });
        up({
          keep: (jws) => confirmed(channel, jws),
          tell: (jws) => void channel.publish(heartbeats, "", Buffer.from(jws), { persistent: false }),
        });
      },
    );
  }

  /** Resolves once the broker has it; rejects when it refuses, or the channel closes first. */
  function confirmed(channel: ConfirmChannel, jws: string): Promise<void> {
    return new Promise((resolve, reject) => {
      channel.publish(events, "", Buffer.from(jws), { persistent: true, contentType: "application/jose" }, (error) =>
        error === null || error === undefined ? resolve() : reject(error),
      );
    });
  }

  return connectedPublisher("amqp", "RabbitMQ", context, session);
}
