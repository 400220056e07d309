/** What is the same for every message broker: a transport and a publisher that stay connected, and how to sign in. */
import { readFileSync } from "node:fs";
import type { Static } from "@sinclair/typebox";
import { messageOf } from "../../base/errors.ts";
import type { Clock } from "../../base/time/clock.ts";
import { type PluginContext, SectionError } from "../../edge/plugin-host/plugin.ts";
import type { EventPublisher } from "../../edge/revocation/event-publisher.ts";
import { keepConnected } from "../../edge/revocation/keep-connected.ts";
import { Outbox } from "../../edge/revocation/outbox.ts";
import type { RevocationSink, RevocationTransport } from "../../edge/revocation/revocation-transport.ts";
import type { BrokerTls } from "./section-parts.ts";

/**
 * An edge's transport over a connection that is made again whenever it ends.
 *
 * @param session One connection, from connecting to its end. It calls `up` once events come. It resolves or rejects (with the
 * reason) when it has ended and everything it held is let go of; soon, once `signal` aborts.
 *
 * @example
 * ```ts
 * return connectedTransport("my-broker", context.clock, async (sink, signal, up) => {
 *   const connection = await connect(section, signal);
 *   up();
 *   sink.connected();
 *   for await (const message of connection.messages) await sink.deliverSigned(message.text);
 * });
 * ```
 */
export function connectedTransport(
  name: string,
  clock: Clock,
  session: (sink: RevocationSink, signal: AbortSignal, up: () => void) => Promise<void>,
): RevocationTransport {
  let connection: { close(): Promise<void> } | undefined;
  return {
    name,
    async start(sink) {
      connection ??= keepConnected({
        clock,
        session: (signal, up) => session(sink, signal, up),
        onDown: (reason) => sink.disconnected(reason),
      });
    },
    async close() {
      await connection?.close();
    },
  };
}

/** How one connection of a publisher sends. */
export interface PublisherConnection {
  /** Resolves once the broker keeps the event; rejects when it does not, or the connection ends first. */
  keep(jws: string): Promise<void>;
  /** Sends a heartbeat, which nobody keeps. */
  tell(jws: string): void;
}

/** How long what is left may take to send when the publisher is closed. */
const DRAIN_MS = 1_000;

/**
 * A Core's publisher over a connection that is made again whenever it ends. Events wait meanwhile, in order and bounded;
 * a heartbeat that is late is worth nothing, and goes.
 *
 * @param name The contribution's. @param broker As people call it, for the log. @param session As for a transport.
 *
 * @example
 * ```ts
 * return connectedPublisher("my-broker", "MyBroker", context, async (signal, up) => {
 *   const connection = await connect(section, signal);
 *   up({ keep: (jws) => connection.sendConfirmed("events", jws), tell: (jws) => connection.send("heartbeats", jws) });
 *   await connection.ended;
 * });
 * ```
 */
export function connectedPublisher(
  name: string,
  broker: string,
  { clock, log }: PluginContext,
  session: (signal: AbortSignal, up: (connection: PublisherConnection) => void) => Promise<void>,
): EventPublisher {
  const outbox = new Outbox();
  let live: PublisherConnection | undefined;
  const connected = keepConnected({
    clock,
    async session(signal, up) {
      // A broker that does not keep an event may go on holding the connection: the event is tried again on a new one.
      const refused = new AbortController();
      try {
        await session(AbortSignal.any([signal, refused.signal]), (connection) => {
          live = connection;
          outbox.open((jws) =>
            connection.keep(jws).catch((error: unknown) => {
              refused.abort(new Error(`an event was not kept: ${messageOf(error)}`));
              throw error;
            }),
          );
          up();
          log.info({ waiting: outbox.size }, `publishing revocations to ${broker}`);
        });
      } catch (error) {
        throw refused.signal.aborted ? refused.signal.reason : error;
      } finally {
        live = undefined;
        outbox.shut();
      }
    },
    onDown: (reason) =>
      log.warn({ reason, waiting: outbox.size, lost: outbox.lost }, `${broker} can't be reached; events wait`),
  });
  return {
    name,
    publish(event, jws) {
      if (event.type !== "heartbeat") return outbox.add(jws);
      try {
        live?.tell(jws);
      } catch {
        // The connection ends just now, and says why itself.
      }
    },
    async close() {
      await Promise.race([outbox.drained(), new Promise((resolve) => setTimeout(resolve, DRAIN_MS))]);
      await connected.close();
    },
  };
}

interface BrokerLogin {
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly tls?: Static<ReturnType<typeof BrokerTls>> | undefined;
}

/**
 * Checks that what goes together in a login is there together, and that its files can be read: called once, at the start.
 *
 * @throws {SectionError}
 *
 * @example
 * ```ts
 * create(section, context) {
 *   checkLogin(section);
 *   return connectedTransport("my-broker", context.clock, (sink, signal, up) => session(section, sink, signal, up));
 * }
 * ```
 */
export function checkLogin({ user, password, tls }: BrokerLogin): void {
  if ((user === undefined) !== (password === undefined)) {
    throw new SectionError([user === undefined ? "user" : "password"], "user and password go together: give both");
  }
  if ((tls?.cert === undefined) !== (tls?.key === undefined)) {
    throw new SectionError(["tls"], "cert and key go together: give both");
  }
  readTls(tls);
}

/**
 * A login's files on disk: checked at the start and whenever they change, and told of before they end. Each connection reads them anew
 * (`readTls`), so what has changed counts from the next one.
 *
 * @param server One of the addresses, such as `amqps://mq.internal:5671`: the role in the log and the metrics has its host and port.
 * @throws (rejects with) {SectionError}
 *
 * @example
 * ```ts
 * await followLogin(context, section.servers[0], section.tls);
 * ```
 */
export async function followLogin(context: PluginContext, server: string, tls: BrokerLogin["tls"]): Promise<void> {
  const { ca, cert, key } = tls ?? {};
  const certificates = [ca, cert].filter((file) => file !== undefined);
  if (certificates.length === 0) return;
  await context.follow({
    role: `the broker ${URL.canParse(server) ? new URL(server).host || server : server}`,
    certificates,
    others: key === undefined ? [] : [key],
    take: () => checkTls(tls),
  });
}

/** That the files are what they should be, and fit together. @throws {SectionError} */
async function checkTls({ ca, cert, key }: NonNullable<BrokerLogin["tls"]> = {}): Promise<void> {
  const { readAuthorities, readCertificatePair } = await import("../../base/pki/pem.ts");
  try {
    if (ca !== undefined) readAuthorities(ca);
    if (cert !== undefined && key !== undefined) readCertificatePair(cert, key);
  } catch (error) {
    throw new SectionError(["tls"], messageOf(error));
  }
}

/**
 * The texts of the PEM files that a section names. Read anew for each connection, so that a rotated certificate is taken up.
 *
 * @throws {SectionError}
 *
 * @example
 * ```ts
 * const socket = tls.connect({ host: section.host, port: section.port, ...readTls(section.tls) });
 * ```
 */
export function readTls(tls: BrokerLogin["tls"]): { ca?: string; cert?: string; key?: string } {
  const texts: { ca?: string; cert?: string; key?: string } = {};
  for (const name of ["ca", "cert", "key"] as const) {
    const path = tls?.[name];
    if (path !== undefined) texts[name] = readSetting(path);
  }
  return texts;
}

/**
 * The text of a file that the section names, as it is, line breaks included.
 *
 * @throws {SectionError}
 *
 * @example
 * ```ts
 * const credentials = readSetting(section.credentials);
 * ```
 */
export function readSetting(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new SectionError([], `${path} can't be read (${(cause as NodeJS.ErrnoException).code})`);
  }
}

export const BROKER = {
  name: "broker",
  address: import.meta.url,
  exports: { checkLogin, connectedPublisher, connectedTransport, followLogin, readSetting, readTls },
} as const;
