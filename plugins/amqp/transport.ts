/** The edge's side: a durable queue per edge for events, a passing one for heartbeats. */
import {
  connectedTransport,
  type PluginContext,
  type RevocationSink,
  type RevocationTransport,
} from "crypto-edge/plugin";
import { runSession } from "./session.ts";
import { type AmqpConfiguration, checkAmqp, exchanges } from "./settings.ts";

/** Events that the broker hands out before the first is acknowledged. */
const IN_FLIGHT = 256;
/** What a queue holds for an edge that is away; beyond it the oldest go, and the edge asks the Core for them. */
const QUEUE_MAX = 100_000;
const HEARTBEATS_MAX = 16;

export function createAmqpTransport(configuration: AmqpConfiguration, context: PluginContext): RevocationTransport {
  checkAmqp(configuration);
  const { events, heartbeats } = exchanges(configuration);

  function session(sink: RevocationSink, signal: AbortSignal, up: () => void): Promise<void> {
    return runSession(
      configuration,
      `crypto-edge ${context.edgeId}`,
      signal,
      (connected) => connected.createChannel(),
      async (channel, fail) => {
        const { queue } = await channel.assertQueue(queueName(events, context.edgeId), {
          durable: true,
          expires: configuration.keep,
          maxLength: QUEUE_MAX,
        });
        await channel.bindQueue(queue, events, "");
        const passing = await channel.assertQueue("", {
          exclusive: true,
          autoDelete: true,
          maxLength: HEARTBEATS_MAX,
        });
        await channel.bindQueue(passing.queue, heartbeats, "");
        await channel.prefetch(IN_FLIGHT);
        // One after the other, so that the guard gets them in the log's order.
        let before: Promise<void> = Promise.resolve();
        let isOpen = true;
        channel.on("close", () => {
          isOpen = false;
        });
        await channel.consume(queue, (message) => {
          if (message === null) {
            fail(new Error(`the queue ${queue} was deleted`));
            return;
          }
          before = before.then(async () => {
            await sink.deliverSigned(message.content.toString("latin1"));
            if (isOpen) channel.ack(message);
          });
          before.catch(fail);
        });
        await channel.consume(
          passing.queue,
          (message) => {
            if (message !== null) void sink.deliverSigned(message.content.toString("latin1"));
          },
          { noAck: true },
        );
        up();
        sink.connected();
      },
    );
  }

  return connectedTransport("amqp", context.clock, session);
}

/** An edge's queue; a name may have 255 bytes. */
function queueName(exchange: string, edgeId: string): string {
  return `${exchange}.edge.${edgeId}`.slice(0, 255);
}
