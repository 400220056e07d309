import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { CoreCallError } from "../../src/edge/key-source/core/core-call-error.ts";
import { startCoreWorld } from "../support/core-world.ts";
import { usageLine } from "../support/usage-lines.ts";

/** For a busy machine. */
setDefaultTimeout(30_000);

const audit = JSON.stringify({ time: "2026-01-01T00:00:00.000Z", operation: "decrypt", outcome: "access_denied" });
const batch = (idempotencyKey: string, lines: string[], gzip = false) => {
  const body = Buffer.from(`${lines.join("\n")}\n`);
  return { idempotencyKey, gzip, body: gzip ? gzipSync(body) : body };
};
const failure = (call: Promise<unknown>): Promise<CoreCallError> =>
  call.then(
    () => {
      throw new Error("it was accepted");
    },
    (error: unknown) => {
      if (error instanceof CoreCallError) return error;
      throw error;
    },
  );

describe("usage batches", () => {
  test("are counted once, however often they are sent, plain or gzip", async () => {
    await using world = await startCoreWorld();
    const client = await world.client();
    const first = batch("a", [usageLine(), audit, usageLine({ principal: "other", count: 2 })]);
    expect(await client.usage(first)).toEqual({ accepted: 3, duplicate: false });
    const again = await Promise.all([client.usage(first), client.usage(first)]);
    expect(again).toEqual([
      { accepted: 3, duplicate: true },
      { accepted: 3, duplicate: true },
    ]);
    await client.usage(batch("b", [usageLine({ count: 7, to: "2026-01-01T00:02:00.000Z" })], true));
    // The key is the edge's own: another edge may use the same.
    await (await world.client("edge-2")).usage(batch("a", [usageLine()]));
    const totals = (await world.core.admin.usage()).map((one) => [
      one.edge,
      one.principal,
      one.count,
      one.from,
      one.to,
    ]);
    expect(totals).toContainEqual(["edge-1", "local", 12, "2026-01-01T00:00:00.000Z", "2026-01-01T00:02:00.000Z"]);
    expect(totals).toContainEqual(["edge-1", "other", 2, "2026-01-01T00:00:00.000Z", "2026-01-01T00:01:00.000Z"]);
    expect(totals).toContainEqual(["edge-2", "local", 5, "2026-01-01T00:00:00.000Z", "2026-01-01T00:01:00.000Z"]);
    expect(await world.core.admin.auditEvents()).toEqual([{ edge: "edge-1", ...JSON.parse(audit) }]);
    expect(world.core.counters).toMatchObject({ usageBatches: 5, usageDuplicates: 2 });
  });

  test("count whole or not at all: one bad line, and nothing of the batch is there", async () => {
    await using world = await startCoreWorld();
    const client = await world.client();
    for (const [index, line] of [
      "not json",
      "[1]",
      "null",
      usageLine({ count: -1 }),
      usageLine({ count: 1.5 }),
      usageLine({ version: -1 }),
      usageLine({ tenant: 7 }),
      usageLine({ from: "yesterday" }),
      usageLine({ tenant: "x".repeat(600) }),
    ].entries()) {
      const error = await failure(client.usage(batch(`bad-${index}`, [usageLine(), line])));
      expect(error).toMatchObject({ status: 400, code: "invalid_request", retryable: false });
      expect(error.message).toContain("line 2");
    }
    expect(await world.core.admin.usage()).toEqual([]);
    expect(await client.usage(batch("bad-0", [usageLine()]))).toEqual({ accepted: 1, duplicate: false });
  });

  test("are refused when a key is used for another batch, is missing, or the body is no gzip or unpacks too large", async () => {
    await using world = await startCoreWorld();
    const client = await world.client();
    await client.usage(batch("a", [usageLine()]));
    expect(await failure(client.usage(batch("a", [usageLine({ count: 6 })])))).toMatchObject({ status: 409 });
    expect(await failure(client.usage(batch("", [usageLine()])))).toMatchObject({ status: 400 });
    expect(await failure(client.usage({ ...batch("c", [usageLine()]), gzip: true }))).toMatchObject({ status: 400 });
    const bomb = gzipSync(Buffer.alloc(40 * 1024 * 1024, "\n"));
    expect(bomb.length).toBeLessThan(100_000);
    expect(await failure(client.usage({ idempotencyKey: "d", body: bomb, gzip: true }))).toMatchObject({ status: 413 });
    const large = { idempotencyKey: "e", body: Buffer.alloc(5 * 1024 * 1024, "\n"), gzip: false };
    expect(await failure(client.usage(large))).toMatchObject({ status: 413 });
  });

  test("have at most 10,000 records and 4 MiB when unpacked; a small body that unpacks to millions is refused at once", async () => {
    await using world = await startCoreWorld();
    const client = await world.client();
    const millions = gzipSync(Buffer.alloc(3 * 1024 * 1024, "{}\n"));
    expect(millions.length).toBeLessThan(20_000);
    expect(await failure(client.usage({ idempotencyKey: "a", body: millions, gzip: true }))).toMatchObject({
      status: 413,
      code: "too_large",
    });
    const empty = gzipSync(Buffer.alloc(3 * 1024 * 1024, "\n"));
    expect(await failure(client.usage({ idempotencyKey: "b", body: empty, gzip: true }))).toMatchObject({
      status: 413,
    });
    const most = Array.from({ length: 10_000 }, (_, index) => usageLine({ principal: `p-${index}` }));
    expect(await client.usage(batch("c", most, true))).toEqual({ accepted: 10_000, duplicate: false });
    expect(await failure(client.usage(batch("d", [...most, usageLine()], true)))).toMatchObject({ status: 413 });
  });

  test("hold up nobody else: the largest is taken in slices, with others' calls answered in between", async () => {
    await using world = await startCoreWorld({ createOnFirstUse: true });
    const client = await world.client();
    const other = await world.client("edge-2");
    const lines = Array.from({ length: 10_000 }, (_, index) => usageLine({ principal: `p-${index}` }));
    let taken = false;
    const taking = client.usage(batch("large", lines, true)).then(() => {
      taken = true;
    });
    let before = 0;
    while (!taken) {
      await other.lease({ tenant: "tenant-a", service: "billing" });
      if (!taken) before++;
    }
    await taking;
    expect(before).toBeGreaterThan(2);
  });

  test("are filed under the certificate's name, whatever a record says", async () => {
    await using world = await startCoreWorld();
    const client = await world.client("edge-2");
    await client.usage(
      batch("a", [JSON.stringify({ edge: "edge-1", outcome: "forged" }), usageLine({ edge: "edge-1" })]),
    );
    expect((await world.core.admin.auditEvents()).map(({ edge }) => edge)).toEqual(["edge-2"]);
    expect((await world.core.admin.usage()).map(({ edge }) => edge)).toEqual(["edge-2"]);
    expect(await world.core.admin.auditEvents({ edge: "edge-1" })).toEqual([]);
  });

  test("may speak of keys that the edge may lease; a refusal may name any, and of the rest nothing counts", async () => {
    await using world = await startCoreWorld({
      allow: [{ edges: ["edge-1"], tenants: ["tenant-*"], services: ["billing"] }],
    });
    const client = await world.client();
    const answer = await client.usage(
      batch("a", [
        usageLine(),
        usageLine({ tenant: "other" }),
        usageLine({ service: "mail" }),
        usageLine({ tenant: "other", outcome: "access_denied" }),
        JSON.stringify({ tenant: "other", service: "billing", operation: "decrypt", outcome: "ok" }),
        JSON.stringify({ tenant: "tenant-b", operation: "revoked", outcome: "ok" }),
        JSON.stringify({ tenant: "other", operation: "decrypt", outcome: "access_denied" }),
      ]),
    );
    expect(answer).toMatchObject({ accepted: 4, refused: 3 });
    expect((await world.core.admin.usage()).map(({ tenant, outcome }) => `${tenant} ${outcome}`).toSorted()).toEqual([
      "other access_denied",
      "tenant-a ok",
    ]);
    expect(await world.core.admin.auditEvents()).toHaveLength(2);
    expect(await failure(client.usage(batch("b", [usageLine({ tenant: "other" })])))).toMatchObject({
      status: 403,
      code: "edge_not_allowed",
    });
    expect(world.core.counters.usageRefused).toBe(3);
  });

  test("name times and counts that make sense, else 400", async () => {
    await using world = await startCoreWorld();
    const client = await world.client();
    const nextYear = new Date(Date.now() + 365 * 24 * 3_600_000).toISOString();
    for (const [index, line] of [
      usageLine({ from: "9999-99-99T99:99:99Z", to: "9999-99-99T99:99:99Z" }),
      usageLine({ from: nextYear, to: nextYear }),
      usageLine({ from: "1970-01-01T00:00:00Z" }),
      usageLine({ from: "2026-01-01T00:02:00Z" }),
      usageLine({ count: Number.MAX_SAFE_INTEGER }),
      usageLine({ count: 0 }),
      JSON.stringify({ time: nextYear, outcome: "ok" }),
      JSON.stringify({ time: 7, outcome: "ok" }),
    ].entries()) {
      expect(await failure(client.usage(batch(`times-${index}`, [line])))).toMatchObject({
        status: 400,
        code: "invalid_request",
        retryable: false,
      });
    }
    // Sums that would not fit stay at the largest that does.
    const large = Array.from({ length: 20 }, () => usageLine({ count: 1_000_000_000_000 }));
    for (let index = 0; index < 5; index++) await client.usage(batch(`sum-${index}`, large));
    expect((await world.core.admin.usage())[0]!.count).toBe(100_000_000_000_000);
  });

  test("come at a bounded rate from each edge", async () => {
    await using world = await startCoreWorld({ limits: { usageBatchesPerSecond: 1 } });
    const client = await world.client();
    let refusal: CoreCallError | undefined;
    for (let index = 0; index < 40 && refusal === undefined; index++) {
      await client.usage(batch(`rate-${index}`, [usageLine()])).catch((error: CoreCallError) => {
        refusal = error;
      });
    }
    expect(refusal).toMatchObject({ status: 429, code: "rate_limited" });
    expect(refusal!.retryAfterMs).toBeGreaterThan(0);
    expect(await (await world.client("edge-2")).usage(batch("other", [usageLine()]))).toMatchObject({ accepted: 1 });
  });
});
