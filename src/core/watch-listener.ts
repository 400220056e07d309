/** `/livez`, `/readyz` and `/metrics` of a Core, over plain HTTP on a listener of their own: no name of a tenant or an edge. */
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { HostAndPort } from "../base/config/schema-types.ts";
import { isLoopback, namesLoopback } from "../base/network/loopback-host.ts";
import { METRICS_TYPES } from "../base/network/metrics-format.ts";
import type { CertificateExpiry } from "../base/pki/certificate-expiry.ts";
import { descriptorRoom } from "../base/system/descriptors.ts";
import type { Clock } from "../base/time/clock.ts";
import { coreMetrics } from "./core-metrics.ts";
import type { RunningCore } from "./running-core.ts";

export interface WatchedCore {
  readonly core: RunningCore;
  readonly expiry: CertificateExpiry;
  readonly clock: Clock;
}

export interface WatchListener {
  readonly url: string;
  close(): Promise<void>;
}

/** Whoever watches asks now and then; more connections than this are a mistake. */
const MAX_CONNECTIONS = 64;

/** What a load balancer acts on: whether this Core can grant leases and tell events now, and why not. */
export interface CoreReadiness {
  readonly ready: boolean;
  readonly database: string;
  readonly reasons: readonly string[];
}

export function readinessOf({ core, clock }: WatchedCore): CoreReadiness {
  const { away, unfit, full, late } = core.health;
  const hasExpired = core.certificateEndsAtMs <= clock.wallMs();
  const reasons = [
    ...(away === undefined ? [] : ["the database is away"]),
    ...(unfit === undefined ? [] : [unfit]),
    ...(hasExpired ? ["the Core's certificate has expired"] : []),
    ...(core.hasMasterKey ? [] : ["the master key was rotated and this Core has the old one only"]),
    // Said, though it is ready: a revocation has room, bulk data has none.
    ...(full === undefined ? [] : [full]),
    ...(late === undefined ? [] : [`events of other Cores are told up to a second late: ${late}`]),
  ];
  return {
    ready: away === undefined && unfit === undefined && !hasExpired && core.hasMasterKey,
    database: unfit !== undefined ? "unfit" : away !== undefined ? "away" : full !== undefined ? "full" : "ok",
    reasons,
  };
}

/** @throws Error with a sentence where the address can't be listened on */
export async function startWatchListener(listen: HostAndPort, watched: WatchedCore): Promise<WatchListener> {
  const server = createServer({ requestTimeout: 10_000, keepAliveTimeout: 5_000 }, (request, response) => {
    request.resume();
    // Of a listener on loopback: a page whose own name points at it (DNS rebinding) must not read the answers.
    if (isLoopback(listen.host) && !namesLoopback(request.headers.host ?? "")) {
      return answer(response, 421, "application/json", JSON.stringify({ code: "misdirected_request" }));
    }
    const path = (request.url ?? "/").split("?", 1)[0];
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.setHeader("allow", "GET, HEAD");
      return answer(response, 405, "application/json", JSON.stringify({ code: "method_not_allowed" }));
    }
    if (path === "/livez") return answer(response, 200, "application/json", JSON.stringify({ status: "live" }));
    if (path === "/readyz") {
      const readiness = readinessOf(watched);
      return answer(response, readiness.ready ? 200 : 503, "application/json", JSON.stringify(readiness));
    }
    if (path === "/metrics") {
      return answer(response, 200, METRICS_TYPES.prometheus, coreMetrics(watched));
    }
    answer(response, 404, "application/json", JSON.stringify({ code: "not_found" }));
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.prependListener("connection", (socket) => {
    if (!descriptorRoom.admits()) socket.destroy();
  });
  const where = `${listen.host}:${listen.port}`;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(
        new Error(`the Core can't listen for those who watch on ${where} (${error.code}): choose another address`),
      ),
    );
    server.listen(listen.port, listen.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const host = listen.host.includes(":") ? `[${listen.host}]` : listen.host;
  return {
    url: `http://${host}:${port}`,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { "content-type": type, "cache-control": "no-store" });
  response.end(body);
}
