/** A start can always be ended: by a signal while it waits for something, and by itself when it fails with something left open. */
import { describe, expect, test } from "bun:test";
import { join, resolve } from "node:path";
import { folderOf } from "../edge/plugin-host/support.ts";

const MAIN = resolve(import.meta.dir, "../../src/main.ts");

/** A key source whose `start` does as it is told, and says on standard error that it has begun. */
const plugin = (start: string): string => `
import { contribution, definePlugin, Section } from "crypto-edge/plugin";
export default definePlugin({
  name: "waiting",
  apiVersion: 1,
  keySources: {
    waiting: contribution({
      configuration: Section({}),
      create: () => ({
        name: "waiting",
        async start() { setInterval(() => {}, 1_000); console.error("begun"); ${start} },
        async lease() { throw new Error("never"); },
        async close() {},
      }),
    }),
  },
});
`;

async function serve(start: string, rest = "") {
  const folder = folderOf({
    "plugin/plugin.ts": plugin(start),
    "plugin/package.json": '{ "name": "waiting", "version": "1.0.0", "type": "module", "exports": "./plugin.ts" }',
    "edge.yaml": `edge: { id: edge-test }
key_source: { use: waiting, waiting: {} }
listeners: [{ unix: edge.sock, principal: local }]
plugins: [plugin]
key_memory: { dumpable: true }
${rest}`,
  });
  const child = Bun.spawn([process.execPath, MAIN, "serve", "--config", join(folder.path, "edge.yaml")], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  let told = "";
  const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  const readUntil = async (text: string): Promise<void> => {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      told += part.value;
      if (told.includes(text)) return;
    }
  };
  return {
    child,
    readUntil,
    told: () => told,
    [Symbol.dispose]() {
      child.kill("SIGKILL");
      folder[Symbol.dispose]();
    },
  };
}

const NEVER = "await new Promise(() => {});";

describe("a signal ends a start that waits for ever", () => {
  test.each([
    ["SIGTERM", 143],
    ["SIGINT", 130],
    ["SIGQUIT", 131],
  ] as const)(
    "%s",
    async (signal, code) => {
      using edge = await serve(NEVER);
      await edge.readUntil("begun");
      edge.child.kill(signal);
      expect(await edge.child.exited).toBe(code);
    },
    40_000,
  );

  test("with workers too, which end with it even where they are stuck in a call", async () => {
    using edge = await serve(`console.error("stuck"); for (;;) {}`, "workers: 2");
    await edge.readUntil("stuck");
    edge.child.kill("SIGTERM");
    expect(await edge.child.exited).toBe(143);
    // The worker has standard error too: it ends when the last of them has.
    await edge.readUntil("never written");
  }, 40_000);
});

test("a start that fails ends by itself, whatever it has left open", async () => {
  using edge = await serve(`throw new Error("the token is away");`);
  await edge.readUntil("the token is away");
  expect(await edge.child.exited).toBe(1);
}, 40_000);
