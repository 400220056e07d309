/** docs/console.md, "Sign in by OpenID Connect", in Chromium at an issuer that others wrote: oidc-provider, the certified one of npm. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { CHROMIUM, type ConsoleCore, pictured, startConsoleCore } from "../support/console-core.ts";
import { freePort } from "../support/free-port.ts";
import { ROOT } from "../support/pages.ts";
import { npmFolder } from "./support/npm-folder.ts";

/** For a busy machine. */
setDefaultTimeout(180_000);

let core: ConsoleCore;
let issuer: Bun.Subprocess<"ignore", "pipe", "inherit">;
let browser: Browser;

beforeAll(async () => {
  const folder = npmFolder(["oidc-provider@9.13.3"]);
  copyFileSync(join(import.meta.dir, "support/oidc-issuer.mjs"), join(folder, "oidc-issuer.mjs"));
  const port = await freePort();
  core = await startConsoleCore([process.execPath, join(ROOT, "src/main.ts")], () => [
    "oidc:",
    `  issuer: http://127.0.0.1:${port}`,
    "  client_id: crypto-edge-console",
    "  client_secret: of the console+1",
    "  scopes: [profile, groups]",
    "  administrators: [keys-admins]",
    "  viewers: [auditors]",
  ]);
  issuer = Bun.spawn([process.execPath, "oidc-issuer.mjs", String(port), `${core.url}/signed-in`], {
    cwd: folder,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const reader = issuer.stdout.getReader();
  let said = "";
  while (!said.includes("the issuer is ready")) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`the issuer ended: ${said}`);
    said += Buffer.from(value).toString();
  }
  browser = await chromium.launch(CHROMIUM);
});

afterAll(async () => {
  await browser?.close();
  issuer?.kill("SIGTERM");
  await issuer?.exited;
  await core?.[Symbol.asyncDispose]();
});

test("an administrator signs in without a certificate, makes a service, and signs out", async () => {
  await using opened = await core.open(browser, { certificate: false });
  const { page } = opened;
  await page.goto(`${core.url}/services`);
  await signIn(page, "alice");
  expect(page.url()).toBe(`${core.url}/services`);
  expect(await page.getByText("alice, administrator, by session").count()).toBe(1);
  await page.getByLabel("Tenant").fill("tenant-o");
  await page.getByLabel("Service").fill("billing");
  await page.getByRole("button", { name: "Create" }).click();
  expect(await page.getByRole("status").innerText()).toContain("version 1 active");
  await pictured(page, "console-sign-in");
  expect(core.log()).toMatch(/"caller":"alice","subject":"alice","by":"session".*"an administrator acted"/);

  await page.getByRole("button", { name: "Sign out" }).click();
  expect(await page.getByRole("status").innerText()).toBe("You are signed out here.");
  // The issuer still knows her: she would be back at a click.
  await page.getByRole("link", { name: "sign out of the issuer too" }).click();
  await page.getByRole("button", { name: /sign me out/i }).click();
  await page.waitForURL(`${core.url}/signed-out**`);
  await page.goto(`${core.url}/edges`);
  expect(new URL(page.url()).origin).not.toBe(core.url);
});

test("an auditor of the same issuer may look, and finds no button", async () => {
  await using opened = await core.open(browser, { certificate: false });
  const { page } = opened;
  await page.goto(core.url);
  await signIn(page, "bob");
  expect(await page.getByText("bob, viewer, by session").count()).toBe(1);
  await page.goto(`${core.url}/services`);
  expect(await page.getByRole("button", { name: "Create" }).count()).toBe(0);
});

test("an administrator's certificate goes on beside it", async () => {
  await using opened = await core.open(browser);
  const { page } = opened;
  await page.goto(core.url);
  expect(await page.getByText("by certificate").count()).toBe(1);
});

/** The issuer's own forms: who it is, then that the console may know it. */
async function signIn(page: Page, name: string): Promise<void> {
  await page.locator("input[name=login]").fill(name);
  await page.locator("input[name=password]").fill("any");
  await page.locator("button[type=submit]").click();
  await page.getByRole("button", { name: "Continue" }).click();
  await page.waitForURL((url) => url.href.startsWith(core.url));
}
