import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { rotatedFiles } from "../../src/edge/usage/audit-file.ts";
import type { ClientCreatedKey } from "../../src/sdk/client/operations.ts";
import { DatagramSocket } from "../support/datagram-socket.ts";
import { until } from "../support/until.ts";
import { run } from "./support/binary.ts";
import { Deployment } from "./support/deployment.ts";
import { textForms } from "./support/secrets.ts";

const KEY = { tenant: "tenant-a", service: "billing" };
const CONTEXT_VALUE = "a-context-value-that-no-log-may-hold";
const CONTEXT = { record: CONTEXT_VALUE };

const OPERATED = `
usage: { send_after: 200ms }
audit:
  operations: failures
  file: { path: audit.jsonl, max_size: 8KiB }
  write_after: 20ms
metrics: { listen: "127.0.0.1:0" }
log: { level: debug }
`;

async function failing(run: () => Promise<unknown>): Promise<string> {
  try {
    await run();
  } catch (error) {
    return (error as { code: string }).code;
  }
  throw new Error("did not fail");
}

/** What callers do in a day: keys made and opened, things refused, a revocation. */
async function aDay(deployment: Deployment): Promise<ClientCreatedKey[]> {
  const { client } = deployment;
  const made: ClientCreatedKey[] = [];
  for (let index = 0; index < 20; index++) {
    made.push(await client.createKey({ ...KEY, context: CONTEXT, plaintext: true }));
  }
  for (const { wrapped } of made) await client.decryptKey({ wrapped, context: CONTEXT });
  const { wrapped } = made[0]!;
  expect(await failing(() => client.decryptKey({ wrapped, context: { record: `${CONTEXT_VALUE}-not` } }))).toBe(
    "decryption_failed",
  );
  expect(await failing(() => client.decryptKey({ wrapped: wrapped.slice(1), context: CONTEXT }))).toBe("invalid_blob");
  for (let index = 0; index < 30; index++) {
    expect(await failing(() => client.createKey({ tenant: `other-${index}`, service: "billing" }))).toBe(
      "access_denied",
    );
  }
  expect(await failing(() => client.createKey({ tenant: "tenant-unknown", service: "billing" }))).toBe("key_not_found");
  deployment.admin("revoke", "tenant-a", "billing", "--reason", "drill");
  await until(async () => (await failing(() => client.createKey(KEY))) === "key_revoked");
  return made;
}

/** The addresses that the edge listens at: the API's, and that for metrics. */
function addresses(deployment: Deployment): string[] {
  const [, list] = /"addresses":(\[[^\]]+\])/.exec(deployment.edge!.output())!;
  return JSON.parse(list!) as string[];
}

/** The sum over the samples of a metric that have at least these labels: `name` or `name{label="value",…}`. */
async function metric(url: string, sample: string): Promise<number | undefined> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const [, name, labels = ""] = /^(\w+)(?:\{(.*)\})?$/.exec(sample)!;
  const wanted = labels === "" ? [] : labels.split(",");
  const values = text
    .split("\n")
    .map((line) => /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line))
    .filter((match) => match?.[1] === name && wanted.every((label) => `,${match?.[2]},`.includes(`,${label},`)))
    .map((match) => Number(match![3]));
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0);
}

describe("an edge in operation", () => {
  test("tells the Core, the audit, the metrics and the status what it did; and no log holds a secret", async () => {
    await using deployment = new Deployment();
    await deployment.startCore();
    deployment.admin("service", "create", "tenant-a", "billing");
    await deployment.startEdge(OPERATED);
    const [api, watch] = addresses(deployment);
    // What is refused names the request and the caller's trace, in the answer and in the log.
    const traced = await fetch(`${api}/v1/keys/create`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "x-request-id": "order-17",
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
      },
      body: JSON.stringify({ tenant: "other-traced", service: "billing" }),
    });
    expect(traced.headers.get("x-request-id")).toBe("order-17");
    const names = { request_id: "order-17", trace_id: "4bf92f3577b34da6a3ce929d0e0e4736" };
    expect(await traced.json()).toMatchObject({ code: "access_denied", ...names });
    const [logged] = await deployment.edge!.waitFor(/.*order-17.*/);
    expect(JSON.parse(logged)).toMatchObject({ code: "access_denied", ...names });

    const made = await aDay(deployment);

    // The status, and the metrics on their own listener, where no operation is served.
    const status = run(["status", "--edge", api!], { cwd: deployment.folder });
    expect(status.stdout).toContain("edge-1");
    expect(status.stdout).toMatch(/audit head {2}\d+:/);
    expect(await metric(watch!, 'crypto_edge_keys_total{door="native",operation="create",outcome="ok"}')).toBe(20);
    expect(await metric(watch!, 'crypto_edge_keys_total{door="native",operation="decrypt",outcome="ok"}')).toBe(20);
    expect(
      await metric(watch!, 'crypto_edge_keys_total{door="native",operation="create",outcome="access_denied"}'),
    ).toBe(31);
    expect(
      await metric(
        watch!,
        'crypto_edge_operation_duration_seconds_count{door="native",operation="decrypt",outcome="invalid_blob"}',
      ),
    ).toBe(1);
    expect(await metric(watch!, "crypto_edge_lease_hits_total")).toBeGreaterThan(38);
    expect(await metric(watch!, 'crypto_edge_revocation_connected{transport="core"}')).toBe(1);
    expect(await metric(watch!, "crypto_edge_lease_revoked_versions_total")).toBe(1);
    expect((await fetch(`${watch}/v1/keys/create`, { method: "POST", body: "{}" })).status).toBe(404);
    expect((await fetch(`${watch}/livez`)).status).toBe(200);
    await until(async () => (await metric(watch!, "crypto_edge_usage_waiting_records")) === 0);

    expect(await deployment.edge!.stop()).toBe(0);

    // The Core has every count, and the same audit lines as the file.
    expect(await deployment.core!.stop()).toBe(0);
    using database = new Database(deployment.file("core.sqlite-usage"));
    const counted = (operation: string, outcome: string): number =>
      database
        .query<{ total: number }, [string, string]>(
          "SELECT coalesce(sum(count), 0) AS total FROM usage_counts WHERE operation = ? AND outcome = ?",
        )
        .get(operation, outcome)!.total;
    expect(counted("create", "ok")).toBe(20);
    expect(counted("decrypt", "ok")).toBe(20);
    expect(counted("create", "access_denied")).toBe(31);
    expect(counted("decrypt", "decryption_failed")).toBe(1);
    expect(counted("decrypt", "invalid_blob")).toBe(1);

    const files = [...rotatedFiles(deployment.file("audit.jsonl")), deployment.file("audit.jsonl")];
    expect(files.length).toBeGreaterThan(1);
    const lines = files.flatMap((file) => readFileSync(file, "utf8").trimEnd().split("\n"));
    const atCore = database.query<{ event: string }, []>("SELECT event FROM audit_events ORDER BY id").all();
    expect(atCore.map(({ event }) => event)).toEqual(lines);

    const events = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(events[0]).toMatchObject({ type: "administration", operation: "start", principal: "edge-1" });
    expect(events.at(-1)).toMatchObject({ type: "administration", operation: "stop" });
    expect(events.filter(({ outcome }) => outcome === "access_denied")).toHaveLength(31);
    expect(events.find(({ outcome }) => outcome === "access_denied")).toMatchObject({
      type: "operation",
      principal: "local",
      principal_kind: "listener",
      tenant: "other-traced",
      service: "billing",
      operation: "create",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      request_id: "order-17",
    });
    expect(events.find(({ tenant }) => tenant === "other-0")).toMatchObject({
      request_id: expect.stringMatching(/^[0-9a-f]{16}$/),
    });
    expect(events.some(({ type, operation }) => type === "lease" && operation === "lease_installed")).toBe(true);
    expect(events.find(({ type }) => type === "revocation")).toMatchObject({ operation: "revoke", tenant: "tenant-a" });

    const verdict = run(["audit", "verify", ...files.toReversed()], { cwd: deployment.folder });
    expect([verdict.code, verdict.stdout]).toEqual([0, expect.stringContaining("nothing is missing or altered")]);

    // No log of either process holds what no log may hold, nor does the audit.
    const printed = [deployment.edge!.output(), deployment.core!.output(), ...lines].join("\n");
    expect(printed.length).toBeGreaterThan(2000);
    const master = readFileSync(deployment.file("master.key"));
    const secrets = [...made.flatMap(({ plaintext, wrapped }) => [plaintext!, wrapped]), master].flatMap(textForms);
    for (const secret of [...secrets, CONTEXT_VALUE]) expect(printed.includes(secret)).toBe(false);
    for (const line of deployment.edge!.output().trimEnd().split("\n")) {
      expect(JSON.parse(line)).toMatchObject({ level: expect.any(String), time: expect.any(String) });
    }
  });

  test("gives an altered, a missing and a cut audit line away, and a head from elsewhere finds a cut end", async () => {
    await using deployment = new Deployment();
    await deployment.startCore();
    await deployment.startEdge(OPERATED.replace("8KiB", "1MiB"));
    const { client } = deployment;
    for (let index = 0; index < 5; index++) {
      await failing(() => client.createKey({ tenant: `other-${index}`, service: "billing" }));
    }
    expect(await deployment.edge!.stop()).toBe(0);
    const path = deployment.file("audit.jsonl");
    const verify = (...args: string[]) => run(["audit", "verify", path, ...args], { cwd: deployment.folder });
    const [, head] = /head (\d+:\S+):/.exec(verify().stdout)!;
    const text = readFileSync(path, "utf8");
    const lines = text.trimEnd().split("\n");
    const tries: [string, string, RegExp][] = [
      ["altered", text.replace("other-2", "other-9"), /was altered/],
      ["missing", `${lines.filter((line) => !line.includes("other-2")).join("\n")}\n`, /is missing/],
      ["moved", `${[lines[1], lines[0], ...lines.slice(2)].join("\n")}\n`, /missing|moved/],
      ["torn", text.slice(0, -20), /cut off/],
    ];
    for (const [what, changed, said] of tries) {
      writeFileSync(path, changed);
      const { code, stdout } = verify();
      expect([what, code, stdout]).toEqual([what, 1, expect.stringMatching(said)]);
    }
    writeFileSync(path, `${lines.slice(0, -2).join("\n")}\n`);
    expect(verify()).toMatchObject({ code: 0, stdout: expect.stringContaining("is not a stop") });
    expect(verify("--head", head!)).toMatchObject({ code: 1, stdout: expect.stringContaining("is missing") });
    writeFileSync(path, text);
    expect(verify("--head", head!).code).toBe(0);
    expect(verify("--head", "nonsense").code).toBe(2);
    expect(JSON.parse(verify("--json").stdout)).toMatchObject({ ok: true, problems: [] });
  });

  test("loses at most what was not yet written when it is killed, and its audit shows the kill", async () => {
    await using deployment = new Deployment();
    await deployment.startCore();
    await deployment.startEdge(OPERATED.replace("8KiB", "1MiB"));
    const { client } = deployment;
    const path = deployment.file("audit.jsonl");
    let denied = 0;
    let stop = false;
    const caller = (async () => {
      while (!stop) {
        try {
          await client.createKey({ tenant: "other", service: "billing" });
        } catch (error) {
          if ((error as { code?: string }).code !== "access_denied") return;
          denied++;
        }
      }
    })();
    await until(() => denied > 200);
    await deployment.edge!.stop("SIGKILL");
    stop = true;
    await caller;
    const written = readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line.includes('"access_denied"')).length;
    expect(written).toBeGreaterThan(0);

    await deployment.startEdge(OPERATED.replace("8KiB", "1MiB"));
    await failing(() => client.createKey({ tenant: "other", service: "billing" }));
    expect(await deployment.edge!.stop()).toBe(0);
    const { code, stdout } = run(["audit", "verify", path], { cwd: deployment.folder });
    expect([code, stdout]).toEqual([0, expect.stringContaining("killed")]);
  });

  test("keeps what it counted while the Core is away, and hands it in once the Core is back", async () => {
    await using deployment = new Deployment();
    await deployment.startCore();
    deployment.admin("service", "create", "tenant-a", "billing");
    await deployment.startEdge(OPERATED);
    const [, watch] = addresses(deployment);
    await deployment.client.createKey(KEY);
    await deployment.core!.stop("SIGKILL");
    for (let index = 0; index < 50; index++) await deployment.client.createKey(KEY);
    await until(async () => (await metric(watch!, "crypto_edge_usage_retries_total"))! > 0);
    await deployment.startCore();
    const before = (await metric(watch!, "crypto_edge_usage_batches_total"))!;
    await until(async () => (await metric(watch!, "crypto_edge_usage_batches_total"))! > before);
    expect(await deployment.edge!.stop()).toBe(0);
    expect(await deployment.core!.stop()).toBe(0);
    using database = new Database(deployment.file("core.sqlite-usage"));
    const { total } = database.query<{ total: number }, []>("SELECT sum(count) AS total FROM usage_counts").get()!;
    expect(total).toBe(51);
  });

  test("takes a new certificate for the Core at SIGHUP, and keeps the old one where the new is no good", async () => {
    await using deployment = new Deployment();
    await deployment.startCore();
    const edge = await deployment.startEdge();
    writeFileSync(deployment.file("pki/edge-1.pem"), "no certificate\n");
    edge.process.kill("SIGHUP");
    await edge.waitFor(/"address":"the Core".*the old ones stay in use/);
    deployment.admin("service", "create", "tenant-a", "billing");
    await deployment.client.createKey(KEY);

    const { code, stderr } = run(["pki", "edge", "edge-1", "--force"], { cwd: deployment.folder });
    expect([code, stderr]).toEqual([0, ""]);
    const before = edge.output().length;
    edge.process.kill("SIGHUP");
    await until(() => edge.output().slice(before).includes('"msg":"reloaded"'));
    expect(edge.output().slice(before)).not.toContain("no good");
    deployment.admin("service", "create", "tenant-b", "billing");
    await deployment.client.createKey({ ...KEY, tenant: "tenant-b" });
  });

  test("says why it can't start when its audit file can't be written", async () => {
    await using deployment = new Deployment();
    await deployment.startCore();
    writeFileSync(deployment.file("occupied"), "");
    await expect(deployment.startEdge("audit: { file: { path: occupied/audit.jsonl } }")).rejects.toThrow(
      /audit.*can't be opened/,
    );
  });

  test.if(process.platform === "linux")(
    "tells systemd when it serves, reloads and stops, and feeds the watchdog",
    async () => {
      await using deployment = new Deployment();
      await deployment.startCore();
      using socket = new DatagramSocket(deployment.file("notify"));
      const messages: string[] = [];
      const told = (what: string): Promise<unknown> =>
        until(async () => {
          messages.push(...socket.messages());
          return messages.some((message) => message.startsWith(what));
        });
      process.env.NOTIFY_SOCKET = deployment.file("notify");
      process.env.WATCHDOG_USEC = "200000";
      try {
        await deployment.startEdge();
      } finally {
        delete process.env.NOTIFY_SOCKET;
        delete process.env.WATCHDOG_USEC;
      }
      await told("READY=1");
      await told("WATCHDOG=1");
      deployment.edge!.process.kill("SIGHUP");
      await told("RELOADING=1");
      expect(await deployment.edge!.stop()).toBe(0);
      await told("STOPPING=1");
      expect(existsSync(deployment.file("notify"))).toBe(true);
    },
  );
});
