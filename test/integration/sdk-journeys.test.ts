/**
 * The developer's journey from nothing, in three languages: a table with an encrypted column, written, read, rotated, rewrapped, revoked and
 * restored, against a real Core and edge. The applications are in examples/journey.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildNpmPackage } from "../../packaging/npm.ts";
import { type Dev, startDev } from "../../src/cli/run-dev.ts";
import { type AdminClient, createAdminClient } from "../../src/core/admin-client.ts";
import { inspectRecord } from "../../src/sdk/records/index.ts";
import { ROOT } from "../support/pages.ts";
import { until } from "../support/until.ts";
import { applicationPackages } from "./support/application-packages.ts";
import { run } from "./support/npm-folder.ts";
import { type PostgresqlServer, startPostgresql } from "./support/postgresql.ts";
import { pythonFolder } from "./support/python-folder.ts";

const EXAMPLES = join(ROOT, "examples/journey");
const NAME = { tenant: "tenant-a", service: "billing" };
const folder = mkdtempSync(join(tmpdir(), "crypto-edge-journey-"));
/** Refused at the latest so long after the revocation; a kept key would go on for the five minutes of its lease. */
const PATIENCE_MS = 30_000;

let dev: Dev;
let admin: AdminClient;
let postgresql: PostgresqlServer;

beforeAll(async () => {
  dev = await startDev({ port: 0, corePort: 0, edgeId: "edge-journey" });
  const pem = (name: string): string => readFileSync(join(dev.directory, name), "utf8");
  admin = createAdminClient({
    url: dev.coreUrl,
    certificates: { ca: pem("ca.pem"), cert: pem("core-admin.pem"), key: pem("core-admin.key") },
  });
  await dev.edge.createKey(NAME);
  postgresql = await startPostgresql();
  await postgresql.database("notes");
}, 600_000);
afterAll(async () => {
  admin?.close();
  await dev?.close();
  await postgresql?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

/** Makes a folder with the application in it, as a developer would. @returns the command that drives it */
const journeys: Record<string, (directory: string) => Promise<string[]>> = {
  async TypeScript(directory) {
    const { tarball } = await buildNpmPackage(ROOT, join(folder, "package"));
    const packages = applicationPackages();
    mkdirSync(join(directory, "node_modules/crypto-edge"), { recursive: true });
    run(["tar", "-xzf", tarball, "--strip-components=1", "-C", join(directory, "node_modules/crypto-edge")], directory);
    for (const name of ["better-sqlite3", "bindings", "file-uri-to-path"]) {
      symlinkSync(join(packages, "node_modules", name), join(directory, "node_modules", name));
    }
    for (const name of ["notes.mjs", "drive.mjs"]) copyFileSync(join(EXAMPLES, name), join(directory, name));
    return ["node", "drive.mjs"];
  },
  async Python(directory) {
    const environment = pythonFolder(["cryptography==50.0.2", "mypy==2.4.1"]);
    for (const name of ["notes.py", "drive.py"]) copyFileSync(join(EXAMPLES, name), join(directory, name));
    return [join(environment, "bin/python"), "drive.py"];
  },
  async Go(directory) {
    for (const name of ["notes.go", "drive.go"]) copyFileSync(join(EXAMPLES, name), join(directory, name));
    run(["go", "mod", "init", "notes"], directory);
    run(
      [
        "go",
        "mod",
        "edit",
        "-require=crypto-edge.example/go@v0.0.0",
        `-replace=crypto-edge.example/go=${join(ROOT, "clients/go")}`,
      ],
      directory,
    );
    run(["go", "get", "github.com/jackc/pgx/v5@v5.13.0"], directory, {}, 300_000);
    run(["go", "build", "-o", "notes", "."], directory, {}, 600_000);
    return ["./notes"];
  },
};

describe("an application of at most 15 lines keeps its notes encrypted through a rotation and a revocation, in", () => {
  for (const [language, prepare] of Object.entries(journeys)) {
    test(language, async () => {
      const directory = join(folder, language);
      mkdirSync(directory);
      const application = drive(await prepare(directory), directory);
      try {
        const notes = { "1": "first", "2": "zweite: grün", "3": "third" };
        for (const [id, note] of Object.entries(notes))
          expect(await application({ do: "write", id, note })).toEqual({ ok: null });
        for (const [id, note] of Object.entries(notes)) {
          expect(await application({ do: "read", id })).toEqual({ ok: note });
          expect(Buffer.from(await storedRecord(application, id)).includes(note)).toBe(false);
        }

        const before = inspectRecord(await storedRecord(application, "1")).version;
        await admin.call("POST", "rotate", NAME);
        await until(async () => (await dev.edge.createKey(NAME)).version === before + 1, {
          timeoutMs: PATIENCE_MS,
          everyMs: 10,
        });
        expect(await application({ do: "read", id: "1" })).toEqual({ ok: "first" });
        expect(await application({ do: "rewrap" })).toEqual({ ok: null });
        for (const [id, note] of Object.entries(notes)) {
          expect(inspectRecord(await storedRecord(application, id)).version).toBe(before + 1);
          expect(await application({ do: "read", id })).toEqual({ ok: note });
        }

        await admin.call("POST", "revoke", { ...NAME, reason: "a drill" });
        const revokedMs = performance.now();
        await until(async () => (await application({ do: "read", id: "1" })).error === "key_revoked", {
          timeoutMs: PATIENCE_MS,
          everyMs: 10,
        });
        console.log(`${language}: refused ${Math.round(performance.now() - revokedMs)} ms after the revocation`);
        expect(await application({ do: "read", id: "2" })).toEqual({ error: "key_revoked" });
        expect(await application({ do: "write", id: "4", note: "refused" })).toEqual({ error: "key_revoked" });

        await admin.call("POST", "restore", NAME);
        await until(async () => (await application({ do: "read", id: "1" })).ok === "first", {
          timeoutMs: PATIENCE_MS,
          everyMs: 10,
        });
        expect(await application({ do: "write", id: "4", note: "again" })).toEqual({ ok: null });
      } finally {
        await application.end();
      }
    }, 900_000);
  }

  test("lines of code, without imports and closing brackets", () => {
    for (const file of ["notes.mjs", "notes.py", "notes.go"]) {
      const text = readFileSync(join(EXAMPLES, file), "utf8").replace(/^import \([\s\S]*?^\)/m, "");
      const lines = text
        .split("\n")
        .filter((line) => /\w/.test(line) && !/^\s*(\/\/|#|import |from |package )/.test(line));
      expect(`${file}: ${lines.length <= 15 ? "at most 15" : lines.length}`).toBe(`${file}: at most 15`);
    }
  });
});

type Told = { ok?: unknown; error?: string };
type Application = ((asked: object) => Promise<Told>) & { end(): Promise<void> };

/** A process that answers each line with one. */
function drive(command: string[], directory: string): Application {
  const child = Bun.spawn(command, {
    cwd: directory,
    env: {
      ...process.env,
      CRYPTO_EDGE_URL: dev.edgeUrl,
      DATABASE_URL: `postgres://core@127.0.0.1:${postgresql.port}/notes`,
      PYTHONPATH: join(ROOT, "clients/python/src"),
      PYTHONDONTWRITEBYTECODE: "1",
    },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const reader = child.stdout.getReader();
  const decoder = new TextDecoder();
  let text = "";
  const ask = async (asked: object): Promise<Told> => {
    child.stdin.write(`${JSON.stringify(asked)}\n`);
    await child.stdin.flush();
    while (!text.includes("\n")) {
      const { done, value } = await reader.read();
      if (done) throw new Error("the application ended");
      text += decoder.decode(value, { stream: true });
    }
    const line = text.slice(0, text.indexOf("\n"));
    text = text.slice(line.length + 1);
    return JSON.parse(line) as Told;
  };
  return Object.assign(ask, {
    async end() {
      child.kill();
      await child.exited;
    },
  });
}

async function storedRecord(application: Application, id: string): Promise<Uint8Array> {
  return Buffer.from(String((await application({ do: "stored", id })).ok), "base64url");
}
