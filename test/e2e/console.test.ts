/** The console of the compiled executable, in Chromium: its pages and its style come out of the one file. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Browser, chromium } from "playwright-core";
import { CHROMIUM, type ConsoleCore, startConsoleCore } from "../support/console-core.ts";
import { BINARY } from "./support/binary.ts";

/** For a busy machine. */
setDefaultTimeout(180_000);

let core: ConsoleCore;
let browser: Browser;

beforeAll(async () => {
  core = await startConsoleCore([BINARY]);
  browser = await chromium.launch(CHROMIUM);
});

afterAll(async () => {
  await browser?.close();
  await core?.[Symbol.asyncDispose]();
});

test("the executable serves every page with its style, and does what a form asks", async () => {
  await using opened = await core.open(browser);
  const { page } = opened;
  const failed: string[] = [];
  page.on("console", (message) => message.type() === "error" && failed.push(message.text()));
  page.on("response", (response) => response.status() >= 400 && failed.push(`${response.status()} ${response.url()}`));
  await page.goto(`${core.url}/services`);
  await page.getByLabel("Tenant").fill("tenant-a");
  await page.getByLabel("Service").fill("billing");
  await page.getByRole("button", { name: "Create" }).click();
  expect(await page.getByRole("status").innerText()).toContain("version 1 active");
  const paths = ["", "services", "services?tenant=tenant-a&service=billing", "edges", "events", "audit"];
  for (const path of [...paths, "revoke?tenant=tenant-a&service=billing&version=1"]) {
    await page.goto(`${core.url}/${path}`);
    expect([path, await page.locator("h1").count()]).toEqual([path, 1]);
    // Of the sheet, which no browser has by itself.
    const width = await page.evaluate("getComputedStyle(document.body).maxWidth");
    expect([path, width]).toEqual([path, "1152px"]);
  }
  expect(failed).toEqual([]);
});
