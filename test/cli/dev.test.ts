/** The first two minutes: what `crypto-edge dev` prints works as it is, in another terminal; its page shows it, with and without JavaScript. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type ServingCommand, startServing } from "../support/serving-command.ts";
import { until } from "../support/until.ts";

const ROOT = resolve(import.meta.dir, "../..");
const folder = mkdtempSync(join(tmpdir(), "crypto-edge-first-"));
const environment = { ...process.env, XDG_CONFIG_HOME: join(folder, "config") };
const contexts = (): { current?: string; contexts: Record<string, unknown> } =>
  JSON.parse(readFileSync(join(folder, "config/crypto-edge/contexts.json"), "utf8"));

let dev: ServingCommand["child"];
let told: ServingCommand["told"];
let url: string;

beforeAll(async () => {
  ({ child: dev, told } = await startServing([process.execPath, join(ROOT, "src/main.ts"), "dev", "--port", "0"], {
    ready: "ready (Ctrl-C ends it)",
    env: environment,
    onStarted: (started) => {
      dev = started;
    },
  }));
  url = /page +(http:\/\/127\.0\.0\.1:\d+)/.exec(told())![1]!;
}, 300_000);
afterAll(async () => {
  dev.kill("SIGTERM");
  expect(await dev.exited).toBe(0);
  // The end takes everything along.
  expect(contexts()).toEqual({ contexts: {} });
  expect(existsSync(/files +(\S+)/.exec(told())![1]!)).toBe(false);
  rmSync(folder, { recursive: true });
});

test("the five lines that it prints work as they are: create, open, seal, revoke and be refused, restore", async () => {
  const lines = told()
    .slice(told().indexOf("In another terminal"))
    .split("\n")
    .filter((line) => /^ {2}(curl|npx)/.test(line));
  expect(lines).toHaveLength(5);
  const script = lines.map((line) => line.replaceAll("npx crypto-edge", `sh ${join(ROOT, "scripts/crypto-edge.sh")}`));
  const run = (line: string) => {
    const child = Bun.spawnSync(["bash", "-c", line], { cwd: folder, env: environment });
    return { code: child.exitCode, out: child.stdout.toString(), err: child.stderr.toString() };
  };
  const created = run(script[0]!);
  expect(JSON.parse(created.out)).toHaveProperty("plaintext");
  const opened = run(script[1]!);
  expect(JSON.parse(opened.out).plaintext).toBe(JSON.parse(created.out).plaintext);
  expect(run(script[2]!)).toMatchObject({ code: 0, out: "key.json.sealed\n" });
  const refused = run(script[3]!);
  expect(refused.err).toContain("This service key was revoked");
  expect(existsSync(join(folder, "copy.json"))).toBe(false);
  expect(run(script[4]!)).toMatchObject({ code: 0 });
  expect(readFileSync(join(folder, "copy.json"), "utf8")).toBe(created.out);
  // What happened is told, a readable line each.
  await until(() => told().includes("restore     tenant-a/billing may be used again"));
  expect(told()).toMatch(/^ {2}\d\d:\d\d:\d\d {2}lease {7}tenant-a\/billing granted by the Core$/m);
  expect(told()).toContain("revocation  tenant-a/billing is compromised: 1 keys wiped");
  expect(told()).toContain("refusal     key_revoked");
}, 300_000);

test("the context is current where there was none, and leaves another one current", async () => {
  expect(contexts().current).toBe("dev");
  const other = join(folder, "other");
  const own = { ...process.env, XDG_CONFIG_HOME: other };
  const run = (...args: string[]) =>
    Bun.spawnSync([process.execPath, join(ROOT, "src/main.ts"), ...args], { env: own });
  expect(run("context", "set", "prod", "--edge", "unix:/run/edge.sock", "--tenant", "t").exitCode).toBe(0);
  expect(run("context", "list").stdout.toString()).toBe("* prod  edge unix:/run/edge.sock  t/default\n");
  expect(run("status", "--context", "nosuch").stderr.toString()).toContain(
    'there is no context "nosuch"; there is prod',
  );
  expect(run("status").stderr.toString()).toContain("the edge at unix:/run/edge.sock does not answer");
  expect(run("context", "remove", "prod").exitCode).toBe(0);
  expect(run("context", "list").stdout.toString()).toContain("no context yet");
});

describe("the page", () => {
  test("has its tables and forms without JavaScript, and a form's answer", async () => {
    const act = (action: string): Promise<Response> =>
      fetch(`${url}/dev/act`, {
        method: "POST",
        headers: { "content-type": "application/x-www-form-urlencoded" },
        body: new URLSearchParams({ action, tenant: "tenant-p", service: "page" }),
      });
    for (const action of ["create", "open", "rotate", "revoke"])
      expect(await (await act(action)).text()).toContain("<!doctype html>");
    const refused = await (await act("create")).text();
    expect(refused).toContain("refused: This service key was revoked");
    expect(refused).toMatch(/[\d,]+ µs/);
    expect(refused).toContain("<td>tenant-p/page</td>");
    expect(await (await act("restore")).text()).toContain("tenant-p/page was restored");
  });

  test("loads nothing from elsewhere, and runs no script of its text", async () => {
    const answer = await fetch(url);
    expect(answer.headers.get("content-security-policy")).toStartWith("default-src 'none'; script-src 'self';");
    const text = await answer.text();
    expect([...text.matchAll(/(?:src|href|action)="([^"]*)"/g)].map(([, path]) => path)).toEqual([
      "/dev/page.css",
      "/dev/page.js",
      "/dev/act",
    ]);
    expect(text).not.toMatch(/<script>|style="|onclick/);
  });

  test("escapes what a caller has named, and does nothing for another page", async () => {
    const name = "<b>x</b>";
    const refused = await fetch(`${url}/dev/act`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ action: "create", tenant: name, service: "x" }),
    });
    expect(refused.status).toBe(400);
    const foreign = await fetch(`${url}/dev/act`, {
      method: "POST",
      headers: { "content-type": "application/json", "sec-fetch-site": "cross-site", origin: "http://evil.example" },
      body: JSON.stringify({ action: "revoke", tenant: "tenant-p", service: "page" }),
    });
    expect(foreign.status).toBe(403);
  });
});

test("--version, a mistyped command, completions for three shells", () => {
  const run = (...args: string[]) =>
    Bun.spawnSync([process.execPath, join(ROOT, "src/main.ts"), ...args], { env: environment });
  expect(run("--version").stdout.toString()).toStartWith("crypto-edge ");
  expect(run("staus").stderr.toString()).toContain("Did you mean status?");
  for (const shell of ["bash", "zsh", "fish"]) {
    const text = run("completion", shell).stdout.toString();
    for (const word of ["serve", "rotate", "tenant", "force"]) expect(text).toContain(word);
    writeFileSync(join(folder, shell), text);
  }
  const complete = `source ${join(folder, "bash")}; COMP_WORDS=(crypto-edge core service cr); COMP_CWORD=3; _crypto_edge; echo "\${COMPREPLY[*]}"`;
  expect(Bun.spawnSync(["bash", "-c", complete]).stdout.toString().trim()).toBe("create");
  const options = `source ${join(folder, "bash")}; COMP_WORDS=(crypto-edge seal file --f); COMP_CWORD=3; _crypto_edge; echo "\${COMPREPLY[*]}"`;
  expect(Bun.spawnSync(["bash", "-c", options]).stdout.toString().trim()).toBe("--force");
  expect(run("completion", "tcsh").exitCode).toBe(2);
});
