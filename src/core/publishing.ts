/** Signs events and hands them to the message brokers; a broker that fails holds up nothing. */
import { messageOf } from "../base/errors.ts";
import type { EventPublisher } from "../edge/revocation/event-publisher.ts";
import type { CoreLog } from "./answers.ts";
import type { CoreEvent } from "./protocol/events.ts";
import type { SigningKeys } from "./signing-keys.ts";

export interface Publishing {
  /** Failures since the start. */
  readonly failures: number;
  publish(event: CoreEvent): void;
  close(): Promise<void>;
}

export function createPublishing(parts: {
  readonly publishers: readonly EventPublisher[];
  readonly signingKeys: SigningKeys;
  readonly log: CoreLog;
}): Publishing {
  const { publishers, signingKeys, log } = parts;
  let failures = 0;
  return {
    get failures() {
      return failures;
    },
    publish(event) {
      if (publishers.length === 0) return;
      let jws: string;
      try {
        jws = signingKeys.sign(event);
      } catch (error) {
        failures++;
        log("error", "an event could not be signed", { reason: messageOf(error) });
        return;
      }
      for (const publisher of publishers) {
        const failed = (error: unknown): void => {
          failures++;
          log("warn", "an event could not be published", { publisher: publisher.name, reason: messageOf(error) });
        };
        try {
          void Promise.resolve(publisher.publish(event, jws)).catch(failed);
        } catch (error) {
          failed(error);
        }
      }
    },
    async close() {
      for (const publisher of publishers) await publisher.close?.().catch(() => undefined);
    },
  };
}
