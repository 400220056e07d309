/** A SQLite file that is moved, deleted or replaced under a running Core: nothing is granted from it, and nothing is lost in it. */
import { Database } from "bun:sqlite";
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAdminClient } from "../../src/core/admin-client.ts";
import { createCoreClients } from "../../src/edge/key-source/core/core-clients.ts";
import { writeCoreFiles } from "../support/core-files.ts";
import { startServing } from "../support/serving-command.ts";
import { eventually } from "../support/until.ts";

/** For a busy machine. */
setDefaultTimeout(120_000);

const folder = mkdtempSync(join(tmpdir(), "moved-database-"));
const children: Bun.Subprocess[] = [];
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

interface Case {
  readonly does: (path: string) => void;
  readonly says: string;
  /** Where the database that the Core holds lies then. */
  readonly held: string | undefined;
}

const CASES: Readonly<Record<string, Case>> = {
  moved: { does: (path) => renameSync(path, `${path}-aside`), says: "was moved or deleted", held: "-aside" },
  deleted: { does: (path) => rmSync(path), says: "was moved or deleted", held: undefined },
  "replaced by a copy": {
    does: (path) => {
      copyFileSync(path, `${path}-copy`);
      renameSync(path, `${path}-aside`);
      renameSync(`${path}-copy`, path);
    },
    says: "was replaced",
    held: "-aside",
  },
  "robbed of its lock, so that another Core could open it": {
    does: (path) => rmSync(`${path}-lock`),
    says: "-lock was moved or deleted",
    held: "",
  },
};

for (const [what, { does, says, held }] of Object.entries(CASES)) {
  test(`a database that is ${what} is one from which the Core grants nothing, changes nothing, and says so`, async () => {
    const { pki, config, url, watchUrl, ...files } = await writeCoreFiles(folder);
    const database = join(folder, files.database);
    const { child } = await startServing(
      [process.execPath, join(import.meta.dir, "../../src/main.ts"), "core", "serve", "--config", config],
      {
        ready: "core: ready",
        cwd: folder,
        env: { PATH: process.env.PATH },
        stderr: "ignore",
        onStarted: (started) => children.push(started),
      },
    );
    const admin = createAdminClient({ url, certificates: await pki.admin() });
    const edge = createCoreClients({ urls: [url], certificates: await pki.edge("edge-1") });
    try {
      const key = { tenant: "tenant-a", service: "billing" };
      await admin.call("POST", "services", key);
      for (const { key: bytes } of (await edge.lease(key)).versions) bytes.fill(0);

      does(database);
      const refusal = admin.call("POST", "revoke", { ...key, reason: "test" });
      expect(await refusal.catch((error: unknown) => error)).toMatchObject({ status: 503, code: "unavailable" });
      await eventually(async () => {
        const ready = await fetch(`${watchUrl}/readyz`);
        const said = (await ready.json()) as { database: string; reasons: string[] };
        return ready.status === 503 && said.database === "unfit" && said.reasons.some((one) => one.includes(says));
      }, "/readyz says why");
      expect(await edge.lease(key).catch((error: unknown) => error)).toMatchObject({ code: "unavailable" });
      expect(await (await fetch(`${watchUrl}/metrics`)).text()).toContain("crypto_core_database_up 0");
    } finally {
      admin.close();
      edge.close();
      child.kill("SIGTERM");
      expect(await child.exited).toBe(0);
    }
    // What was refused was not done either, in a file that nobody would look for; what was there before is there, with its journal.
    if (held === undefined) return;
    if (held !== "") renameSync(`${database}-wal`, `${database}${held}-wal`);
    const db = new Database(`${database}${held}`, { readwrite: true });
    const count = (table: string, where: string) =>
      db.query<{ rows: number }, []>(`SELECT count(*) AS rows FROM ${table} WHERE ${where}`).get()?.rows;
    expect(count("events", "event LIKE '%revoke%'")).toBe(0);
    expect(count("service_keys", "state = 'active'")).toBe(1);
    db.close();
  });
}
