import { afterEach, describe, expect, test } from "bun:test";
import { generateByBun, generateLoad } from "../../bench/harness/generator.ts";

const servers: { stop(force: boolean): unknown }[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop(true);
});

const REQUEST = { method: "POST", path: "/", body: "{}" } as const;

/** A server whose event loop stands still for `stallMs`, once, at its `at`-th request. */
function stallingServer(at: number, stallMs: number) {
  let requests = 0;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      await request.text();
      if (++requests === at) Bun.sleepSync(stallMs);
      return new Response("ok");
    },
  });
  servers.push(server);
  return { port: server.port!, requests: () => requests };
}

const WAYS = { "as it is chosen here": generateLoad, "without a compiler": generateByBun };

describe.each(Object.entries(WAYS))("the load generator, %s", (_, generate) => {
  test("a stall counts for every request that was due in it, not for those alone that had been sent", async () => {
    const { port } = stallingServer(300, 400);
    const load = await generate({
      target: { port },
      connections: 2,
      rate: 500,
      seconds: 2,
      warmUpSeconds: 0.1,
      requests: [REQUEST],
    });
    expect(load.errors).toBe(0);
    expect(load.requests).toBeGreaterThan(900);
    // 400 ms of 2 s is a fifth of what was due. A generator that waits for its two connections would see two slow requests.
    expect(load.latencyMs.max).toBeGreaterThan(300);
    expect(load.latencyMs.p99).toBeGreaterThan(200);
  }, 300_000);

  test("a thousand different requests are all sent, as often as each other", async () => {
    const seen = new Map<string, number>();
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch({ url }) {
        const { pathname } = new URL(url);
        seen.set(pathname, (seen.get(pathname) ?? 0) + 1);
        return new Response("ok");
      },
    });
    servers.push(server);
    const load = await generate({
      target: { port: server.port! },
      connections: 4,
      rate: 2_000,
      seconds: 60,
      warmUpSeconds: 0,
      requestsMax: 2_000,
      requests: Array.from({ length: 1_000 }, (_, index) => ({ ...REQUEST, path: `/${index}` })),
    });
    expect(load.errors).toBe(0);
    expect(seen.size).toBe(1_000);
    expect(Math.max(...seen.values())).toBeLessThanOrEqual(3);
  }, 300_000);

  test("answers that are errors are counted, and the first is told", async () => {
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => new Response("no such thing", { status: 404 }),
    });
    servers.push(server);
    const load = await generate({
      target: { port: server.port! },
      connections: 1,
      rate: 50,
      seconds: 0.5,
      requests: [REQUEST],
    });
    expect(load.errors).toBeGreaterThan(0);
    expect(load.firstError).toContain("404");
  }, 300_000);

  test("the weights of the requests are kept", async () => {
    const seen = new Map<string, number>();
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch(request) {
        const { pathname } = new URL(request.url);
        seen.set(pathname, (seen.get(pathname) ?? 0) + 1);
        return new Response("ok");
      },
    });
    servers.push(server);
    await generate({
      target: { port: server.port! },
      connections: 4,
      rate: 1000,
      seconds: 0.5,
      requests: [
        { ...REQUEST, path: "/often", weight: 7 },
        { ...REQUEST, path: "/seldom", weight: 3 },
      ],
    });
    const total = seen.get("/often")! + seen.get("/seldom")!;
    expect(seen.get("/often")! / total).toBeCloseTo(0.7, 1);
  }, 300_000);
});
