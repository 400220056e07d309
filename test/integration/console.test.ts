/** docs/console.md in Chromium, with the certificate file of that page: a person's journey, and what keeps people out of a page. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { type CoreClient, createCoreClient } from "../../src/edge/key-source/core/core-client.ts";
import { freePort } from "../support/free-port.ts";
import { ROOT, readBlocks } from "../support/pages.ts";

/** For a busy machine. */
setDefaultTimeout(180_000);

const PASSWORD = "of the test";
const folder = mkdtempSync(join(tmpdir(), "console-"));
const inFolder = { cwd: folder, env: { PATH: process.env.PATH ?? "", PASSWORD } };
const program = [process.execPath, join(ROOT, "src/main.ts")];
const file = (name: string): string => readFileSync(join(folder, name), "utf8");
let core: Bun.Subprocess<"ignore", "pipe", "pipe">;
let browser: Browser;
let url: string;
let edge: CoreClient;
let log = "";

beforeAll(async () => {
  for (const what of ["init --trust-domain example.org", "core --ip 127.0.0.1", "core --admin", "edge edge-1"]) {
    run([...program, "pki", ...what.split(" ")]);
  }
  const [command] = readBlocks("docs/console.md").filter(({ language }) => language === "sh");
  run(["sh", "-c", command!.text]);
  writeFileSync(join(folder, "master.key"), randomBytes(32), { mode: 0o600 });
  const [port, consolePort] = [await freePort(), await freePort()];
  const [section] = readBlocks("docs/console.md").filter(({ language }) => language === "yaml");
  writeFileSync(
    join(folder, "core.yaml"),
    `listen: "127.0.0.1:${port}"
database: core.db
master_key: { file: master.key }
tls: { cert: pki/core.pem, key: pki/core.key, client_ca: pki/ca.pem }
allow:
  - { edges: ["*"], tenants: ["*"], services: ["*"] }
${section!.text.replace("8445", String(consolePort))}`,
  );
  core = Bun.spawn([...program, "core", "serve", "--config", "core.yaml"], {
    ...inFolder,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  for (const stream of [core.stdout, core.stderr]) {
    void (async () => {
      for await (const chunk of stream) log += Buffer.from(chunk).toString();
    })();
  }
  url = `https://127.0.0.1:${consolePort}`;
  edge = createCoreClient({
    url: `https://127.0.0.1:${port}`,
    certificates: { ca: file("pki/ca.pem"), cert: file("pki/edge-1.pem"), key: file("pki/edge-1.key") },
  });
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  await until(() => log.includes("core: ready"));
});

afterAll(async () => {
  await browser?.close();
  edge?.close();
  core?.kill("SIGTERM");
  await core?.exited;
  rmSync(folder, { recursive: true, force: true });
});

test("a person makes a service, rotates it, revokes a version and sees it refused, restores it: without JavaScript", async () => {
  await using opened = await open({ javaScriptEnabled: false });
  const { page } = opened;
  await page.goto(`${url}/services`);
  await page.getByLabel("Tenant").fill("tenant-a");
  await page.getByLabel("Service").fill("billing");
  await page.getByRole("button", { name: "Create" }).click();
  expect(await page.getByRole("status").innerText()).toContain("version 1 active");
  const lease = (version: number) => edge.lease({ tenant: "tenant-a", service: "billing", version });
  await lease(1);

  await page.getByRole("button", { name: "Rotate tenant-a/billing" }).click();
  expect(await page.getByRole("status").innerText()).toContain("It is event 1");
  expect(await states(page)).toEqual(["2 active", "1 deprecated"]);

  await page.getByRole("link", { name: "Revoke… tenant-a/billing/1" }).click();
  expect(await page.getByRole("heading", { level: 1 }).innerText()).toBe("Revoke tenant-a/billing/1");
  await page.getByLabel("Reason").fill("lost backup");
  await page.getByLabel("To confirm").fill("tenant-a/billing");
  await page.getByRole("button", { name: "Revoke" }).click();
  expect(await page.getByRole("alert").innerText()).toContain("nothing was changed");
  await lease(1);
  await page.goBack();
  await page.getByLabel("Reason").fill("lost backup");
  await page.getByLabel("To confirm").fill("tenant-a/billing/1");
  // `SCREENSHOTS=1` makes the picture of docs/console.md anew.
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(ROOT, "docs/console.png") });
  await page.getByRole("button", { name: "Revoke" }).click();
  expect(await page.getByRole("status").innerText()).toContain("It is event 2");
  expect(await states(page)).toEqual(["2 active", "1 compromised"]);
  await expect(lease(1)).rejects.toMatchObject({ code: "key_revoked" });

  await page.getByRole("link", { name: "see who was told" }).click();
  expect(await page.getByRole("row", { name: /^2 / }).innerText()).toContain("lost backup");
  await page.getByRole("link", { name: "Services" }).click();
  await page.getByRole("link", { name: "tenant-a" }).click();
  await page.getByRole("link", { name: "billing" }).click();
  await page.getByRole("button", { name: "Restore tenant-a/billing/1" }).click();
  await lease(1);
  await page.getByRole("link", { name: "Edges" }).click();
  expect(await page.getByRole("row", { name: /^edge-1/ }).innerText()).toContain("no stream");
  // The number is no key, and is not masked as one.
  expect(log).toMatch(/"serial":"[0-9a-f]{8,}".*"an administrator acted"/);
});

test("a form of another page changes nothing", async () => {
  await using opened = await open();
  const { page } = opened;
  await page.goto(`${url}/services`);
  const token = await page.locator("input[name=token]").first().getAttribute("value");
  const status = new Promise<number>((resolve) => {
    page.on("response", (response) => response.url() === `${url}/services` && resolve(response.status()));
  });
  await page.goto("about:blank");
  // Even one that has come by the token.
  await page.setContent(`<form method="post" action="${url}/services"><input name="token" value="${token}">
<input name="tenant" value="tenant-b"><input name="service" value="stolen"><button>Win a prize</button></form>`);
  await page.getByRole("button").click();
  expect(await status).toBe(403);
  await page.goto(`${url}/`);
  expect(await page.content()).not.toContain("tenant-b");
});

test("a browser without an administrator's certificate is not let in", async () => {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await expect(page.goto(url)).rejects.toThrow(/ERR_/);
  await context.close();
});

test("the keyboard is enough to make a service", async () => {
  await using opened = await open();
  const { page } = opened;
  await page.goto(url);
  await tabTo(page, "Services");
  await page.keyboard.press("Enter");
  await page.waitForURL(`${url}/services`);
  await tabTo(page, "tenant");
  await page.keyboard.type("tenant-k");
  await page.keyboard.press("Tab");
  await page.keyboard.type("keys");
  await page.keyboard.press("Enter");
  await page.getByRole("status").waitFor();
  expect(page.url()).toContain("tenant=tenant-k");
});

describe("every page", () => {
  const looks: Record<string, BrowserContextOptions> = {
    light: { colorScheme: "light" },
    dark: { colorScheme: "dark" },
    narrow: { colorScheme: "light", viewport: { width: 360, height: 640 } },
  };
  for (const [look, options] of Object.entries(looks)) {
    test(`is one that everybody can read and use: ${look}`, async () => {
      await using opened = await open(options);
      const { page } = opened;
      const refused: string[] = [];
      page.on("console", (message) => message.type() === "error" && refused.push(message.text()));
      await page.goto(`${url}/services`);
      const paths = [
        "",
        "services",
        "services?tenant=tenant-k",
        "services?tenant=tenant-k&service=keys",
        "edges",
        "events",
        "audit",
      ];
      for (const path of [...paths, "revoke?tenant=tenant-k&service=keys&version=1"]) {
        await page.goto(`${url}/${path}`);
        await page.evaluate(axe.source);
        const { violations } = await page.evaluate(() => (globalThis as unknown as { axe: typeof axe }).axe.run());
        expect(violations.map(({ id, nodes }) => [path, id, nodes.map(({ html }) => html)])).toEqual([]);
        const overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
        expect([path, overflow]).toEqual([path, 0]);
      }
      expect(refused).toEqual([]);
    });
  }
});

async function open(options: BrowserContextOptions = {}): Promise<{ page: Page } & AsyncDisposable> {
  const certificate = { origin: url, pfxPath: join(folder, "core-admin.p12"), passphrase: PASSWORD };
  const context = await browser.newContext({
    ignoreHTTPSErrors: true,
    clientCertificates: [certificate],
    ...options,
  });
  return { page: await context.newPage(), [Symbol.asyncDispose]: () => context.close() };
}

/** `2 active`, for each row of versions. */
async function states(page: Page): Promise<string[]> {
  const rows = await page
    .getByRole("table", { name: /^Key versions/ })
    .locator("tbody tr")
    .all();
  return Promise.all(
    rows.map(async (row) => `${await row.locator("th").innerText()} ${await row.locator("td").first().innerText()}`),
  );
}

/** By its text or its name, with the tabulator alone. */
async function tabTo(page: Page, what: string): Promise<void> {
  for (let count = 0; count < 50; count++) {
    await page.keyboard.press("Tab");
    const focused = await page.evaluate("document.activeElement.name || document.activeElement.textContent");
    if (focused === what) return;
  }
  throw new Error(`the keyboard does not reach ${what}`);
}

function run(command: readonly string[]): void {
  const { exitCode, stderr } = Bun.spawnSync([...command], { ...inFolder, stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
}

async function until(holds: () => boolean): Promise<void> {
  const endMs = performance.now() + 90_000;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`did not come true: ${holds}\n${log}`);
    await Bun.sleep(50);
  }
}
