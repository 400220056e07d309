/** `GET /v1/revocations`: for callers that keep data keys, what is revoked of what they may use, as server-sent events. */
import type { Caller } from "../../operations/operations.ts";

/** What a caller is told: a tenant, a service of it, or one version. */
export interface RevokedScope {
  readonly tenant: string;
  readonly service?: string | undefined;
  readonly version?: number | undefined;
}

export interface RevocationChange extends Partial<RevokedScope> {
  /** `revoke`: no longer to be used; `change`: look again (a restoration, a rotation), without a tenant at everything (events were lost). */
  readonly type: "revoke" | "change";
}

/** The port: the edge's revocations, of what one caller may use alone. */
export interface RevocationFeed {
  /** What is blocked now. */
  blocked(caller: Caller): readonly RevokedScope[];
  /** Calls `tell` for each change from now on, until the returned function is called. */
  watch(caller: Caller, tell: (change: RevocationChange) => void): () => void;
}

/** A comment now and then, so that both sides notice when the other has gone. */
const HEARTBEAT_MS = 15_000;
/** A caller who does not read is cut before more than this waits for it; it asks again, and is told what is blocked. */
const WAITING_EVENTS_MAX = 1_000;
const encoder = new TextEncoder();

/**
 * Begins with what is blocked now, then a `: ready` comment, then each change as it comes. An event's data is JSON: `type`, `tenant`,
 * `service` and `version` where it is of one.
 */
export function revocationStream(feed: RevocationFeed, caller: Caller): ReadableStream<Uint8Array> {
  let end = (): void => undefined;
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        const write = (text: string): void => controller.enqueue(encoder.encode(text));
        const tell = (change: RevocationChange): void => {
          if ((controller.desiredSize ?? 0) > -WAITING_EVENTS_MAX) return void write(eventOf(change));
          end();
          controller.error(new Error("the caller does not read"));
        };
        const stop = feed.watch(caller, tell);
        const heartbeat = setInterval(() => write(": heartbeat\n\n"), HEARTBEAT_MS);
        end = () => {
          clearInterval(heartbeat);
          stop();
        };
        const blocked = feed.blocked(caller).map((scope) => eventOf({ type: "revoke", ...scope }));
        write(`${blocked.join("")}: ready\n\n`);
      },
      cancel() {
        end();
      },
    },
    new CountQueuingStrategy({ highWaterMark: 1 }),
  );
}

function eventOf({ type, tenant, service, version }: RevocationChange): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, tenant, service, version })}\n\n`;
}
