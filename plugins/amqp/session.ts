import type { Channel, ChannelModel } from "amqplib";
import { type AmqpConfiguration, connectAmqp } from "./settings.ts";

/**
 * Runs one connection from `open`, which gets a channel, to its end; rejects with the reason when it has ended, however
 * that came.
 */
export async function runSession<Chosen extends Channel>(
  configuration: AmqpConfiguration,
  name: string,
  signal: AbortSignal,
  createChannel: (connection: ChannelModel) => Promise<Chosen>,
  open: (channel: Chosen, fail: (reason: Error) => void) => Promise<void>,
): Promise<void> {
  const connection = await connectAmqp(configuration, name);
  let fail: (reason: Error) => void = () => {};
  const ended = new Promise<never>((_, reject) => {
    fail = reject;
  });
  ended.catch(() => {});
  const stop = (): void => fail(new Error("closed"));
  signal.addEventListener("abort", stop, { once: true });
  connection.on("error", fail);
  connection.on("close", (error) => fail(error ?? new Error("the server closed the connection")));
  try {
    if (signal.aborted) return;
    await Promise.race([setUp(), ended]);
    await ended;
  } finally {
    signal.removeEventListener("abort", stop);
    await Promise.race([
      connection.close().catch(() => {}),
      new Promise<void>((resolve) => setTimeout(resolve, 1_000)),
    ]);
  }

  async function setUp(): Promise<void> {
    const channel = await createChannel(connection);
    channel.on("error", fail);
    channel.on("close", () => fail(new Error("the server closed the channel")));
    await open(channel, fail);
  }
}
