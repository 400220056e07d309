/** The Core's side: signed events into a durable fanout exchange; heartbeats are told and not kept. */
import type { ConfirmChannel } from "amqplib";
import { type EventPublisher, keepConnected, Outbox, type PluginContext } from "crypto-edge/plugin";
import { runSession } from "./session.ts";
import { type AmqpConfiguration, checkAmqp, exchanges } from "./settings.ts";

export function createAmqpPublisher(configuration: AmqpConfiguration, context: PluginContext): EventPublisher {
  checkAmqp(configuration);
  const { events, heartbeats } = exchanges(configuration);
  const outbox = new Outbox();
  let live: ConfirmChannel | undefined;

  async function session(signal: AbortSignal, up: () => void): Promise<void> {
    try {
      await runSession(
        configuration,
        "crypto-edge core",
        signal,
        (connected) => connected.createConfirmChannel(),
        async (channel) => {
          for (const exchange of [events, heartbeats])
            await channel.assertExchange(exchange, "fanout", { durable: true });
          live = channel;
          outbox.open((jws) => confirmed(channel, jws));
          up();
          context.log.info({ exchange: events }, "publishing revocations to RabbitMQ");
        },
      );
    } finally {
      live = undefined;
      outbox.shut();
    }
  }

  /** Resolves once the broker has it; rejects when it refuses, or the channel closes first. */
  function confirmed(channel: ConfirmChannel, jws: string): Promise<void> {
    return new Promise((resolve, reject) => {
      channel.publish(events, "", Buffer.from(jws), { persistent: true, contentType: "application/jose" }, (error) =>
        error === null || error === undefined ? resolve() : reject(error),
      );
    });
  }

  const connection = keepConnected({
    clock: context.clock,
    session,
    onDown: (reason) => context.log.warn({ reason, waiting: outbox.size }, "RabbitMQ can't be reached; events wait"),
  });

  return {
    name: "amqp",
    publish(event, jws) {
      // A heartbeat that is late is worth nothing.
      if (event.type === "heartbeat") live?.publish(heartbeats, "", Buffer.from(jws), { persistent: false });
      else outbox.add(jws);
    },
    async close() {
      await Promise.race([outbox.drained(), new Promise((resolve) => setTimeout(resolve, 1_000))]);
      await connection.close();
    },
  };
}
