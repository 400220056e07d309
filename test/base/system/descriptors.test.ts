import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { watchDescriptors } from "../../../src/base/system/descriptors.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

test("running out of descriptors is one warning, with the limit's name, and one line when it is over", async () => {
  const clock = new VirtualClock();
  const lines: string[] = [];
  const write = (details: object, message: string) => void lines.push(`${JSON.stringify(details)} ${message}`);
  let code: string | undefined;
  const end = watchDescriptors(clock, { warn: write, info: write }, () => code);
  await clock.advance(5_000);
  expect(lines).toEqual([]);
  code = "EMFILE";
  await clock.advance(10_000);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/"code":"EMFILE","limit":\d+/);
  expect(lines[0]).toContain("LimitNOFILE=");
  code = undefined;
  await clock.advance(10_000);
  expect(lines.slice(1)).toEqual(["{} there are file descriptors again"]);
  end();
  code = "EMFILE";
  await clock.advance(10_000);
  expect(lines).toHaveLength(2);
});

test("a process that has none left notices it", async () => {
  const program = `
    import { openSync } from "node:fs";
    import { watchDescriptors } from ${JSON.stringify(resolve(import.meta.dir, "../../../src/base/system/descriptors.ts"))};
    import { systemClock } from ${JSON.stringify(resolve(import.meta.dir, "../../../src/base/time/system-clock.ts"))};
    watchDescriptors(systemClock, { info() {}, warn(details) { console.log(JSON.stringify(details)); process.exit(); } });
    try { for (;;) openSync("/dev/null", "r"); } catch {}
    setInterval(() => {}, 1000);
  `;
  const child = Bun.spawn(["sh", "-c", 'ulimit -n 200; exec "$0" -e "$1"', process.execPath, program], {
    stdout: "pipe",
  });
  expect(await new Response(child.stdout).text()).toBe('{"code":"EMFILE","limit":200}\n');
}, 300_000);
