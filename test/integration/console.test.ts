/** docs/console.md in Chromium, with the certificate file of that page: a person's journey, and what keeps people out of a page. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { type CoreClient, createCoreClient } from "../../src/edge/key-source/core/core-client.ts";
import { CHROMIUM, type ConsoleCore, pictured, startConsoleCore } from "../support/console-core.ts";
import { ROOT } from "../support/pages.ts";

/** For a busy machine. */
setDefaultTimeout(180_000);

let core: ConsoleCore;
let browser: Browser;
let url: string;
let edge: CoreClient;

beforeAll(async () => {
  core = await startConsoleCore([process.execPath, join(ROOT, "src/main.ts")]);
  url = core.url;
  edge = createCoreClient({
    url: core.coreUrl,
    certificates: { ca: core.file("pki/ca.pem"), cert: core.file("pki/edge-1.pem"), key: core.file("pki/edge-1.key") },
  });
  browser = await chromium.launch(CHROMIUM);
});

afterAll(async () => {
  await browser?.close();
  edge?.close();
  await core?.[Symbol.asyncDispose]();
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

  await edge.usage({
    idempotencyKey: "used",
    gzip: false,
    body: Buffer.from(
      `${JSON.stringify({ tenant: "tenant-a", service: "billing", version: 1, operation: "create", outcome: "ok", principal: "payroll", count: 1_204, from: new Date().toISOString(), to: new Date().toISOString() })}\n`,
    ),
  });
  await pictured(page, "console-services");
  await page.getByRole("link", { name: "Revoke… tenant-a/billing/1" }).click();
  const hit = await page
    .getByRole("table", { name: "Edges that it hits" })
    .getByRole("row", { name: /^edge-1/ })
    .innerText();
  expect(hit).toMatch(/when it renews\t1\t.*Z\t1204/);
  expect(await page.getByRole("heading", { level: 1 }).innerText()).toBe("Revoke tenant-a/billing/1");
  await page.getByLabel("Reason").fill("lost backup");
  await page.getByLabel("To confirm").fill("tenant-a/billing");
  await page.getByRole("button", { name: "Revoke" }).click();
  expect(await page.getByRole("alert").innerText()).toContain("nothing was changed");
  await lease(1);
  await page.goBack();
  await page.getByLabel("Reason").fill("lost backup");
  await page.getByLabel("To confirm").fill("tenant-a/billing/1");
  await pictured(page, "console");
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
  expect(core.log()).toMatch(/"serial":"[0-9a-f]{8,}".*"an administrator acted"/);
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

function open(options: BrowserContextOptions = {}) {
  return core.open(browser, options);
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
