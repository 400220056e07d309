import { expect, test } from "bun:test";
import { resolve } from "node:path";

const SERVER = resolve(import.meta.dir, "../../plugins/openbao/server.ts");

test("a token of OpenBao goes to no proxy of the environment, even where the runtime is told to ask one", async () => {
  using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("{}") });
  const asked: string[] = [];
  using proxy = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      asked.push(request.url);
      return new Response("{}", { status: 418 });
    },
  });
  const child = Bun.spawn(
    [
      process.execPath,
      "-e",
      `import { Server } from "${SERVER}";
       import { get } from "node:http";
       const server = new Server({ address: "http://127.0.0.1:${server.port}", timeoutMs: 20_000 });
       console.log((await server.call("GET", "sys/health", "token", undefined, new AbortController().signal)).status);
       // What the runtime does by itself.
       get("http://127.0.0.1:${server.port}/", (answer) => { console.log(answer.statusCode); process.exit(0); });`,
    ],
    { env: { ...process.env, NODE_USE_ENV_PROXY: "1", HTTP_PROXY: `http://127.0.0.1:${proxy.port}`, NO_PROXY: "" } },
  );
  expect(await new Response(child.stdout).text()).toBe("200\n418\n");
  expect(asked).toHaveLength(1);
});
