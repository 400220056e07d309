/** The console's listener: who is let in, by a client certificate, a token or a session, and one log line for every action (docs/console.md). */
import { messageOf } from "../../base/errors.ts";
import { startTlsServer } from "../../base/network/tls/server.ts";
import type { Peer } from "../../base/pki/peer-certificate.ts";
import { wipe } from "../../base/wipe.ts";
import { compileGlobs } from "../../edge/access/glob.ts";
import { coreErrorOf, sendProblem, sendResponse } from "../answers.ts";
import { callerName, identifyCaller, requireAdmin } from "../caller.ts";
import type { ConsoleListener, ConsoleOptions } from "../console-port.ts";
import { speakNodeHttp } from "../node-http.ts";
import { createConsoleApp, errorPage } from "./app.ts";
import { styleResponse } from "./layout.ts";
import { OidcIssuer } from "./oidc-issuer.ts";
import { readRequest } from "./read-request.ts";
import { SealedCookies } from "./sealed-cookies.ts";
import { createSignIn, type SignIn } from "./sign-in.ts";
import { roleOfCertificate, type Visitor, VisitorRequest } from "./visitor.ts";

/** A browser opens about six; more people than this are a mistake. */
const MAX_CONNECTIONS = 256;
const CLOSE_GRACE_MS = 1_000;

export async function startConsole(options: ConsoleOptions): Promise<ConsoleListener> {
  const { listen, log, trustDomain, clock } = options;
  let revoked = options.revocationLists;
  const isViewer = compileGlobs(options.viewers);
  const secret = Uint8Array.from(options.secret);
  const cookies = new SealedCookies(secret, clock);
  const parts = { ...options, secret };
  const apps = { administrator: createConsoleApp(parts, "administrator"), viewer: createConsoleApp(parts, "viewer") };
  let signIn: SignIn | undefined;

  const ofCertificate = (peer: Peer): Visitor | undefined => {
    if (peer.certificate === undefined && signIn !== undefined) return undefined;
    const identity = identifyCaller(peer, trustDomain);
    const name = callerName(peer);
    const role = roleOfCertificate(identity, name, isViewer);
    if (role !== undefined) return { name, subject: name, role, by: "certificate" };
    // Whoever shows another certificate may still sign in.
    if (signIn === undefined) requireAdmin(identity);
    return undefined;
  };

  async function answer(request: Request, peer: Peer): Promise<{ made: Response; visitor?: Visitor }> {
    // What a page of someone who is not let in looks like is no secret.
    if (signIn !== undefined && request.method === "GET" && new URL(request.url).pathname === "/console.css") {
      return { made: styleResponse() };
    }
    const byCertificate = ofCertificate(peer);
    try {
      const answered = byCertificate ? undefined : await signIn?.answer(request);
      if (answered?.signedIn !== undefined) log("info", "somebody signed in", whoOf(answered.signedIn, peer));
      if (answered !== undefined) return { made: answered.response };
      const visitor = byCertificate ?? (await signIn?.visitorOf(request.headers));
      if (visitor === undefined) return { made: signIn!.demand(request) };
      return { made: await apps[visitor.role].handle(new VisitorRequest(request, visitor)), visitor };
    } catch (error) {
      const told = coreErrorOf(error, log);
      log("warn", "somebody was not let in", { remoteAddress: peer.remoteAddress, reason: told.message });
      return { made: errorPage(told, undefined) };
    }
  }

  const onError = (error: unknown): void =>
    log("error", "a connection to the console failed", { reason: messageOf(error) });
  const server = await startTlsServer({
    hostname: listen.host,
    port: listen.port,
    certificates: options.certificates,
    clientCertificate: options.signIn === undefined ? "required" : "optional",
    limits: { maxConnections: MAX_CONNECTIONS },
    admit: ({ certificate }) => certificate && revoked.refusalOf(certificate),
    onConnection: speakNodeHttp({
      async onRequest(request, response, peer) {
        try {
          const asked = await readRequest(request);
          const { made, visitor } = await answer(asked, peer);
          if (asked.method === "POST" && visitor !== undefined) {
            log("info", made.status === 303 ? "an administrator acted" : "an action at the console was refused", {
              call: `console ${new URL(asked.url).pathname}`,
              ...whoOf(visitor, peer),
              status: made.status,
              answer: made.headers.get("location") ?? undefined,
            });
          }
          await sendResponse(response, made);
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
  const url = `https://${host}:${server.port}`;
  if (options.signIn !== undefined) {
    const issuer = new OidcIssuer(options.signIn, clock);
    signIn = createSignIn({ options: options.signIn, issuer, cookies, origin: options.signIn.url ?? url });
  }
  return {
    url,
    useCertificates(certificates, lists) {
      server.reload(certificates);
      revoked = lists;
      server.recheck();
    },
    async close() {
      await server.close(CLOSE_GRACE_MS);
      cookies.wipe();
      wipe(secret);
    },
  };
}

/** A certificate has a number of its own, which tells people apart who share a name. */
function whoOf({ name, subject, by }: Visitor, peer: Peer): Readonly<Record<string, unknown>> {
  if (by === "certificate") return { caller: name, serial: peer.certificate?.serial };
  return { caller: name, subject, by };
}
