/** An upgrade in place: the new edge listens, the old one is told to stop, and a client that never stops calling loses nothing. */
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { makeAuthority } from "../support/certificates.ts";
import { staticConfiguration } from "../support/static-edge.ts";
import { type Running, run, start, temporaryFolder } from "./support/binary.ts";
import { type CallAddress, TirelessCaller } from "./support/tireless-caller.ts";

const UPGRADES = 3;
/** Of each step: before, between and after. */
const CALLS = 200;

/** Replaces an edge three times under `address`, whose listener is `listener`, and then takes the last upgrade back. */
async function upgradeUnderCalls(folder: { file(name: string): string }, listener: string, address: CallAddress) {
  const configuration = folder.file("edge.yaml");
  writeFileSync(
    configuration,
    staticConfiguration("stop_timeout: 20s")
      .replace('{ http: "127.0.0.1:0", principal: local }', listener)
      .replace("principals: [local]", 'principals: ["*"]')
      .replace("log: { level: error }", "log: { level: info }"),
  );
  const startEdge = async (): Promise<Running> => {
    const edge = start(["serve", "--config", configuration]);
    await edge.waitFor(/"msg":"ready"/);
    return edge;
  };
  const told: number[] = [];
  let edge = await startEdge();
  await using stack = new AsyncDisposableStack();
  const caller = new TirelessCaller(address, { kept: 4, fresh: 6 });
  stack.defer(async () => {
    await caller.stop();
    await edge.stop("SIGKILL");
  });
  await caller.more(CALLS);
  for (let upgrade = 0; upgrade < UPGRADES; upgrade++) {
    const toldBefore = caller.calls.toldToMove;
    const newer = await startEdge();
    await caller.more(CALLS);
    const ended = edge.stop("SIGTERM");
    await caller.more(CALLS);
    expect(await ended).toBe(0);
    edge = newer;
    await caller.more(CALLS);
    told.push(caller.calls.toldToMove - toldBefore);
  }
  // The newer one turns out to be no good, and is stopped.
  const newer = await startEdge();
  await caller.more(CALLS);
  expect(await newer.stop("SIGTERM")).toBe(0);
  await caller.more(CALLS);
  const calls = await caller.stop();
  expect({ refused: calls.refused, lost: calls.lost }).toEqual({ refused: [], lost: [] });
  // Otherwise the kept connections were never on an edge that ended.
  for (const each of told) expect(each).toBeGreaterThan(0);
  return calls;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

describe("three upgrades in turn, and one taken back, under a client that never stops calling", () => {
  test("refuse and lose no call on a shared Unix socket", async () => {
    using folder = temporaryFolder();
    const path = folder.file("edge.sock");
    await upgradeUnderCalls(folder, `{ unix: "${path}", shared: true, principal: local }`, { path });
  }, 300_000);

  test("refuse and lose no call on a shared port over HTTP", async () => {
    using folder = temporaryFolder();
    const port = await freePort();
    await upgradeUnderCalls(folder, `{ http: "127.0.0.1:${port}", shared: true, principal: local }`, { port });
  }, 300_000);

  test("refuse and lose no call on a shared port over HTTPS with client certificates", async () => {
    using folder = temporaryFolder();
    const port = await freePort();
    const authority = await makeAuthority();
    const server = await authority.issue({ dns: ["localhost"] });
    const caller = await authority.issue({ uris: ["spiffe://example.org/app"] });
    const file = (name: string, content: string): string => {
      writeFileSync(folder.file(name), content, { mode: 0o600 });
      return folder.file(name);
    };
    const [ca, cert, key] = [
      file("ca.pem", authority.certificate),
      file("server.pem", server.certificate),
      file("server.key", server.key),
    ];
    await upgradeUnderCalls(
      folder,
      `{ https: "127.0.0.1:${port}", shared: true, cert: "${cert}", key: "${key}", client_ca: "${ca}" }`,
      { port, tls: { ca: authority.certificate, cert: caller.certificate, key: caller.key } },
    );
  }, 300_000);
});

describe("without `shared`", () => {
  test("a second edge on a port does not start, and one restarted in its place is away meanwhile", async () => {
    using folder = temporaryFolder();
    const port = await freePort();
    const configuration = folder.file("edge.yaml");
    writeFileSync(configuration, staticConfiguration().replace("127.0.0.1:0", `127.0.0.1:${port}`));
    const edge = start(["serve", "--config", configuration]);
    try {
      const answers = async (): Promise<boolean> =>
        fetch(`http://127.0.0.1:${port}/livez`).then(
          () => true,
          () => false,
        );
      const endMs = performance.now() + 30_000;
      while (!(await answers()) && performance.now() < endMs) await Bun.sleep(20);
      const second = run(["serve", "--config", configuration]);
      expect([second.code, second.stderr]).toEqual([1, expect.stringContaining(`Port ${port} on 127.0.0.1 is in use`)]);
    } finally {
      await edge.stop("SIGTERM");
    }
    expect(
      await fetch(`http://127.0.0.1:${port}/livez`).then(
        () => "answered",
        () => "refused",
      ),
    ).toBe("refused");
  }, 300_000);

  test("workers can't share a port with another edge, and the check says so", () => {
    using folder = temporaryFolder();
    const configuration = folder.file("edge.yaml");
    writeFileSync(
      configuration,
      staticConfiguration("workers: 2").replace('"127.0.0.1:0"', '"127.0.0.1:7402", shared: true'),
    );
    const check = run(["config", "check", configuration]);
    expect([check.code, check.stderr]).toEqual([1, expect.stringContaining("Workers share their ports")]);
    const served = run(["serve", "--config", configuration]);
    expect([served.code, served.stderr]).toEqual([1, expect.stringContaining("Workers share their ports")]);
  });
});
