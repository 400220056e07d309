import { expect, test } from "bun:test";
import { connect } from "node:net";
import { join } from "node:path";

const SENT = 32 * 1024 * 1024;
const ROOT = join(import.meta.dir, "../../..");

test("under Deno a sender however fast is read by 64 KiB in a turn of the event loop, in full, and not while it is paused", async () => {
  const flags = ["run", "--no-lock", "--node-modules-dir=manual", "--allow-all"];
  const child = Bun.spawn(
    [join(ROOT, "node_modules/.bin/deno"), ...flags, join(import.meta.dir, "read-in-turns-under-deno.ts")],
    { cwd: ROOT, stdout: "pipe", stderr: "inherit" },
  );
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  try {
    const port = Number((await lines.read()).value);
    connect(port, "127.0.0.1").end(Buffer.alloc(SENT));
    let told = "";
    for (let part = await lines.read(); !part.done; part = await lines.read()) told += part.value;
    expect(await child.exited).toBe(0);
    const { most, total } = JSON.parse(told) as { most: number; total: number };
    expect(total).toBe(SENT);
    // Those of a read, and of what was read ahead of it.
    expect(most).toBeLessThanOrEqual(2 * 65_536);
  } finally {
    child.kill("SIGKILL");
  }
}, 300_000);
