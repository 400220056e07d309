/** Where the Core listens: mutual TLS, by certificates that can be renewed, and so many connections of one caller. */
import { messageOf } from "../base/errors.ts";
import { type ServerCertificates, startTlsServer } from "../base/network/tls/server.ts";
import type { Peer } from "../base/pki/peer-certificate.ts";
import type { RevocationLists } from "../base/pki/revocation-list.ts";
import { type CoreLog, sendProblem } from "./answers.ts";
import { CallerConnections } from "./caller-connections.ts";
import { type HttpRequest, type HttpResponse, speakNodeHttp } from "./node-http.ts";
import { CoreError } from "./protocol/core-error.ts";

const CLOSE_GRACE_MS = 3_000;

export interface CoreListenerOptions {
  readonly listen: { readonly hostname: string; readonly port: number };
  readonly certificates: ServerCertificates;
  readonly lists: RevocationLists;
  /** Connections of one caller. */
  readonly connectionsMax: number;
  /** Answers, or throws what the caller is refused with. */
  readonly handle: (request: HttpRequest, response: HttpResponse, peer: Peer) => Promise<void>;
  readonly log: CoreLog;
}

export interface CoreListener {
  readonly port: number;
  readonly connections: number;
  /** Throws, changing nothing, where they are bad. */
  use(certificates: ServerCertificates, lists: RevocationLists): void;
  /** From now on every call is refused as one that may come again soon. */
  refuseCalls(): void;
  /** Finishes calls in flight, for a few seconds at most. */
  close(): Promise<void>;
}

/** @throws Error with a sentence that says what to do, where the certificates or the address can't be used. */
export async function openCoreListener(options: CoreListenerOptions): Promise<CoreListener> {
  const { listen, handle, log } = options;
  let isClosing = false;
  const callers = new CallerConnections(options.connectionsMax, options.lists);
  const onError = (error: unknown): void => log("error", "a connection failed", { reason: messageOf(error) });
  const server = await startTlsServer({
    hostname: listen.hostname,
    port: listen.port,
    certificates: options.certificates,
    admit: (peer) => callers.admit(peer),
    onClosed: (peer) => callers.closed(peer),
    onConnection: speakNodeHttp({
      onRequest: async (request, response, peer) => {
        try {
          if (isClosing) {
            throw new CoreError("unavailable", "this Core is stopping: ask again soon", { retryAfterSeconds: 1 });
          }
          await handle(request, response, peer);
        } catch (error) {
          sendProblem(request, response, error, log);
        }
      },
      onError,
    }),
    onRefused: ({ remoteAddress, code, reason }) =>
      log("warn", "a connection was refused", { remoteAddress, code, reason }),
    onError,
  }).catch((error: unknown) => {
    throw listenError(error, listen);
  });

  return {
    port: server.port,
    get connections() {
      return server.connections;
    },
    use(certificates, lists) {
      server.reload(certificates);
      callers.use(lists);
      server.recheck();
    },
    refuseCalls() {
      isClosing = true;
    },
    close: () => server.close(CLOSE_GRACE_MS),
  };
}

function listenError(error: unknown, listen: { hostname: string; port: number }): Error {
  const { code } = error as NodeJS.ErrnoException;
  const where = `${listen.hostname}:${listen.port}`;
  if (code === "EADDRINUSE") return new Error(`${where} is in use: stop what listens there, or choose another port`);
  if (code === "EACCES") return new Error(`this user may not listen on ${where}: choose a port above 1023`);
  return new Error(`the Core can't listen on ${where}: ${messageOf(error)}`, { cause: error });
}
