import { randomBytes } from "node:crypto";
import { createThrowAwayPki, type ThrowAwayPki } from "../../src/base/pki/throw-away.ts";
import { ALLOW_EVERY_EDGE } from "../../src/core/allowance.ts";
import { startCore } from "../../src/core/core.ts";
import type { CoreOptions } from "../../src/core/core-options.ts";
import type { RunningCore } from "../../src/core/running-core.ts";
import { type CoreClient, createCoreClient } from "../../src/edge/key-source/core/core-client.ts";

/** A real Core on a free loopback port, with a throw-away PKI, for as long as one test needs it. */
export interface CoreWorld {
  readonly pki: ThrowAwayPki;
  readonly core: RunningCore;
  readonly options: CoreOptions;
  /** A client of the edge `id`; closed with the world. */
  client(id?: string): Promise<CoreClient>;
  [Symbol.asyncDispose](): Promise<void>;
}

let sharedPki: Promise<ThrowAwayPki> | undefined;

export async function startCoreWorld(overrides: Partial<CoreOptions> = {}): Promise<CoreWorld> {
  sharedPki ??= createThrowAwayPki("example.org");
  const pki = await sharedPki;
  const options: CoreOptions = {
    listen: { hostname: "127.0.0.1", port: 0 },
    tls: pki.core,
    database: ":memory:",
    masterKey: randomBytes(32),
    allow: ALLOW_EVERY_EDGE,
    ...overrides,
  };
  const core = await startCore(options);
  const clients: CoreClient[] = [];
  return {
    pki,
    core,
    options,
    async client(id = "edge-1") {
      const client = createCoreClient({ url: core.url, certificates: await pki.edge(id) });
      clients.push(client);
      return client;
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.close();
      await core.close();
    },
  };
}
