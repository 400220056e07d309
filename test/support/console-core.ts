/** A Core with the console as a process of its own, made as docs/console.md says, for a browser to open. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { freePort } from "./free-port.ts";
import { ROOT, readBlocks } from "./pages.ts";

const PASSWORD = "of the test";

export const CHROMIUM = { executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] };

export interface ConsoleCore extends AsyncDisposable {
  /** Of the console. */
  readonly url: string;
  /** Of the Core's own listener. */
  readonly coreUrl: string;
  file(name: string): string;
  log(): string;
  /** In a browser that has the administrator's certificate, unless told otherwise. */
  open(
    browser: Browser,
    options?: BrowserContextOptions & { readonly certificate?: boolean },
  ): Promise<{ readonly page: Page } & AsyncDisposable>;
}

/**
 * @param program what runs `crypto-edge`: the sources under Bun, or the compiled binary
 * @param more lines of the section `console`, without indentation, by the console's address
 */
export async function startConsoleCore(
  program: readonly string[],
  more: (consoleUrl: string) => readonly string[] = () => [],
): Promise<ConsoleCore> {
  const folder = mkdtempSync(join(tmpdir(), "console-"));
  const env = { PATH: process.env.PATH ?? "", PASSWORD };
  const run = (command: readonly string[]): void => {
    const { exitCode, stderr } = Bun.spawnSync([...command], { cwd: folder, env, stderr: "pipe" });
    if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
  };
  for (const what of ["init --trust-domain example.org", "core --ip 127.0.0.1", "core --admin", "edge edge-1"]) {
    run([...program, "pki", ...what.split(" ")]);
  }
  const blocks = readBlocks("docs/console.md");
  run(["sh", "-c", blocks.find(({ language }) => language === "sh")!.text]);
  writeFileSync(join(folder, "master.key"), randomBytes(32), { mode: 0o600 });
  const [port, consolePort] = [await freePort(), await freePort()];
  const section = blocks.find(({ language }) => language === "yaml")!.text;
  const url = `https://127.0.0.1:${consolePort}`;
  const listen = section
    .replace("console: { listen:", "console:\n  listen:")
    .replace(" }", "")
    .replace("8445", String(consolePort));
  writeFileSync(
    join(folder, "core.yaml"),
    `listen: "127.0.0.1:${port}"
database: core.db
master_key: { file: master.key }
tls: { cert: pki/core.pem, key: pki/core.key, client_ca: pki/ca.pem }
allow:
  - { edges: ["*"], tenants: ["*"], services: ["*"] }
${listen.trim()}
${more(url)
  .map((line) => `  ${line}`)
  .join("\n")}
`,
  );
  const core = Bun.spawn([...program, "core", "serve", "--config", "core.yaml"], {
    cwd: folder,
    env,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  let log = "";
  for (const stream of [core.stdout, core.stderr]) {
    void (async () => {
      for await (const chunk of stream) log += Buffer.from(chunk).toString();
    })();
  }
  const endMs = performance.now() + 90_000;
  while (!log.includes("core: ready")) {
    if (performance.now() > endMs || core.exitCode !== null) throw new Error(`the Core did not start:\n${log}`);
    await Bun.sleep(50);
  }
  return {
    url,
    coreUrl: `https://127.0.0.1:${port}`,
    file: (name) => readFileSync(join(folder, name), "utf8"),
    log: () => log,
    async open(browser, { certificate = true, ...options } = {}) {
      const own = { origin: url, pfxPath: join(folder, "core-admin.p12"), passphrase: PASSWORD };
      const context = await browser.newContext({
        ignoreHTTPSErrors: true,
        ...(certificate ? { clientCertificates: [own] } : {}),
        ...options,
      });
      return { page: await context.newPage(), [Symbol.asyncDispose]: () => context.close() };
    },
    async [Symbol.asyncDispose]() {
      core.kill("SIGTERM");
      await core.exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** `SCREENSHOTS=1` makes the pictures of the docs anew. */
export async function pictured(page: Page, name: string): Promise<void> {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(ROOT, "docs", `${name}.png`), fullPage: true });
}
