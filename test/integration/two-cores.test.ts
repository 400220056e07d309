/** Two Cores over one PostgreSQL and three edges under load, all real processes: killed, cut off, and none the wiser. */
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { CoreClient } from "../../src/edge/key-source/core/core-client.ts";
import { createCoreClients } from "../../src/edge/key-source/core/core-clients.ts";
import { KeySourceError } from "../../src/edge/key-source/key-source.ts";
import { createClient } from "../../src/sdk/client/client.ts";
import type { Client } from "../../src/sdk/client/operations.ts";
import { eventually } from "../support/until.ts";
import { type CoreCluster, type EdgeProcess, startCluster } from "./support/core-cluster.ts";

setDefaultTimeout(180_000);

/** From a revocation's commit until no edge serves, whatever Core it follows, with a busy machine's share: docs/core.md. */
const BOUND_MS = 20_000;

let cluster: CoreCluster;
let edges: EdgeProcess[];
let clients: Client[];
let direct: CoreClient;
let load: Load;
let services = 0;

beforeAll(async () => {
  cluster = await startCluster(2);
  await admin("services", { tenant: "steady", service: "billing" });
  edges = await Promise.all(
    ["one", "two", "three"].map((id) =>
      cluster.edge(id, "cache: { ttl: 60s, refresh_after: 4s }\nlog: { level: info }"),
    ),
  );
  clients = edges.map(({ url }) => createClient({ url, retry: { attempts: 1 } }));
  direct = createCoreClients({
    urls: cluster.cores.map(({ url }) => url),
    certificates: await cluster.pki.edge("direct"),
  });
  load = new Load(clients, direct);
}, 300_000);

afterAll(async () => {
  await load?.stop();
  direct?.close();
  await cluster?.[Symbol.asyncDispose]();
}, 300_000);

afterEach(async () => {
  load.expectNothingWrong();
  await everythingUp();
});

describe("two Cores over one PostgreSQL, three edges under load", () => {
  test("have one log: what one commits, the other tells, with no hole", async () => {
    const service = await newService();
    for (let index = 0; index < 6; index++) await admin("rotate", { tenant: "t", service }, index % 2);
    await eventually(async () => {
      const [one, two] = await Promise.all(cluster.cores.map(({ admin: client }) => client.call("GET", "status")));
      return (one as { lastSeq: number }).lastSeq === (two as { lastSeq: number }).lastSeq;
    }, "both Cores at one place");
    const { events } = (await cluster.cores[1]!.admin.call("GET", "events?after=0")) as { events: { seq: number }[] };
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  });

  test("a revocation at either is refused at every edge", async () => {
    for (const core of [0, 1]) {
      const { service, wrapped } = await keyAtEveryEdge();
      await revoke(service, core);
      await refusedEverywhere(wrapped);
    }
  });

  test("see the edges of both, and roll the signing key once for all", async () => {
    await eventually(async () => {
      const lists = await Promise.all(cluster.cores.map(({ admin: client }) => client.call("GET", "edges")));
      return lists.every((list) => {
        const seen = (list as { edges: { edge: string; streams: number; version?: string }[] }).edges;
        return ["one", "two", "three"].every((id) =>
          seen.some(({ edge, streams, version }) => edge === id && streams > 0 && version !== undefined),
        );
      });
    }, "all edges at both Cores");
    const { kid } = (await cluster.cores[0]!.admin.call("POST", "signing-keys", {})) as { kid: string };
    await eventually(async () => {
      const status = (await cluster.cores[1]!.admin.call("GET", "status")) as { signingKey: string };
      return status.signingKey === kid;
    }, "the new signing key at the other Core");
  });

  test("kill -9 of either Core: leases go on at the other, and a revocation is refused everywhere", async () => {
    for (const victim of [0, 1]) {
      const { service, wrapped } = await keyAtEveryEdge();
      load.measure();
      await cluster.cores[victim]!.kill();
      await revoke(service, 1 - victim);
      await refusedEverywhere(wrapped);
      console.log(`  Core ${victim} killed: longest time without a lease ${load.longestGapMs()} ms`);
      await cluster.cores[victim]!.start();
      await everythingUp();
    }
  });

  test("kill -9 of PostgreSQL: nothing wrong is served, the Cores say so, and all comes back by itself", async () => {
    const { service, wrapped } = await keyAtEveryEdge();
    load.measure();
    await cluster.server.kill();
    await eventually(
      async () => !(await isReady(0)) && !(await isReady(1)),
      "both Cores saying that they are not ready",
    );
    // What is leased is served on.
    for (const client of clients) expect((await client.decryptKey({ wrapped })).service).toBe(service);
    const failure = await direct.lease({ tenant: "steady", service: "billing" }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "unavailable" });
    await cluster.server.start();
    const startedMs = performance.now();
    await everythingUp();
    await direct.lease({ tenant: "steady", service: "billing" });
    console.log(`  PostgreSQL back: the next lease after ${Math.round(performance.now() - startedMs)} ms`);
    await revoke(service, 0);
    await refusedEverywhere(wrapped);
  });

  test("a Core cut off from the database vouches for nothing: its edges go to the other, a revocation is refused everywhere", async () => {
    for (const cut of [0, 1]) {
      const { service, wrapped } = await keyAtEveryEdge();
      load.measure();
      cluster.cores[cut]!.way.cut();
      await revoke(service, 1 - cut);
      await refusedEverywhere(wrapped);
      await eventually(async () => !(await isReady(cut)), "the Core that is cut off saying so");
      console.log(`  Core ${cut} cut off: longest time without a lease ${load.longestGapMs()} ms`);
      cluster.cores[cut]!.way.heal();
      await everythingUp();
    }
  });
});

describe("what should not happen, and does", () => {
  test("a Core that stands still (SIGSTOP) holds nothing up, and goes on with what is true when it wakes", async () => {
    for (const victim of [0, 1]) {
      const { service, wrapped } = await keyAtEveryEdge();
      await cluster.cores[victim]!.kill("SIGSTOP");
      try {
        await revoke(service, 1 - victim);
        await refusedEverywhere(wrapped);
      } finally {
        await cluster.cores[victim]!.kill("SIGCONT");
      }
      await everythingUp();
      await refusedEverywhere(wrapped);
      await eventually(async () => {
        const places = await Promise.all(cluster.cores.map(({ admin: client }) => client.call("GET", "status")));
        return new Set(places.map((place) => (place as { lastSeq: number }).lastSeq)).size === 1;
      }, "both Cores at one place");
    }
  });
});

async function isReady(core: number): Promise<boolean> {
  return fetch(`${cluster.cores[core]!.watchUrl}/readyz`).then(
    ({ ok }) => ok,
    () => false,
  );
}

async function everythingUp(): Promise<void> {
  for (const core of [0, 1]) await eventually(() => isReady(core), `Core ${core} being ready`);
  for (const { url } of edges) {
    await eventually(async () => (await fetch(`${url}/readyz`)).ok, "the edge being ready");
  }
}

/** At either Core; again where it was away for a moment. */
async function admin(path: string, body: object, core = 0): Promise<unknown> {
  let answer: unknown;
  await eventually(async () => {
    try {
      answer = await cluster.cores[core]!.admin.call("POST", path, body);
      return true;
    } catch (error) {
      const { status, code } = error as { status?: number; code?: string };
      // Committed by an attempt that was not answered.
      if (code === "conflict") return true;
      if (status !== undefined && status < 500) throw error;
      return false;
    }
  }, path);
  return answer;
}

async function newService(): Promise<string> {
  const service = `service-${services++}`;
  await admin("services", { tenant: "t", service });
  return service;
}

async function revoke(service: string, core: number): Promise<void> {
  await admin("revoke", { tenant: "t", service, version: 1, reason: "test" }, core);
}

/** A key that every edge holds a lease on and opens. */
async function keyAtEveryEdge(): Promise<{ service: string; wrapped: Uint8Array }> {
  const service = await newService();
  let wrapped: Uint8Array = new Uint8Array();
  await eventually(async () => {
    try {
      ({ wrapped } = await clients[0]!.createKey({ tenant: "t", service }));
      for (const client of clients) await client.decryptKey({ wrapped });
      return true;
    } catch {
      return false;
    }
  }, "a lease at every edge");
  return { service, wrapped };
}

/** Within the bound at every edge, and from then on at each. */
async function refusedEverywhere(wrapped: Uint8Array): Promise<void> {
  const committedMs = performance.now();
  for (const [index, client] of clients.entries()) {
    await eventually(
      async () => {
        const outcome = await client.decryptKey({ wrapped }).then(
          () => "opened",
          (error: { code?: string }) => error.code ?? "failed",
        );
        return outcome === "key_revoked";
      },
      `the refusal at edge ${index}`,
      BOUND_MS,
    );
  }
  console.log(`  refused at every edge after ${Math.round(performance.now() - committedMs)} ms`);
  for (const client of clients) {
    const failure = await client.decryptKey({ wrapped }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "key_revoked" });
  }
}

/** Calls at every edge and leases at the Cores, without pause. */
class Load {
  readonly #wrong: string[] = [];
  readonly #running: Promise<void>[];
  #stopped = false;
  #lastLeaseMs = performance.now();
  #longestGapMs = 0;

  constructor(clients: readonly Client[], core: CoreClient) {
    this.#running = [...clients.map((client) => this.#call(client)), this.#lease(core)];
  }

  measure(): void {
    this.#longestGapMs = 0;
  }

  longestGapMs(): number {
    return Math.round(Math.max(this.#longestGapMs, performance.now() - this.#lastLeaseMs));
  }

  expectNothingWrong(): void {
    expect(this.#wrong).toEqual([]);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }

  async #call(client: Client): Promise<void> {
    while (!this.#stopped) {
      try {
        const made = await client.createKey({ tenant: "steady", service: "billing", plaintext: true });
        const opened = await client.decryptKey({ wrapped: made.wrapped });
        if (!Buffer.from(opened.plaintext).equals(made.plaintext!)) this.#wrong.push("another key was opened");
      } catch (error) {
        // Steady keys are leased for a minute: nothing that is done here lasts so long.
        this.#wrong.push(`${(error as { code?: string }).code}: ${(error as Error).message}`);
      }
      await Bun.sleep(20);
    }
  }

  async #lease(core: CoreClient): Promise<void> {
    while (!this.#stopped) {
      try {
        const { versions } = await core.lease({ tenant: "steady", service: "billing" });
        for (const { key } of versions) key.fill(0);
        const nowMs = performance.now();
        this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - this.#lastLeaseMs);
        this.#lastLeaseMs = nowMs;
      } catch (error) {
        if (!(error instanceof KeySourceError) || error.code !== "unavailable") this.#wrong.push(String(error));
      }
      await Bun.sleep(20);
    }
  }
}
