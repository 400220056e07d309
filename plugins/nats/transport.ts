/** The edge's side: a durable consumer per edge for events, a plain subscription for heartbeats. */
import { createHash } from "node:crypto";
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import {
  connectedTransport,
  type PluginContext,
  type RevocationSink,
  type RevocationTransport,
} from "crypto-edge/plugin";
import { checkNats, connectNats, type NatsConfiguration, subjects } from "./settings.ts";

/** How long a pull request waits at the server; the library renews it. */
const EXPIRES_MS = 30_000;
const IN_FLIGHT = 256;

export function createNatsTransport(configuration: NatsConfiguration, context: PluginContext): RevocationTransport {
  checkNats(configuration);

  async function session(sink: RevocationSink, signal: AbortSignal, up: () => void): Promise<void> {
    const nats = await connectNats(configuration, `crypto-edge ${context.edgeId}`);
    const stop = (): void => void nats.close().catch(() => {});
    signal.addEventListener("abort", stop, { once: true });
    try {
      if (signal.aborted) return;
      const { events, heartbeats } = subjects(configuration);
      const durable = consumerName(context.edgeId);
      const manager = await jetstreamManager(nats);
      await manager.consumers.add(configuration.stream, {
        durable_name: durable,
        description: `the edge ${context.edgeId}`,
        filter_subject: events,
        ack_policy: AckPolicy.Explicit,
        // An edge's first place is its first lease: what happened before is in no lease of its own.
        deliver_policy: DeliverPolicy.New,
        inactive_threshold: nanos(configuration.keep),
        max_ack_pending: IN_FLIGHT,
      });
      const consumer = await jetstream(nats).consumers.get(configuration.stream, durable);
      const messages = await consumer.consume({
        max_messages: IN_FLIGHT,
        expires: EXPIRES_MS,
        // A stream or consumer that was deleted ends this session: the next one makes its consumer again.
        abort_on_missing_resource: true,
      });
      nats.subscribe(heartbeats, {
        callback: (error, message) => {
          if (error === null) void sink.deliverSigned(message.string());
        },
      });
      await nats.flush();
      up();
      sink.connected();
      const ended = nats.closed().then((error) => {
        messages.stop();
        return error;
      });
      for await (const message of messages) {
        await sink.deliverSigned(message.string());
        message.ack();
      }
      if (!nats.isClosed()) throw new Error("the consumer ended");
      const error = await ended;
      throw error ?? new Error("the server closed the connection");
    } finally {
      signal.removeEventListener("abort", stop);
      await nats.close().catch(() => {});
    }
  }

  return connectedTransport("nats", context.clock, session);
}

/** A consumer's name takes fewer characters than an edge's id; two ids never make one name. */
export function consumerName(edgeId: string): string {
  if (/^[A-Za-z0-9_-]{1,100}$/.test(edgeId)) return `edge-${edgeId}`;
  const hash = createHash("sha256").update(edgeId).digest("hex").slice(0, 16);
  return `edge-${edgeId.replace(/[^A-Za-z0-9_-]/g, "_").slice(0, 80)}--${hash}`;
}
