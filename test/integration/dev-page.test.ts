/** The first two minutes in a browser: `npm start`, the page of the edge and the console of the Core in Chromium, and an end by kill. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import axe from "axe-core";
import { type Browser, chromium, type Page } from "playwright-core";
import { CHROMIUM, pictured } from "../support/console-core.ts";
import { ROOT } from "../support/pages.ts";
import { type ServingCommand, startServing } from "../support/serving-command.ts";

/** For a busy machine. */
setDefaultTimeout(180_000);

const folder = mkdtempSync(join(tmpdir(), "crypto-edge-page-"));
let dev: ServingCommand["child"];
let browser: Browser;
let told: ServingCommand["told"];
const address = (what: string): string =>
  new RegExp(`^  ${what} +(http://127\\.0\\.0\\.1:\\d+)`, "m").exec(told())![1]!;

beforeAll(async () => {
  ({ child: dev, told } = await startServing(["npm", "start", "--silent", "--", "--port", "0"], {
    ready: "ready (Ctrl-C ends it)",
    cwd: ROOT,
    env: { ...process.env, XDG_CONFIG_HOME: folder },
    onStarted: (started) => {
      dev = started;
    },
  }));
  browser = await chromium.launch(CHROMIUM);
});

afterAll(async () => {
  await browser?.close();
  dev?.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

/** Presses a button of the page, and waits for its answer. */
async function press(page: Page, name: string, answer: RegExp): Promise<void> {
  await page.getByRole("button", { name, exact: true }).click();
  await page.getByRole("status").filter({ hasText: answer }).waitFor();
}

test("each button of the page does what it says, and a revoked key is refused until it is restored", async () => {
  const page = await browser.newPage({ viewport: { width: 1_000, height: 900 } });
  const failed: string[] = [];
  page.on("pageerror", (error) => failed.push(error.message));
  await page.goto(address("page"));
  await press(page, "Create a key", /wrapped under version 1/);
  await press(page, "Open it", /opened: 32 bytes/);
  await press(page, "Rotate", /a new version is active/);
  await press(page, "Revoke", /revoke tenant-a\/billing/);
  await press(page, "Open it", /refused: This service key was revoked/);
  await page.locator("#events tr").nth(1).waitFor();
  await pictured(page, "dev-page");
  await press(page, "Restore", /it may be used again/);
  await press(page, "Open it", /opened: 32 bytes/);
  expect(failed).toEqual([]);
  await page.close();
});

for (const [look, options] of Object.entries({
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  narrow: { viewport: { width: 360, height: 640 } },
} as const)) {
  test(`the page is one that everybody can read and use: ${look}`, async () => {
    const page = await browser.newPage(options);
    await page.goto(address("page"));
    // Its policy lets no script in but its own.
    const scanned = await browser.newPage({ ...options, bypassCSP: true });
    await scanned.goto(address("page"));
    await scanned.evaluate(axe.source);
    const { violations } = await scanned.evaluate(() => (globalThis as unknown as { axe: typeof axe }).axe.run());
    expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
    expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth")).toBe(0);
    await scanned.close();
    await page.close();
  });
}

test("the console of the Core shows what the page did, and lets this machine do the same", async () => {
  const page = await browser.newPage();
  await page.goto(address("console"));
  await page.getByRole("link", { name: "tenant-a" }).click();
  await page.getByRole("link", { name: "billing" }).click();
  expect(await page.getByText("you, administrator, by this machine").count()).toBe(1);
  await page.getByRole("button", { name: "Rotate tenant-a/billing" }).click();
  expect(await page.getByRole("status").innerText()).toContain("A new version is active");
  await page.close();
  // Not by another name, which a page elsewhere could make point here.
  const status = await new Promise((resolve) =>
    request(address("console"), { headers: { host: "elsewhere.example" } }, ({ statusCode }) =>
      resolve(statusCode),
    ).end(),
  );
  expect(status).toBe(403);
});

test("kill ends all of it: the process, the files, the page", async () => {
  const files = /files +(\S+)/.exec(told())![1]!;
  dev.kill("SIGTERM");
  await dev.exited;
  const endMs = performance.now() + 60_000;
  while (existsSync(files) && performance.now() < endMs) await Bun.sleep(50);
  expect(existsSync(files)).toBe(false);
  await expect(fetch(address("page"))).rejects.toThrow();
});
