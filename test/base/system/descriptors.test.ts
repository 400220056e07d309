import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { DescriptorRoom, watchDescriptors } from "../../../src/base/system/descriptors.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

test("running out of descriptors is one warning, with the limit's name, and one line when it is over", async () => {
  const clock = new VirtualClock();
  const lines: string[] = [];
  const write = (details: object, message: string) => void lines.push(`${JSON.stringify(details)} ${message}`);
  let code: string | undefined;
  const end = watchDescriptors(clock, { warn: write, info: write }, { limit: 64, lack: () => code });
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

test("connections are turned away while an eighth of the descriptors is left, at least sixteen, and admitted again as they go", () => {
  let open = 10;
  const room = new DescriptorRoom(64, () => open);
  const take = (): boolean => {
    const admitted = room.admits();
    if (admitted) open++;
    return admitted;
  };
  const admitted = Array.from({ length: 100 }, take).filter(Boolean).length;
  expect([admitted, open]).toEqual([38, 48]);
  expect(room.lack()).toBe("EMFILE");
  // Nobody has tried since, and none have gone.
  expect(room.lack()).toBe("EMFILE");
  open -= 20;
  expect(room.lack()).toBeUndefined();
  expect(take()).toBe(true);
  const large = new DescriptorRoom(1_048_576, () => 1_048_576 - 70);
  expect([large.admits(), large.lack()]).toEqual([true, undefined]);
});

test("a low descriptor that was closed among many that are open is no room", async () => {
  const program = `
    import { closeSync, openSync } from "node:fs";
    import { DescriptorRoom } from ${JSON.stringify(resolve(import.meta.dir, "../../../src/base/system/descriptors.ts"))};
    const room = new DescriptorRoom();
    const first = openSync("/dev/null", "r");
    while (openSync("/dev/null", "r") < 60);
    closeSync(first);
    console.log(JSON.stringify([room.limit, room.admits()]));
  `;
  const child = Bun.spawn(["sh", "-c", 'ulimit -n 64; exec "$0" -e "$1"', process.execPath, program], {
    stdout: "pipe",
  });
  expect(await new Response(child.stdout).text()).toBe("[64,false]\n");
}, 300_000);

test("while many are turned away they are counted now and then, and once a second", () => {
  let counts = 0;
  let open = 100_000;
  const room = new DescriptorRoom(100_000, () => {
    counts++;
    return open;
  });
  for (let n = 0; n < 1_010; n++) expect(room.admits()).toBe(false);
  expect(counts).toBe(10);
  expect(room.admits()).toBe(false);
  open = 10;
  expect(room.admits()).toBe(false);
  room.lack();
  expect(room.admits()).toBe(true);
});

test("where the system tells no limit all are admitted, and what can't be opened at all turns away", () => {
  expect(new DescriptorRoom(undefined, () => 5_000).admits()).toBe(true);
  const room = new DescriptorRoom(64, () => "ENFILE");
  expect([room.admits(), room.lack()]).toEqual([false, "ENFILE"]);
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
