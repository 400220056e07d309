/** The Core's side: makes the stream, and puts signed events into it; heartbeats are told and not kept. */
import { jetstream, jetstreamManager, RetentionPolicy, StorageType } from "@nats-io/jetstream";
import { type NatsConnection, nanos } from "@nats-io/transport-node";
import {
  connectedPublisher,
  type EventPublisher,
  type PluginContext,
  type PublisherConnection,
} from "crypto-edge/plugin";
import { checkNats, connectNats, type NatsConfiguration, subjects } from "./settings.ts";

const EVENTS_MAX = 1_000_000;
/** Within this, JetStream takes an event that is sent twice as one. */
const DUPLICATES_MS = 120_000;

export function createNatsPublisher(configuration: NatsConfiguration, context: PluginContext): EventPublisher {
  checkNats(configuration);
  const { events, heartbeats } = subjects(configuration);

  async function session(signal: AbortSignal, up: (connection: PublisherConnection) => void): Promise<void> {
    const nats = await connectNats(configuration, "crypto-edge core");
    const stop = (): void => void nats.close().catch(() => {});
    signal.addEventListener("abort", stop, { once: true });
    try {
      if (signal.aborted) return;
      await ensureStream(nats);
      const stream = jetstream(nats);
      up({
        async keep(jws) {
          await stream.publish(events, jws, { timeout: 5_000 });
        },
        tell: (jws) => nats.publish(heartbeats, jws),
      });
      const error = await nats.closed();
      throw error ?? new Error("the server closed the connection");
    } finally {
      signal.removeEventListener("abort", stop);
      await nats.close().catch(() => {});
    }
  }

  async function ensureStream(nats: NatsConnection): Promise<void> {
    const manager = await jetstreamManager(nats);
    const found = await manager.streams.info(configuration.stream).catch(() => undefined);
    if (found?.config.subjects.includes(events)) return;
    if (found !== undefined) {
      throw new Error(`the stream ${configuration.stream} is there but does not take ${events}: add the subject to it`);
    }
    await manager.streams.add({
      name: configuration.stream,
      description: "revocation events, signed by the Core",
      subjects: [events],
      retention: RetentionPolicy.Limits,
      storage: StorageType.File,
      max_age: nanos(configuration.keep),
      max_msgs: EVENTS_MAX,
      duplicate_window: nanos(Math.min(DUPLICATES_MS, configuration.keep)),
    });
  }

  return connectedPublisher("nats", "NATS", context, session);
}
