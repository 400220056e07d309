import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { CoreCallError } from "../../src/edge/key-source/core/core-connection.ts";
import { startCoreWorld } from "../support/core-world.ts";

/** For a busy machine. */
setDefaultTimeout(30_000);

const count = (fields: Record<string, unknown> = {}): string =>
  JSON.stringify({
    tenant: "tenant-a",
    service: "billing",
    version: 1,
    operation: "create",
    outcome: "ok",
    principal: "local",
    count: 5,
    from: "2026-01-01T00:00:00.000Z",
    to: "2026-01-01T00:01:00.000Z",
    ...fields,
  });
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
    const first = batch("a", [count(), audit, count({ principal: "other", count: 2 })]);
    expect(await client.usage(first)).toEqual({ accepted: 3, duplicate: false });
    const again = await Promise.all([client.usage(first), client.usage(first)]);
    expect(again).toEqual([
      { accepted: 3, duplicate: true },
      { accepted: 3, duplicate: true },
    ]);
    await client.usage(batch("b", [count({ count: 7, to: "2026-01-01T00:02:00.000Z" })], true));
    // The key is the edge's own: another edge may use the same.
    await (await world.client("edge-2")).usage(batch("a", [count()]));
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
      count({ count: -1 }),
      count({ count: 1.5 }),
      count({ version: -1 }),
      count({ tenant: 7 }),
      count({ from: "yesterday" }),
      count({ tenant: "x".repeat(600) }),
    ].entries()) {
      const error = await failure(client.usage(batch(`bad-${index}`, [count(), line])));
      expect(error).toMatchObject({ status: 400, code: "invalid_request", retryable: false });
      expect(error.message).toContain("line 2");
    }
    expect(await world.core.admin.usage()).toEqual([]);
    expect(await client.usage(batch("bad-0", [count()]))).toEqual({ accepted: 1, duplicate: false });
  });

  test("are refused when a key is used for another batch, is missing, or the body is no gzip or unpacks too large", async () => {
    await using world = await startCoreWorld();
    const client = await world.client();
    await client.usage(batch("a", [count()]));
    expect(await failure(client.usage(batch("a", [count({ count: 6 })])))).toMatchObject({ status: 409 });
    expect(await failure(client.usage(batch("", [count()])))).toMatchObject({ status: 400 });
    expect(await failure(client.usage({ ...batch("c", [count()]), gzip: true }))).toMatchObject({ status: 400 });
    const bomb = gzipSync(Buffer.alloc(40 * 1024 * 1024, "\n"));
    expect(bomb.length).toBeLessThan(100_000);
    expect(await failure(client.usage({ idempotencyKey: "d", body: bomb, gzip: true }))).toMatchObject({ status: 413 });
    const large = { idempotencyKey: "e", body: Buffer.alloc(5 * 1024 * 1024, "\n"), gzip: false };
    expect(await failure(client.usage(large))).toMatchObject({ status: 413 });
  });
});
