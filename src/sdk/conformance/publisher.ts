/** The contract of a Core's publisher (`EventPublisher`): each of these rules is a sentence of the port's text. */
import { messageOf } from "../../base/errors.ts";
import type { EventPublisher } from "../../edge/revocation/event-publisher.ts";
import type { RevocationEvent } from "../../edge/revocation/revocation-transport.ts";
import { broken, checkCloseTwice, notTried, type Rule, SOON_MS, within } from "./rules.ts";

/** A flood, as when a whole fleet of tenants is revoked. */
const MANY = 5_000;
/** The Core waits for nothing: a call may take as long as putting the event aside does. */
const MANY_MS = 2_000;

function heartbeat(seq: number): [RevocationEvent, string] {
  return signedForm({ type: "heartbeat", log: "conformance-kit", seq, at: new Date().toISOString() });
}

function revoke(seq: number): [RevocationEvent, string] {
  const scope = { tenant: "conformance-kit", service: "default", version: 1 };
  const at = new Date().toISOString();
  return signedForm({ type: "revoke", log: "conformance-kit", seq, at, ...scope, state: "compromised", reason: "kit" });
}

/** In the form of a JWS. No key has signed it, so that no edge believes it, should one listen. */
function signedForm(event: RevocationEvent): [RevocationEvent, string] {
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const header = { alg: "EdDSA", typ: "crypto-edge-event", kid: "conformance-kit" };
  return [event, `${encode(header)}.${encode(event)}.${Buffer.alloc(64).toString("base64url")}`];
}

/** Publishes; a rejection is the publisher's way to say that it could not, and no fault. */
function publish(publisher: EventPublisher, [event, jws]: [RevocationEvent, string]): Promise<void> {
  let publishing: void | Promise<void>;
  try {
    publishing = publisher.publish(event, jws);
  } catch (error) {
    throw broken(`publish throws (${messageOf(error)}): it would fail the change that made the event; reject instead`);
  }
  return Promise.resolve(publishing).catch(() => {});
}

export function publisherRules(
  publisher: EventPublisher,
  away: (() => Promise<EventPublisher>) | undefined,
  soonMs = SOON_MS,
): Rule[] {
  return [
    {
      rule: "publish",
      title: "an event is taken, with heartbeats around it",
      async run() {
        for (const one of [heartbeat(0), revoke(1), heartbeat(1)])
          await within(soonMs, publish(publisher, one), "publish");
      },
    },
    {
      rule: "many",
      title: "a flood of events is taken without holding up who made them",
      async run() {
        const startedMs = performance.now();
        const publishing: Promise<void>[] = [];
        for (let seq = 2; seq < MANY; seq++) publishing.push(publish(publisher, revoke(seq)));
        const tookMs = performance.now() - startedMs;
        if (tookMs > MANY_MS)
          throw broken(`${MANY} calls took ${Math.round(tookMs)} ms, in which the Core did nothing else`);
        await within(12 * soonMs, Promise.all(publishing), "publishing all of them");
      },
    },
    {
      rule: "away",
      title: "with its broker away it takes events, holds up nothing, and closes",
      async run() {
        if (away === undefined) throw notTried("no configuration with the broker away was given (--away FILE)");
        const lost = await away();
        for (let seq = 1; seq <= 100; seq++) void publish(lost, revoke(seq));
        void publish(lost, heartbeat(100));
        await within(soonMs, lost.close?.(), "close");
      },
    },
    {
      rule: "close",
      title: "close may be called twice, and an event that comes afterwards throws nothing",
      async run() {
        await checkCloseTwice(publisher);
        await within(soonMs, publish(publisher, revoke(MANY)), "publish after close");
      },
    },
  ];
}
