/** A Core whose disk is full (a small tmpfs, so root is needed): it can revoke all the same, and says what is wrong. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CoreCallError } from "../../src/edge/key-source/core/core-connection.ts";
import { startCoreWorld } from "../support/core-world.ts";
import { eventually } from "./support/broker.ts";

setDefaultTimeout(120_000);

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "full-disk-"));
  const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder]);
  if (mounted.exitCode !== 0) throw new Error(`a tmpfs can't be mounted: ${mounted.stderr}`);
});
afterAll(() => {
  Bun.spawnSync(["umount", folder]);
  rmSync(folder, { recursive: true, force: true });
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

/** Every byte that there is. */
function fill(path: string): void {
  let size = 4 * 1024 * 1024;
  const pieces: Buffer[] = [];
  while (size >= 512) {
    try {
      writeFileSync(`${path}`, Buffer.concat([...pieces, Buffer.alloc(size, 1)]));
      pieces.push(Buffer.alloc(size, 1));
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
