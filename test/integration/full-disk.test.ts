/** A Core whose disk is full (a small tmpfs, so root is needed): it can revoke all the same, and says what is wrong. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StoreFull } from "../../src/core/store/store.ts";
import type { CoreCallError } from "../../src/edge/key-source/core/core-call-error.ts";
import { startCoreWorld } from "../support/core-world.ts";
import { eventually } from "../support/until.ts";
import { startPostgresql } from "./support/postgresql.ts";

setDefaultTimeout(120_000);

let folder: string;
let large: string;

function smallDisk(size: string): string {
  const path = mkdtempSync(join(tmpdir(), "full-disk-"));
  const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path]);
  if (mounted.exitCode !== 0) throw new Error(`a tmpfs can't be mounted: ${mounted.stderr}`);
  chmodSync(path, 0o755);
  return path;
}

beforeAll(() => {
  folder = smallDisk("6m");
  large = smallDisk("150m");
});
afterAll(() => {
  for (const path of [folder, large]) {
    Bun.spawnSync(["umount", path]);
    rmSync(path, { recursive: true, force: true });
  }
});

test("revocations are committed while the disk is full, usage is refused with the reason, and all is well with room again", async () => {
  const logged: string[] = [];
  await using world = await startCoreWorld({
    database: join(folder, "core.db"),
    log: (_level, message) => logged.push(message),
  });
  const { admin } = world.core;
  const services = Array.from({ length: 60 }, (_, index) => `service-${index}`);
  for (const service of services) await admin.createService("tenant-a", service);
  const client = await world.client();
  expect(world.core.health.full).toBeUndefined();
  const filler = join(folder, "filler");
  fill(filler);

  const usage = { idempotencyKey: "a", gzip: false, body: Buffer.from(lines(300)) };
  const refusal = (await client.usage(usage).catch((error: unknown) => error)) as CoreCallError;
  expect(refusal).toMatchObject({ status: 503, code: "storage_full" });
  expect(refusal.message).toContain("make room");

  for (const [index, service] of services.entries()) {
    const [event] = await admin.revoke({ tenant: "tenant-a", service }, { reason: "the disk is full" });
    expect(event).toMatchObject({ type: "revoke", seq: index + 1 });
    const failure = await client.lease({ tenant: "tenant-a", service }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "key_revoked" });
  }
  expect(world.core.health.full).toContain("the disk is full");
  expect((await admin.status()).database.full).toContain("the disk is full");

  rmSync(filler);
  await eventually(async () => (await client.usage(usage).catch(() => undefined)) !== undefined, "usage being taken");
  await eventually(() => world.core.health.full === undefined, "the room being kept again");
});

test("PostgreSQL's disk is full: leases go on, changes are refused with the reason, and all is well with room again", async () => {
  const server = await startPostgresql([], {}, large);
  try {
    const database = { ...(await server.database("core")), timeoutMs: 20_000 };
    await using world = await startCoreWorld({ database });
    const { admin } = world.core;
    await admin.createService("tenant-a", "billing");
    const client = await world.client();
    const filler = join(large, "filler");
    fill(filler);
    let refusal: unknown;
    await eventually(async () => {
      refusal = await admin.rotate("tenant-a", "billing").then(
        () => undefined,
        (error: unknown) => error,
      );
      return refusal !== undefined;
    }, "the disk being full");
    expect(refusal).toBeInstanceOf(StoreFull);
    expect(world.core.health).toMatchObject({ away: undefined, full: expect.stringContaining("make room there") });
    const { versions } = await client.lease({ tenant: "tenant-a", service: "billing" });
    expect(versions.length).toBeGreaterThan(0);
    rmSync(filler);
    await eventually(
      () =>
        admin.rotate("tenant-a", "billing").then(
          () => true,
          () => false,
        ),
      "a change being taken",
    );
    await eventually(() => world.core.health.full === undefined, "the Core saying so");
  } finally {
    await server[Symbol.asyncDispose]();
  }
});

/** Every byte that there is. */
function fill(path: string): void {
  for (let size = 4 * 1024 * 1024; size >= 512; ) {
    try {
      writeFileSync(path, Buffer.alloc(size, 1), { flag: "a" });
    } catch {
      size = Math.floor(size / 2);
    }
  }
  Bun.spawnSync(["dd", "if=/dev/zero", `of=${path}`, "bs=512", "conv=notrunc", "oflag=append"]);
}

function lines(count: number): string {
  const record = (index: number): string =>
    JSON.stringify({ operation: "create", outcome: "ok", text: "x".repeat(900), index });
  return Array.from({ length: count }, (_, index) => record(index)).join("\n");
}
