/** examples/applications: each compiled in strict TypeScript, and run against a real edge and a real database. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { buildNpmPackage } from "../../packaging/npm.ts";
import { ROOT } from "../support/pages.ts";
import { type StaticEdge, startStaticEdge } from "../support/static-edge.ts";
import { applicationPackages } from "./support/application-packages.ts";
import { run, runBeside } from "./support/npm-folder.ts";
import { type PostgresqlServer, startPostgresql } from "./support/postgresql.ts";
import { type S3Double, startS3Double } from "./support/s3-double.ts";

const EXAMPLES = join(ROOT, "examples/applications");
const folder = mkdtempSync(join(tmpdir(), "crypto-edge-applications-"));
const application = join(folder, "application");

let edge: StaticEdge;
let postgresql: PostgresqlServer;
let s3: S3Double;
let env: Record<string, string>;

beforeAll(async () => {
  const packages = applicationPackages();
  const { tarball } = await buildNpmPackage(ROOT, folder);
  mkdirSync(join(application, "node_modules"), { recursive: true });
  writeFileSync(join(application, "package.json"), '{ "private": true, "type": "module" }');
  for (const name of readdirSync(join(packages, "node_modules"))) {
    symlinkSync(join(packages, "node_modules", name), join(application, "node_modules", name));
  }
  mkdirSync(join(application, "node_modules/crypto-edge"));
  run(["tar", "-xzf", tarball, "--strip-components=1", "-C", join(application, "node_modules/crypto-edge")], folder);
  for (const name of readdirSync(EXAMPLES)) copyFileSync(join(EXAMPLES, name), join(application, name));
  copyFileSync(resolve(import.meta.dir, "support/package/wrong-rows.ts"), join(application, "wrong-rows.ts"));
  // It asks for the engine of migrations, which generating does not use, and would fetch it from elsewhere than npm.
  const generate = ["node", "node_modules/prisma/build/index.js", "generate", "--schema", "customers.prisma"];
  run(generate, application, { PRISMA_SCHEMA_ENGINE_BINARY: "/bin/true", CHECKPOINT_DISABLE: "1" });
  [edge, postgresql] = await Promise.all([startStaticEdge(), startPostgresql()]);
  await postgresql.database("application");
  s3 = startS3Double();
  env = {
    CRYPTO_EDGE_URL: edge.url,
    DATABASE_URL: `postgres://core@127.0.0.1:${postgresql.port}/application`,
    S3_ENDPOINT: s3.url,
    PORT: "0",
  };
}, 900_000);
afterAll(async () => {
  await Promise.all([edge?.close(), postgresql?.[Symbol.asyncDispose](), s3?.stop()]);
  rmSync(folder, { recursive: true });
});

test("all of them compile in strict mode, and rows of wrong types do not", () => {
  writeFileSync(
    join(application, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        noEmit: true,
        // Libraries of the examples are not held to it.
        skipLibCheck: true,
        module: "NodeNext",
        target: "ES2022",
        allowImportingTsExtensions: true,
        types: ["node"],
      },
      // Elysia's example is Bun's, and compiled with this project's own.
      files: readdirSync(application).filter((name) => name.endsWith(".ts") && name !== "elysia.ts"),
    }),
  );
  run(["node", "node_modules/typescript/bin/tsc", "-p", "."], application);
}, 300_000);

/** Bundles an example for Node, which does not read TypeScript in all its versions. */
function bundled(name: string): string {
  const esbuild = join(ROOT, "node_modules/.bin/esbuild");
  run(
    [
      esbuild,
      `${name}.ts`,
      "--bundle",
      "--format=esm",
      "--platform=node",
      "--packages=external",
      `--outfile=${name}.mjs`,
    ],
    application,
  );
  return `${name}.mjs`;
}

describe("encrypted columns are written, searched and read, alone and in bulk, with", () => {
  for (const name of ["drizzle-sqlite", "drizzle-postgresql", "kysely-sqlite", "kysely-postgresql", "prisma-sqlite"]) {
    test(name, async () => {
      const said = JSON.parse(await runBeside(["node", bundled(name)], application, env));
      expect(said.found).toEqual({ id: 17, name: "n7", iban: "DE7", address: null, email: "n7@example.org" });
      expect(said.rows).toBe(51);
      expect(said.first).toEqual({
        id: 1,
        name: "Ada",
        iban: name === "drizzle-postgresql" ? "DE99" : "DE02 1203",
        address: { street: "Main 1", city: "Bonn" },
        email: "ada@example.org",
      });
    }, 300_000);
  }
});

test("objects of S3 are encrypted before they leave, and read whole and in parts", async () => {
  const said = JSON.parse(await runBeside(["node", bundled("s3")], application, env));
  expect(said).toMatchObject({ same: true, part: said.expected });
  const stored = s3.objects.get("/documents/report.pdf")!;
  expect(new TextDecoder().decode(stored.subarray(0, 8))).toBe("L4SEALED");
  // The header, the last chunk, and the one that was asked for.
  expect(s3.ranges).toHaveLength(3);
}, 300_000);

describe("a service keeps notes encrypted, and tells the edge's errors as its own, with", () => {
  const services: Record<string, (name: string) => string[]> = {
    hono: (name) => ["node", bundled(name)],
    express: (name) => ["node", bundled(name)],
    elysia: (name) => [process.execPath, join(EXAMPLES, `${name}.ts`)],
  };
  for (const [name, command] of Object.entries(services)) {
    test(name, async () => {
      const service = Bun.spawn(command(name), {
        cwd: name === "elysia" ? ROOT : application,
        env: { ...process.env, ...env },
        stdout: "pipe",
        stderr: "inherit",
      });
      try {
        const url = `http://127.0.0.1:${(await firstLine(service.stdout)).trim()}/notes/1`;
        expect(
          (await fetch(url, { method: "PUT", body: "a note", headers: { "content-type": "text/plain" } })).status,
        ).toBe(204);
        expect(await (await fetch(url)).text()).toBe("a note");
        expect((await fetch(`${url}7`)).status).toBe(404);
      } finally {
        service.kill();
        await service.exited;
      }
    }, 300_000);
  }
});

async function firstLine(output: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const chunk of output) {
    text += new TextDecoder().decode(chunk);
    if (text.includes("\n")) return text.slice(0, text.indexOf("\n"));
  }
  throw new Error("the service ended without a word");
}
