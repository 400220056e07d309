import { expect, setDefaultTimeout, test } from "bun:test";
import { SILENT_LOG } from "../../src/base/log-port.ts";
import { CertificateExpiry } from "../../src/base/pki/certificate-expiry.ts";
import { readCertificates } from "../../src/base/pki/pem.ts";
import { systemClock } from "../../src/base/time/system-clock.ts";
import { CORE_METRICS } from "../../src/core/core-metrics.ts";
import { readinessOf, startWatchListener } from "../../src/core/watch-listener.ts";
import { startCoreWorld } from "../support/core-world.ts";
import { makeTemporaryFile } from "../support/temporary-file.ts";

/** For a busy machine. */
setDefaultTimeout(30_000);

test("a Core says by HTTP whether it lives, is ready and why not, and what it counts; nothing else", async () => {
  await using world = await startCoreWorld({ createOnFirstUse: true });
  using certificate = makeTemporaryFile("core.pem", world.options.tls.cert);
  const expiry = new CertificateExpiry(systemClock, SILENT_LOG);
  expiry.use("the Core's listener", certificate.path, readCertificates(certificate.path).certificates);
  const watched = { core: world.core, expiry, clock: systemClock };
  const listener = await startWatchListener({ host: "127.0.0.1", port: 0 }, watched);
  try {
    await (await world.client()).lease({ tenant: "tenant-a", service: "billing" });
    const get = (path: string, init?: RequestInit) => fetch(`${listener.url}${path}`, init);
    expect(await (await get("/livez")).json()).toEqual({ status: "live" });
    const ready = await get("/readyz");
    expect([ready.status, await ready.json()]).toEqual([200, { ready: true, database: "ok", reasons: [] }]);
    const metrics = await (await get("/metrics")).text();
    for (const { name, type } of CORE_METRICS) expect(metrics).toContain(`# TYPE ${name} ${type}\n`);
    expect(metrics).toContain("crypto_core_lease_calls_total 1\n");
    expect(metrics).toContain("crypto_core_database_up 1\n");
    expect(metrics).toMatch(/crypto_core_certificate_days_left\{role="the Core's listener",file="[^"]+"\} \d/);
    expect(metrics).not.toContain("tenant-a");
    expect((await get("/core/v1/keys")).status).toBe(404);
    // A page whose own name was made to point at 127.0.0.1.
    expect((await get("/metrics", { headers: { host: "evil.example" } })).status).toBe(421);
    expect((await get("/readyz", { method: "POST", body: "x" })).status).toBe(405);
  } finally {
    await listener.close();
    expiry.close();
  }
});

test("a Core whose database is away, or whose certificate has ended, is not ready; one whose disk is full says so", async () => {
  await using world = await startCoreWorld();
  const with_ = (change: PropertyDescriptorMap) =>
    readinessOf({ core: Object.create(world.core, change), expiry: undefined as never, clock: systemClock });
  expect(with_({ health: { value: { away: "refused", full: undefined } } })).toEqual({
    ready: false,
    database: "away",
    reasons: ["the database is away"],
  });
  expect(with_({ health: { value: { late: "cut" } } })).toEqual({
    ready: true,
    database: "ok",
    reasons: ["events of other Cores are told up to a second late: cut"],
  });
  expect(with_({ hasMasterKey: { value: false } })).toMatchObject({ ready: false });
  expect(with_({ certificateEndsAtMs: { value: Date.now() - 1 } })).toMatchObject({ ready: false });
  expect(with_({ health: { value: { away: undefined, full: "the disk is full" } } })).toMatchObject({
    ready: true,
    database: "full",
    reasons: ["the disk is full"],
  });
});
