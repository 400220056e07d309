/** The Core's stream of server-sent events, read as it comes and not interpreted (core-protocol.md, "Revocations"). */
import { createParser } from "eventsource-parser";
import { messageOf } from "../../../base/errors.ts";
import { CoreCallError } from "./core-call-error.ts";
import type { CoreConnection } from "./core-connection.ts";
import type { CoreStream } from "./core-stream.ts";

export interface RevocationHandlers {
  /** The Core has accepted the stream. */
  onOpen?(): void;
  onMessage(message: StreamMessage): void;
}

/** One server-sent event, not interpreted. */
export interface StreamMessage {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: string;
}

const MAX_MESSAGE_BYTES = 64 * 1024;

/** Resolves when the Core ends the stream. @throws CoreCallError where it breaks off, is given up, or `onMessage` throws */
export function readEventStream(
  connection: CoreConnection,
  stream: CoreStream,
  handlers: RevocationHandlers,
  signal: AbortSignal,
  core: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let pendingBytes = 0;
    let done = false;
    const finish = (act: () => void): void => {
      if (done) return;
      done = true;
      signal.removeEventListener("abort", aborted);
      release();
      act();
      stream.destroy();
    };
    const fail = (reason: string, cause?: unknown): void =>
      finish(() => reject(new CoreCallError(reason, cause === undefined ? {} : { cause })));
    const aborted = (): void => fail("the stream was given up");
    const release = connection.onClose(() => fail("the connection to the Core is closed"));
    const parser = createParser({
      onEvent(event) {
        pendingBytes = 0;
        if (!done) handlers.onMessage({ id: event.id, event: event.event, data: event.data });
      },
    });
    const decoder = new TextDecoder();
    if (signal.aborted) return aborted();
    signal.addEventListener("abort", aborted, { once: true });
    stream.read({
      onBytes(bytes) {
        if (done) return;
        pendingBytes += bytes.length;
        try {
          parser.feed(decoder.decode(bytes, { stream: true }));
        } catch (error) {
          return fail(`an event of ${core} could not be handled: ${messageOf(error)}`, error);
        }
        if (pendingBytes > MAX_MESSAGE_BYTES) fail(`${core} sent an event that is too large`);
      },
      onEnd: () => finish(resolve),
      onFault: (error) => fail(`the stream of ${core} broke off`, error),
    });
  });
}
