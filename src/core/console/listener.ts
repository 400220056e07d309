/** The console's listener: mutual TLS, administrators and those who may look, and one log line for every action (docs/console.md). */
import { messageOf } from "../../base/errors.ts";
import { startTlsServer } from "../../base/network/tls/server.ts";
import type { Peer } from "../../base/pki/peer-certificate.ts";
import { compileGlobs } from "../../edge/access/glob.ts";
import { sendProblem, sendResponse } from "../answers.ts";
import { callerName, identifyCaller, requireAdmin } from "../caller.ts";
import type { ConsoleListener, ConsoleOptions } from "../console-port.ts";
import { type HttpRequest, type HttpResponse, readBody, speakNodeHttp } from "../node-http.ts";
import { type ConsoleApp, createConsoleApp } from "./app.ts";

const MAX_BODY_BYTES = 16_384;
/** A browser opens about six; more people than this are a mistake. */
const MAX_CONNECTIONS = 256;
const CLOSE_GRACE_MS = 1_000;
/** What the app may see of a request. */
const HEADERS = ["host", "origin", "sec-fetch-site", "content-type"] as const;

export async function startConsole(options: ConsoleOptions): Promise<ConsoleListener> {
  const { listen, log, trustDomain } = options;
  let revoked = options.revocationLists;
  const isViewer = compileGlobs(options.viewers);
  const apps = {
    administrator: createConsoleApp(options, "administrator"),
    viewer: createConsoleApp(options, "viewer"),
  };
  const onError = (error: unknown): void =>
    log("error", "a connection to the console failed", { reason: messageOf(error) });
  const server = await startTlsServer({
    hostname: listen.host,
    port: listen.port,
    certificates: options.certificates,
    limits: { maxConnections: MAX_CONNECTIONS },
    admit: ({ certificate }) => certificate && revoked.refusalOf(certificate),
    onConnection: speakNodeHttp({
      async onRequest(request, response, peer) {
        try {
          const identity = identifyCaller(peer, trustDomain);
          const looksOnly = identity.kind !== "core-admin" && isViewer(callerName(peer));
          if (!looksOnly) requireAdmin(identity);
          await answer(apps[looksOnly ? "viewer" : "administrator"], request, response, peer, log);
        } catch (error) {
          sendProblem(request, response, error, log);
        }
      },
      onError,
    }),
    onRefused: ({ remoteAddress, code, reason }) =>
      log("warn", "a connection to the console was refused", { remoteAddress, code, reason }),
    onError,
  }).catch((error: NodeJS.ErrnoException) => {
    const where = `${listen.host}:${listen.port}`;
    throw new Error(`the console can't listen on ${where} (${error.code}): choose another address`, { cause: error });
  });
  const host = listen.host.includes(":") ? `[${listen.host}]` : listen.host;
  return {
    url: `https://${host}:${server.port}`,
    useCertificates(certificates, lists) {
      server.reload(certificates);
      revoked = lists;
      server.recheck();
    },
    close: () => server.close(CLOSE_GRACE_MS),
  };
}

async function answer(
  app: ConsoleApp,
  request: HttpRequest,
  response: HttpResponse,
  peer: Peer,
  log: ConsoleOptions["log"],
): Promise<void> {
  const method = request.method ?? "GET";
  const target = request.url ?? "/";
  const body = method === "POST" ? await readBody(request, MAX_BODY_BYTES) : undefined;
  const headers = new Headers();
  for (const name of HEADERS) {
    const value = request.headers[name];
    if (typeof value === "string") headers.set(name, value);
  }
  const made = await app.handle(
    new Request(new URL(target.startsWith("/") ? `https://console.invalid${target}` : "https://console.invalid/-"), {
      method,
      headers,
      ...(body === undefined ? {} : { body: Uint8Array.from(body) }),
    }),
  );
  if (method === "POST") {
    log("info", made.status === 303 ? "an administrator acted" : "an action at the console was refused", {
      call: `console ${target.split("?", 1)[0]}`,
      caller: callerName(peer),
      serial: peer.certificate?.serial,
      status: made.status,
      answer: made.headers.get("location") ?? undefined,
    });
  }
  await sendResponse(response, made);
}
