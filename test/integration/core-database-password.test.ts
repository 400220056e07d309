/** The password of a Core's database follows its file: what a rotation of the password must not cost is a restart. By command, with PostgreSQL. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createThrowAwayPki } from "../../src/base/pki/throw-away.ts";
import { freePort } from "../support/free-port.ts";
import { eventually } from "../support/until.ts";
import { type PostgresqlServer, startPostgresql } from "./support/postgresql.ts";

setDefaultTimeout(180_000);

const MAIN = join(import.meta.dir, "../../src/main.ts");
const folder = mkdtempSync(join(tmpdir(), "core-password-"));
const write = (name: string, text: string | Uint8Array): void =>
  writeFileSync(join(folder, name), text, { mode: 0o600 });
let server: PostgresqlServer;
let admin: Bun.SQL;

beforeAll(async () => {
  server = await startPostgresql([], {
    "pg_hba.conf": "host all core all trust\nhost all rotated all scram-sha-256\n",
  });
  admin = new Bun.SQL({ ...(await server.database("core")), adapter: "postgres", max: 1, tls: false });
  await admin.unsafe("CREATE ROLE rotated LOGIN SUPERUSER PASSWORD 'first'");
});

afterAll(async () => {
  await admin?.close();
  await server?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

test("one that is rotated counts for the next connections; an empty file leaves the old one in use and is told", async () => {
  const pki = await createThrowAwayPki("example.org");
  const [port, watchPort] = [await freePort(), await freePort()];
  write("core.pem", pki.core.cert);
  write("core.key", pki.core.key);
  write("ca.pem", pki.core.clientCa);
  write("master.key", randomBytes(32));
  write("password", "first\n");
  write(
    "core.yaml",
    `listen: "127.0.0.1:${port}"
database: { url: "postgres://rotated@127.0.0.1:${server.port}/core", password: "file:password", timeout: 20s }
master_key: { file: master.key }
tls: { cert: core.pem, key: core.key, client_ca: ca.pem }
metrics: { listen: "127.0.0.1:${watchPort}" }
`,
  );
  const child = Bun.spawn([process.execPath, MAIN, "core", "serve", "--config", "core.yaml"], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? "" },
    stdout: "pipe",
    stderr: "pipe",
  });
  let log = "";
  for (const stream of [child.stdout, child.stderr]) {
    void (async () => {
      for await (const chunk of stream) log += Buffer.from(chunk).toString();
    })();
  }
  const ready = async (): Promise<number> => (await fetch(`http://127.0.0.1:${watchPort}/readyz`)).status;
  /** Ends each connection of the Core's; it makes those that it needs anew. */
  const cut = () =>
    admin.unsafe("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'rotated'");
  const sessions = async (): Promise<Set<number>> => {
    const rows = await admin.unsafe("SELECT pid FROM pg_stat_activity WHERE usename = 'rotated'");
    return new Set(rows.map(({ pid }: { pid: number }) => pid));
  };
  /** Of each of the store's parts: calls, notifications, and being seen as one that uses it. */
  const connectedAnew = async (former: ReadonlySet<number>): Promise<boolean> => {
    const now = [...(await sessions())].filter((pid) => !former.has(pid));
    return now.length >= 3 && (await ready()) === 200;
  };
  try {
    await eventually(async () => log.includes("core: ready") && (await ready()) === 200, "the Core");

    write("password", "");
    await eventually(() => log.includes("password is empty"), "what is wrong with the file");
    const first = await sessions();
    await cut();
    await eventually(() => connectedAnew(first), "connections by the old one");

    await admin.unsafe("ALTER ROLE rotated PASSWORD 'second'");
    const second = await sessions();
    await cut();
    await eventually(async () => (await ready()) !== 200, "the old one's refusal");
    write("password", "second\n");
    await eventually(() => connectedAnew(second), "connections by the new one");
    expect(log).toContain('"role":"the secret database.password"');
    expect(child.exitCode).toBeNull();
  } finally {
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  }
});
