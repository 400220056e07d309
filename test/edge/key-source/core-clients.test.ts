import { expect, setDefaultTimeout, test } from "bun:test";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { createThrowAwayPki } from "../../../src/base/pki/throw-away.ts";
import { createCoreClients } from "../../../src/edge/key-source/core/core-clients.ts";
import { KeySourceError } from "../../../src/edge/key-source/key-source.ts";
import { startCoreWorld } from "../../support/core-world.ts";
import { until } from "../../support/until.ts";

/** For a busy machine. */
setDefaultTimeout(60_000);

const request = { tenant: "tenant-a", service: "billing" };

/** Two Cores, each with a store of its own: enough to see which of them was asked. */
async function twoCores() {
  const one = await startCoreWorld({ createOnFirstUse: true, heartbeatMs: 100 });
  const two = await startCoreWorld({ createOnFirstUse: true, heartbeatMs: 100 });
  const clients = createCoreClients({
    urls: [one.core.url, two.core.url],
    certificates: await one.pki.edge("edge-1"),
    random: () => 0,
  });
  return {
    one,
    two,
    clients,
    asked: () => [one.core.counters.leaseCalls, two.core.counters.leaseCalls],
    async [Symbol.asyncDispose]() {
      clients.close();
      await one[Symbol.asyncDispose]();
      await two[Symbol.asyncDispose]();
    },
  };
}

test("a call goes to one Core, and to the next where that is away; the one that answered is asked from then on", async () => {
  await using world = await twoCores();
  const { one, clients, asked } = world;
  await clients.lease(request);
  await clients.lease(request);
  expect(asked()).toEqual([2, 0]);
  await one.core.close();
  await clients.lease(request);
  await clients.keys();
  await clients.lease(request);
  expect(asked()).toEqual([2, 2]);
});

test("a refusal is the Core's word: no other is asked for a better one", async () => {
  await using world = await twoCores();
  const { one, clients, asked } = world;
  await one.core.admin.createService("tenant-a", "billing");
  await one.core.admin.revoke({ ...request, version: 1 });
  const failure = await clients.lease({ ...request, version: 1 }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(KeySourceError);
  expect(failure).toMatchObject({ code: "key_revoked" });
  expect(asked()).toEqual([1, 0]);
});

test("where none answers, the last failure is told, and each is asked again as soon as one is back", async () => {
  await using world = await twoCores();
  const { one, two, clients } = world;
  await one.core.close();
  await two.core.close();
  for (let call = 0; call < 3; call++) {
    const failure = await clients.lease(request).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "unavailable" });
  }
});

test("a stream that breaks off goes on at another Core", async () => {
  await using world = await twoCores();
  const { one, two, clients } = world;
  const stop = new AbortController();
  let heard = 0;
  const follow = () => clients.revocations(undefined, { onMessage: () => heard++ }, stop.signal);
  const first = follow().catch((error: Error) => error);
  await until(() => one.core.counters.streams === 1 && heard > 0);
  await one.core.close();
  await first;
  const second = follow().catch((error: Error) => error);
  await until(() => two.core.counters.streams === 1);
  stop.abort();
  await second;
});

test("every Core is told the same name of this process, and another process has another", async () => {
  const pki = await createThrowAwayPki("example.org");
  const names: unknown[] = [];
  const servers = await Promise.all(
    [1, 2].map(async () => {
      const server = createServer({ cert: pki.core.cert, key: pki.core.key }, (request, response) => {
        names.push(request.headers["crypto-edge-instance"]);
        response.writeHead(503).end();
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return server;
    }),
  );
  const urls = servers.map((server) => `https://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const certificates = await pki.edge("edge-1");
  for (let process = 0; process < 2; process++) {
    const clients = createCoreClients({ urls, certificates });
    await expect(clients.applied({ log: "log-a", seq: 1 })).rejects.toMatchObject({ status: 503 });
    clients.close();
  }
  expect(names).toHaveLength(4);
  expect(names[0]).toBe(names[1]!);
  expect(names[2]).toBe(names[3]!);
  expect(new Set(names).size).toBe(2);
  expect(names.every((name) => typeof name === "string" && /^[A-Za-z0-9_-]{1,64}$/.test(name))).toBe(true);
  for (const server of servers) server.close();
});
