/** `core restore` killed before each of its calls of the file system: the database in its place is the old one, whole, or the new one. */
import { Database } from "bun:sqlite";
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createThrowAwayPki } from "../../src/base/pki/throw-away.ts";
import { openRegistry } from "./support/registry.ts";

/** For a busy machine. */
setDefaultTimeout(240_000);

const folder = mkdtempSync(join(tmpdir(), "restore-killed-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("killed at any point, a restore leaves the old database with all that it had, or the new one; run again, it restores", async () => {
  const masterKey = randomBytes(32);
  const pki = await createThrowAwayPki("example.org");
  const world = join(folder, "world");
  mkdirSync(world);
  const database = join(world, "core.db");
  const { registry, close } = await openRegistry({ database, masterKey });
  await registry.createService("tenant-a", "billing");
  new Database(database).run(`VACUUM INTO '${join(world, "backup")}'`);
  await registry.rotate("tenant-a", "billing");
  // As a Core leaves it that was killed: what was committed last is in the journal alone.
  const asKilled = readdirSync(world).filter((name) => name.startsWith("core.db"));
  const kept = join(folder, "kept");
  mkdirSync(kept);
  for (const name of asKilled) copyFileSync(join(world, name), join(kept, name));
  expect(asKilled).toContain("core.db-wal");
  await close();
  for (const [name, text] of Object.entries({
    "master.key": masterKey,
    "core.pem": pki.core.cert,
    "core.key": pki.core.key,
    "ca.pem": pki.core.clientCa,
    "core.yaml":
      'listen: "127.0.0.1:1"\ndatabase: core.db\nmaster_key: { file: master.key }\ntls: { cert: core.pem, key: core.key, client_ca: ca.pem }\n',
  })) {
    writeFileSync(join(world, name), text, { mode: 0o600 });
  }
  const restoreUntil = async (step: number): Promise<boolean> => {
    const child = Bun.spawn(
      [process.execPath, join(import.meta.dir, "support/restore-until-killed.ts"), "core.yaml", "backup"],
      { cwd: world, env: { ...process.env, KILLED_BEFORE: String(step) }, stdout: "ignore", stderr: "pipe" },
    );
    const err = await new Response(child.stderr).text();
    await child.exited;
    if (child.signalCode === null && child.exitCode !== 0) throw new Error(err);
    return child.signalCode === null;
  };
  const newest = async (): Promise<number> => {
    const { store, close: closeAgain } = await openRegistry({ database, masterKey });
    const next = await store.nextVersion("tenant-a", "billing");
    await closeAgain();
    return next;
  };
  const found = new Set<number>();
  let steps = 0;
  for (let ended = false; !ended; ) {
    for (const name of readdirSync(world)) if (name.startsWith("core.db")) rmSync(join(world, name));
    for (const name of asKilled) copyFileSync(join(kept, name), join(world, name));
    ended = await restoreUntil(++steps);
    expect(existsSync(database)).toBe(true);
    const next = await newest();
    // The old one has two versions; the new one has one, and goes on beyond the margin.
    expect([3, 102]).toContain(next);
    found.add(next);
    if (!ended && steps % 5 === 0) {
      expect(await restoreUntil(0)).toBe(true);
      expect(await newest()).toBeGreaterThanOrEqual(102);
    }
  }
  expect([...found]).toEqual([3, 102]);
  expect(steps).toBeGreaterThan(10);
});
