/** The clients of TypeScript, Python and Go beside one another: their own tests by their languages' own tools, and records crossed every way. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "../../src/sdk/client/index.ts";
import { createRecords, recordToText } from "../../src/sdk/records/index.ts";
import { makeAuthority } from "../support/certificates.ts";
import { ROOT } from "../support/pages.ts";
import { type StaticEdge, startStaticEdge, staticConfiguration } from "../support/static-edge.ts";
import { runBeside } from "./support/npm-folder.ts";
import { pythonFolder } from "./support/python-folder.ts";

const PYTHON = join(ROOT, "clients/python");
const GO = join(ROOT, "clients/go");
const NAME = { tenant: "tenant-a", service: "billing" };
const folder = mkdtempSync(join(tmpdir(), "crypto-edge-languages-"));
const crossing = join(folder, "crossing");
const path = (name: string): string => join(folder, name);

let edge: StaticEdge;
let env: Record<string, string>;
let python: string;

beforeAll(async () => {
  python = pythonFolder(["cryptography==50.0.2", "mypy==2.4.1"]);
  mkdirSync(crossing);
  const authority = await makeAuthority();
  const server = await authority.issue({ dns: ["localhost"], ip: ["127.0.0.1"] });
  const client = await authority.issue({ uris: ["spiffe://example.org/billing"] });
  for (const [name, text] of Object.entries({
    "ca.pem": authority.certificate,
    "server.pem": server.certificate,
    "server.key": server.key,
    "client.pem": client.certificate,
    "client.key": client.key,
  })) {
    writeFileSync(path(name), text, { mode: 0o600 });
  }
  const listeners = `listeners:
  - { unix: "${path("edge.sock")}", mode: "0600", principal: local }
  - { https: "127.0.0.1:0", cert: "${path("server.pem")}", key: "${path("server.key")}", client_ca: "${path("ca.pem")}" }`;
  edge = await startStaticEdge(
    staticConfiguration()
      .replace("listeners:", listeners)
      .replace("principals: [local]", 'principals: [local, "spiffe://example.org/*"]'),
  );
  env = {
    CRYPTO_EDGE_URL: edge.urls.find((url) => url.startsWith("http:"))!,
    CRYPTO_EDGE_HTTPS: edge.urls.find((url) => url.startsWith("https:"))!,
    CRYPTO_EDGE_UNIX: `unix:${path("edge.sock")}`,
    CA: path("ca.pem"),
    CERT: path("client.pem"),
    KEY: path("client.key"),
    CROSSING: crossing,
    // Nothing listens there: whoever uses it fails.
    HTTP_PROXY: "http://127.0.0.1:9",
    HTTPS_PROXY: "http://127.0.0.1:9",
    NO_PROXY: "",
    PYTHONPATH: join(PYTHON, "src"),
    PYTHONDONTWRITEBYTECODE: "1",
    GOFLAGS: "-count=1",
  };
}, 600_000);
afterAll(async () => {
  await edge?.close();
  rmSync(folder, { recursive: true });
});

const records = () => createRecords(createClient({ url: env.CRYPTO_EDGE_UNIX! }), NAME);

async function writeOurs(): Promise<void> {
  const context = { language: "typescript", id: "ü" };
  const value = "from TypeScript \u{1f512}";
  const sealed = [await records().seal(value, context), ...(await records().sealMany([{ value, context }]))];
  const crossed = sealed.map((record) => ({ record: recordToText(record), context, value }));
  writeFileSync(join(crossing, "typescript.json"), JSON.stringify(crossed));
}

async function openTheirs(name: string): Promise<number> {
  const crossed = JSON.parse(readFileSync(join(crossing, name), "utf8")) as {
    record: string;
    context: Record<string, string>;
    value: string;
  }[];
  for (const { record, context, value } of crossed) expect(await records().openText(record, context)).toBe(value);
  return crossed.length;
}

describe("by its language's own tools,", () => {
  test("Python: mypy finds nothing in it", async () => {
    await runBeside([join(python, "bin/mypy"), "--cache-dir", path("mypy")], PYTHON, env);
  }, 300_000);

  test("Python: its tests pass, every way to an edge included, and it opens TypeScript's records", async () => {
    await writeOurs();
    const said = await runBeside(
      [
        "sh",
        "-c",
        'exec "$0" "$@" 2>&1',
        join(python, "bin/python"),
        "-m",
        "unittest",
        "discover",
        "-s",
        "tests",
        "-v",
      ],
      PYTHON,
      env,
      300_000,
    );
    expect(said).not.toContain("skipped");
    expect(await openTheirs("python.json")).toBe(2);
  }, 300_000);

  test("Go: vet and gofmt find nothing in it", async () => {
    await runBeside(["go", "vet", "./..."], GO, env, 300_000);
    expect(await runBeside(["gofmt", "-l", "."], GO, env)).toBe("");
  }, 300_000);

  test("Go: its tests pass, every way to an edge included, and it opens TypeScript's and Python's records", async () => {
    await writeOurs();
    expect(existsSync(join(crossing, "python.json"))).toBe(true);
    const said = await runBeside(["go", "test", "-v", "-timeout", "120s", "./..."], GO, env, 300_000);
    expect(said).not.toContain("SKIP");
    expect(await openTheirs("go.json")).toBe(1);
  }, 300_000);

  test("Python opens Go's records, too", async () => {
    expect(existsSync(join(crossing, "go.json"))).toBe(true);
    await runBeside(
      [join(python, "bin/python"), "-m", "unittest", "discover", "-s", "tests", "-k", "other_languages"],
      PYTHON,
      env,
    );
  }, 300_000);
});

test("each has fewer than 500 lines of code", () => {
  const lines = (directory: string, ending: string, comment: RegExp): number =>
    readdirSync(directory)
      .filter((name) => name.endsWith(ending) && !name.endsWith(`_test${ending}`))
      .map((name) => readFileSync(join(directory, name), "utf8").replace(/"""[\s\S]*?"""/g, ""))
      .flatMap((text) => text.split("\n"))
      .filter((line) => line.trim() !== "" && !comment.test(line)).length;
  expect(lines(join(PYTHON, "src/crypto_edge"), ".py", /^\s*#/)).toBeLessThan(500);
  expect(lines(GO, ".go", /^\s*\/\//)).toBeLessThan(500);
});
