/** OpenTelemetry (docs/opentelemetry.md): what is sent is what the specification says, nothing secret, and never at a caller's cost. */
import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { allowAll, CALLER, heldLeases } from "../../../bench/harness/edge-in-process.ts";
import { bind } from "../../../src/base/module.ts";
import { parseConfiguration } from "../../../src/edge/config/load.ts";
import { NO_CONTRIBUTIONS } from "../../../src/edge/config/schema.ts";
import { createOperations } from "../../../src/edge/operations/pipeline.ts";
import { REVOCATION_TRANSPORTS } from "../../../src/edge/revocation/module.ts";
import type { RevocationSink } from "../../../src/edge/revocation/revocation-transport.ts";
import type { Span } from "../../../src/edge/telemetry/otlp/messages.ts";
import { openOtlp } from "../../../src/edge/telemetry/otlp/open-otlp.ts";
import { Tracing } from "../../../src/edge/telemetry/otlp/tracing.ts";
import type { AuditEvent } from "../../../src/edge/usage/audit-sink.ts";
import { SinkSender } from "../../../src/edge/usage/sink-sender.ts";
import { makeAuthority } from "../../support/certificates.ts";
import { freePort } from "../../support/free-port.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../../support/otlp-receiver.ts";
import { ROOT } from "../../support/pages.ts";
import { startStaticEdge, staticConfiguration } from "../../support/static-edge.ts";
import { eventually } from "../../support/until.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";
/** The active key of the static source. */
const L3 = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

let receiver: OtlpReceiver;
beforeEach(async () => {
  receiver = await startOtlpReceiver();
});
afterEach(() => receiver.close());

const configured = (url = receiver.url, more = ""): string =>
  staticConfiguration(`telemetry: { otlp: { url: "${url}", service_name: payments-edge${more} } }\nstop_timeout: 2s`);

async function create(url: string, service = "billing", headers: Record<string, string> = {}) {
  const response = await fetch(`${url}/v1/keys/create`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ tenant: "tenant-a", service, context: { patient: "context-of-alice" }, plaintext: true }),
  });
  return { status: response.status, body: (await response.json()) as { plaintext: string; wrapped: string } };
}

describe("an edge with a collector", () => {
  test("sends a span for the miss, a child of the caller's, and one for its call to the source, and none for hits", async () => {
    const edge = await startStaticEdge(configured());
    const bodies = [];
    const traceparent = `00-${TRACE}-${PARENT}-01`;
    for (let call = 0; call < 20; call++) bodies.push(await create(edge.url, "billing", { traceparent }));
    expect(bodies.map(({ status }) => status)).toEqual(Array(20).fill(201));
    await edge.close();

    expect(receiver.faults).toEqual([]);
    expect(receiver.spans.map(({ name }) => name).sort()).toEqual(["lease.call", "lease.wait"]);
    const wait = receiver.spans.find(({ name }) => name === "lease.wait")!;
    const call = receiver.spans.find(({ name }) => name === "lease.call")!;
    expect([wait.traceId, wait.parentSpanId]).toEqual([TRACE, PARENT]);
    expect([call.traceId, call.parentSpanId, call.kind]).toEqual([TRACE, wait.spanId, 3]);
    expect(wait.attributes).toMatchObject({
      "crypto_edge.tenant": "tenant-a",
      "crypto_edge.service": "billing",
      "crypto_edge.operation": "create",
      "crypto_edge.door": "native",
    });
    expect(receiver.resources[0]).toMatchObject({
      "service.name": "payments-edge",
      "service.instance.id": "edge-test",
    });

    // Nothing of keys, blobs, contexts.
    const sent = receiver.requests.map(({ text }) => text).join("\n");
    expect(sent.length).toBeGreaterThan(500);
    for (const { body } of bodies) {
      expect(sent).not.toContain(body.plaintext);
      expect(sent).not.toContain(body.wrapped);
    }
    for (const secret of ["alice", "patient", L3, Buffer.from(L3, "hex").toString("base64")]) {
      expect(sent).not.toContain(secret);
    }
  });

  test("sends no span of a trace that the caller does not record", async () => {
    const edge = await startStaticEdge(configured());
    await create(edge.url, "billing", { traceparent: `00-${TRACE}-${PARENT}-00` });
    expect((await create(edge.url)).status).toBe(201);
    await edge.close();
    expect(receiver.requests.length).toBeGreaterThan(0);
    expect(receiver.spans).toEqual([]);
  });

  test("names a miss's trace as the exemplar of its bucket, and of what was not sent none", async () => {
    const edge = await startStaticEdge(configured().replace("principal: local", "principal: local, status: true"));
    const scrape = async () => {
      const answer = await fetch(`${edge.url}/metrics`, { headers: { accept: "application/openmetrics-text" } });
      expect(answer.headers.get("content-type")).toStartWith("application/openmetrics-text; version=1.0.0");
      return [...(await answer.text()).matchAll(/outcome="(\w+)".* # \{trace_id="(\w+)"\} [\d.e-]+ [\d.]+$/gm)];
    };
    await create(edge.url, "other", { traceparent: `00-${TRACE}-${PARENT}-00` });
    expect(await scrape()).toEqual([]);
    for (let call = 0; call < 20; call++)
      await create(edge.url, "billing", { traceparent: `00-${TRACE}-${PARENT}-01` });
    const exemplars = await scrape();
    expect(exemplars.map(([, outcome, trace]) => [outcome, trace])).toEqual([["ok", TRACE]]);
    await edge.close();
    const wait = receiver.spans.find(({ name }) => name === "lease.wait")!;
    expect(wait.traceId).toBe(TRACE);
  });

  test("tells by the code alone why a miss got no lease, and sends each audit event as a log record", async () => {
    const edge = await startStaticEdge(configured());
    expect((await create(edge.url, "unknown")).status).toBe(404);
    await edge.close();
    expect(receiver.faults).toEqual([]);
    expect(receiver.spans.map(({ name, error }) => [name, error]).sort()).toEqual([
      ["lease.call", "key_not_found"],
      ["lease.wait", "key_not_found"],
    ]);
    const refused = receiver.logs.filter(({ body }) => body.type === "operation");
    expect(refused).toHaveLength(1);
    expect(refused[0]).toMatchObject({
      severity: "WARN",
      body: { operation: "create", outcome: "key_not_found", service: "unknown", principal_kind: "listener" },
      attributes: { "crypto_edge.audit.type": "operation", "crypto_edge.audit.outcome": "key_not_found" },
    });
  });

  test("sends a span for a revocation, from its receipt until its keys are wiped", async () => {
    let sink: RevocationSink | undefined;
    const transport = {
      name: "here",
      start: async (given: RevocationSink) => {
        sink = given;
      },
      close: async () => {},
    };
    const edge = await startStaticEdge(configured(), [bind(REVOCATION_TRANSPORTS, [transport])]);
    await create(edge.url);
    const at = new Date().toISOString();
    const scope = { tenant: "tenant-a", service: "billing" };
    const event = {
      type: "revoke",
      log: "log-1",
      seq: 7,
      at,
      ...scope,
      state: "compromised",
      reason: "drill",
    } as const;
    sink!.deliver(event);
    sink!.deliver(event);
    sink!.applyAuthority({ type: "revoke", issuer: "orbital", scope: { tenant: "tenant-b" }, reason: "drill" });
    expect((await create(edge.url)).status).toBe(410);
    await edge.close();
    expect(receiver.faults).toEqual([]);
    const revocations = receiver.spans.filter(({ name }) => name === "revocation");
    expect(revocations.map(({ kind, attributes }) => [kind, attributes])).toEqual([
      [
        5,
        {
          "crypto_edge.tenant": "tenant-a",
          "crypto_edge.service": "billing",
          "crypto_edge.transport": "here",
          "crypto_edge.log": "log-1",
          "crypto_edge.seq": 7,
          "crypto_edge.state": "compromised",
        },
      ],
      [5, { "crypto_edge.tenant": "tenant-b", "crypto_edge.transport": "here", "crypto_edge.issuer": "orbital" }],
    ]);
    expect(revocations[0]!.endNs).toBeGreaterThan(revocations[0]!.startNs);
  });

  test("sends the configured headers, asks no proxy of the environment, and leaves out what is switched off", async () => {
    let asked = 0;
    const proxy = createServer((_, response) => response.writeHead(502).end(String(++asked))).listen(0, "127.0.0.1");
    await new Promise((resolve) => proxy.once("listening", resolve));
    const { port } = proxy.address() as AddressInfo;
    const before = { ...process.env };
    for (const name of ["HTTP_PROXY", "http_proxy", "ALL_PROXY"]) process.env[name] = `http://127.0.0.1:${port}`;
    try {
      const edge = await startStaticEdge(configured(receiver.url, ", traces: false, headers: { X-Tenant: ours }"));
      await edge.client.createKey({ tenant: "tenant-a", service: "billing" }).catch(() => {});
      await edge.close();
    } finally {
      for (const name of ["HTTP_PROXY", "http_proxy", "ALL_PROXY"]) {
        if (before[name] === undefined) delete process.env[name];
        else process.env[name] = before[name];
      }
      proxy.close();
    }
    expect(receiver.requests.length).toBeGreaterThan(0);
    expect(receiver.requests.every(({ path }) => path === "/v1/logs")).toBe(true);
    expect(receiver.requests[0]!.headers["x-tenant"]).toBe("ours");
  });
});

describe("a collector over TLS", () => {
  test("is believed by its authority alone, shown the client certificate, and given secrets from files", async () => {
    const [authority, stranger] = await Promise.all([makeAuthority(), makeAuthority("another CA")]);
    const server = await authority.issue({ ip: ["127.0.0.1"] });
    const client = await authority.issue({ commonName: "edge-test" });
    const files = temporaryFolder({
      "ca.pem": authority.certificate,
      "stranger.pem": stranger.certificate,
      "client.pem": client.certificate,
      "client.key": client.key,
      token: "Bearer of-the-collector\n",
    });
    const tls = { cert: server.certificate, key: server.key, ca: authority.certificate, requestCert: true };
    const collector = await startOtlpReceiver(0, { ...tls, rejectUnauthorized: true });
    const secured = (ca: string): string =>
      configured(
        collector.url,
        `, ca: ${files}/${ca}, cert: ${files}/client.pem, key: ${files}/client.key, headers: { authorization: "file:${files}/token" }`,
      );
    const deceived = await startStaticEdge(secured("stranger.pem"));
    expect((await create(deceived.url)).status).toBe(201);
    await deceived.close();
    expect(collector.requests).toEqual([]);

    const edge = await startStaticEdge(secured("ca.pem"));
    expect((await create(edge.url)).status).toBe(201);
    const shown = (): unknown => collector.requests.at(-1)?.headers.authorization;
    await eventually(() => collector.spans.length >= 2, "the spans");
    expect(shown()).toBe("Bearer of-the-collector");
    writeFileSync(join(files, "token"), "Bearer another");
    // What is asked for first is a span: a service that nobody has asked for yet, each time.
    let asked = 0;
    await eventually(async () => {
      await create(edge.url, `unknown-${asked++}`, { traceparent: `00-${TRACE}-${PARENT}-01` });
      return shown() === "Bearer another";
    }, "the new one");
    await edge.close();
    await collector.close();
    expect(collector.faults).toEqual([]);
  }, 60_000);
});

describe("spans", () => {
  test("of a batch whose items wait for one lease are one", async () => {
    const first = await startStaticEdge(configured());
    const { wrapped } = (await create(first.url)).body;
    await first.close();
    receiver.spans.length = 0;
    const edge = await startStaticEdge(configured());
    const response = await fetch(`${edge.url}/v1/keys/decrypt-batch`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ items: Array(50).fill({ wrapped, context: { patient: "context-of-alice" } }) }),
    });
    expect(response.status).toBe(200);
    await edge.close();
    expect(receiver.spans.map(({ name }) => name).sort()).toEqual(["lease.call", "lease.wait"]);
  });

  test("of a signed revocation begin at its receipt, not at the end of its verification", async () => {
    const clock = new VirtualClock();
    const spans: Span[] = [];
    const tracing = new Tracing(clock, (span) => spans.push(span));
    const event = {
      type: "revoke",
      log: "log-1",
      seq: 7,
      at: "",
      tenant: "t",
      state: "compromised",
      reason: "",
    } as const;
    const payload = Buffer.from(JSON.stringify(event)).toString("base64url");
    const sink = {
      deliverSigned: async () => {
        await clock.advance(25);
        tracing.applied(event, "broker");
      },
    } as unknown as RevocationSink;
    await tracing.watched(sink, "broker").deliverSigned(`e30.${payload}.c2ln`);
    expect(spans.map(({ startMs, endMs }) => endMs - startMs)).toEqual([25]);
    // One that fills a gap was not received.
    tracing.applied({ ...event, seq: 8 }, "core");
    expect(spans.map(({ startMs, endMs }) => endMs - startMs)).toEqual([25, 0]);
  });
});

describe("a collector that is no good", () => {
  test("and stalls breaks neither serving nor the stop", async () => {
    receiver.answer = () => true;
    const edge = await startStaticEdge(configured());
    expect((await create(edge.url)).status).toBe(201);
    await eventually(() => receiver.requests.length > 0, "a request to the collector");
    for (let call = 0; call < 5; call++) expect((await create(edge.url)).status).toBe(201);
    await edge.close();
    expect(receiver.spans).toEqual([]);
  }, 60_000);

  test("and stalls at the stop is waited for no longer than stop_timeout", async () => {
    const { clock, sender, stop } = alone();
    receiver.answer = () => true;
    sender.append(event("r-1"));
    stop();
    let closed = false;
    const closing = sender.close(5_000).then(() => {
      closed = true;
    });
    // `alone` has a stop_timeout of one second.
    await eventually(() => receiver.requests.length === 1, "the last batch");
    await clock.advance(999);
    expect(closed).toBe(false);
    await clock.advance(1);
    await closing;
    expect(sender.status()).toMatchObject({ queued: 1, errors: 1 });
  });

  test("and is away at first gets everything once it is there", async () => {
    const port = await freePort();
    const edge = await startStaticEdge(configured(`http://127.0.0.1:${port}`));
    expect((await create(edge.url)).status).toBe(201);
    const metrics = async (): Promise<string> => (await fetch(`${edge.url}/metrics`)).text();
    let text = "";
    for (; !/otlp_errors_total\{signal="logs"\} [1-9]/.test(text); await Bun.sleep(20)) text = await metrics();
    const late = await startOtlpReceiver(port);
    await eventually(() => late.logs.length > 0 && late.spans.length >= 2, "spans and log records");
    expect(late.faults).toEqual([]);
    await edge.close();
    await late.close();
  }, 60_000);

  test("and says 503 with Retry-After is left alone for so long, then gets the same again", async () => {
    const { clock, otlp, sender } = alone();
    const askedMs: number[] = [];
    receiver.answer = (_, response: ServerResponse) => {
      askedMs.push(clock.monotonicMs());
      if (askedMs.length > 1) return false;
      response.writeHead(503, { "Retry-After": "30" }).end();
      return true;
    };
    sender.append(event("r-1"));
    sender.append(event("r-2"));
    for (let step = 0; receiver.requests.length === 0 || sender.status().queued > 0; step++) {
      expect(step).toBeLessThan(20_000);
      // Time stands still while the answer is on its way.
      if (askedMs.length === 0 ? clock.monotonicMs() < 1_200 : sender.status().errors > 0) await clock.advance(100);
      await Bun.sleep(1);
    }
    expect(askedMs).toHaveLength(2);
    expect(askedMs[1]! - askedMs[0]!).toBeGreaterThanOrEqual(30_000);
    expect(receiver.requests[1]!.text.match(/"body"/g)).toHaveLength(2);
    await sender.close(1_000);
    await otlp.close(1_000);
  }, 60_000);

  test("and refuses a batch for good does not stop the next ones; what is lost is counted", async () => {
    const { otlp, sink, warnings } = alone();
    const answers = [400, 200, 200];
    receiver.answer = (_, response) => {
      const partial = answers.length === 2 ? { partialSuccess: { rejectedLogRecords: "1" } } : {};
      response.writeHead(answers.shift()!, { "Content-Type": "application/json" }).end(JSON.stringify(partial));
      return true;
    };
    const { signal } = new AbortController();
    await sink.write([event("r-1"), event("r-2")], signal);
    await sink.write([event("r-3"), event("r-4")], signal);
    await sink.write([event("r-5")], signal);
    const figure = (name: string) =>
      otlp.metrics.find((metric) => metric.name === `crypto_edge_otlp_${name}_total`)!.read()[1]!.value;
    expect([figure("sent"), figure("refused"), figure("errors")]).toEqual([2, 3, 1]);
    expect(warnings.join()).toContain("answered 400");
  });

  test("fills a queue that is bounded; the spans beyond are counted", () => {
    const { otlp } = alone();
    for (let index = 0; index < 3_000; index++) {
      otlp.tracing!.applied(
        { type: "revoke", log: "log-1", seq: index + 1, at: "", tenant: "t", state: "destroyed", reason: "" },
        "here",
      );
    }
    const dropped = otlp.metrics.find(({ name }) => name === "crypto_edge_otlp_dropped_spans_total")!;
    expect(dropped.read()[0]!.value).toBe(3_000 - 2_048);
  });
});

describe("without a collector", () => {
  test("the exporter is not loaded: outside its folder it is named by types, and by import() where it is configured", () => {
    const source = join(ROOT, "src");
    const files = (readdirSync(source, { recursive: true }) as string[]).filter((file) => file.endsWith(".ts"));
    const importing = files
      .filter((file) => !file.startsWith("edge/telemetry/otlp/"))
      .flatMap((file) => readFileSync(join(source, file), "utf8").split("\n"))
      .filter((line) => /otlp\/[a-z-]+\.ts"/.test(line));
    expect(importing.length).toBeGreaterThan(2);
    expect(importing.filter((line) => !/import type|await import\(/.test(line))).toEqual([]);
  });

  test("and with one, a hit tells nobody that it waits", () => {
    const waits = (): never => {
      throw new Error("a hit waited");
    };
    const recorder = { now: () => 0, record() {}, took() {}, waits };
    const operations = createOperations({ access: allowAll, leases: heldLeases(), recorder });
    const made = operations.createKey(CALLER, { tenant: "tenant-a", service: "billing" });
    expect(made).not.toBeInstanceOf(Promise);
  });
});

test("the configuration is strict", () => {
  const checked = (otlp: string): unknown =>
    parseConfiguration(staticConfiguration(`telemetry: { otlp: ${otlp} }`), "/tmp/edge.yaml").check({
      ...NO_CONTRIBUTIONS,
      keySources: {},
    });
  const mistake = (otlp: string): string => {
    try {
      checked(otlp);
    } catch (error) {
      return String(error);
    }
    return "none";
  };
  expect(mistake('{ url: "collector:4318" }')).toContain("telemetry.otlp.url: expected an https:// URL");
  expect(mistake('{ url: "https://collector:4318", trace: true }')).toContain('did you mean "traces"?');
  expect(mistake('{ url: "https://collector:4318", headers: { "a b": c } }')).toContain(
    "a key here is a header's name",
  );
  expect(mistake('{ url: "https://collector:4318", headers: { authorization: "file:/nowhere" } }')).toContain(
    "/nowhere",
  );
  const settings = { headers: {}, service_name: "edge", traces: true, audit: true };
  const { clock, warn, stopping } = parts();
  const open = (more: { url: string; ca?: string; cert?: string }) => () =>
    openOtlp({ settings: { ...settings, ...more }, edgeId: "edge-1", clock, warn, stopping, stopTimeoutMs: 1_000 });
  expect(open({ url: "http://collector:4318" })).toThrow("http:// is for a collector on this machine alone");
  expect(open({ url: "https://user:word@collector" })).toThrow("give credentials in headers");
  expect(open({ url: "https://collector", cert: "/tmp/a.pem" })).toThrow("cert and key go together");
  expect(open({ url: "https://collector", ca: "/nowhere.pem" })).toThrow("/nowhere.pem");
});

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

function temporaryFolder(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-otlp-"));
  folders.push(folder);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 });
  return folder;
}

function parts() {
  const warnings: string[] = [];
  const stopping = new AbortController();
  const warn = (message: string): void => void warnings.push(message);
  return { clock: new VirtualClock(), warn, warnings, stopping: stopping.signal, stop: () => stopping.abort() };
}

/** The exporter without an edge, in virtual time. */
function alone() {
  const { clock, warn, warnings, stopping, stop } = parts();
  // The receiver's check of times is of real ones.
  clock.jumpWall(Date.now() - clock.wallMs());
  const settings = { url: receiver.url, headers: {}, service_name: "edge", traces: true, audit: true };
  const otlp = openOtlp({ settings, edgeId: "edge-1", clock, warn, stopping, stopTimeoutMs: 1_000 });
  const sink = otlp.auditSink!;
  const sender = new SinkSender({ clock, sink, maxQueued: 100, maxBatch: 10, sendAfterMs: 100, warn });
  return { clock, otlp, sink, sender, warnings, stop };
}

function event(requestId: string): AuditEvent {
  return {
    type: "operation",
    time: new Date().toISOString(),
    principal: "billing",
    principalKind: "listener",
    version: 0,
    operation: "create",
    outcome: "access_denied",
    count: 1,
    requestId,
  };
}
