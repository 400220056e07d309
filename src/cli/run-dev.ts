/** What `crypto-edge dev` runs: the reference Core and an edge, as real as in production but for their keys' lifetime. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Section } from "../base/config/schema-types.ts";
import { createLog, type Log } from "../base/log.ts";
import { bind, LOG } from "../base/module.ts";
import { createThrowAwayPki } from "../base/pki/throw-away.ts";
import { wipe } from "../base/wipe.ts";
import { ALLOW_EVERY_EDGE } from "../core/allowance.ts";
import { startCore } from "../core/core.ts";
import type { RunningCore } from "../core/running-core.ts";
import { loadConfiguration } from "../edge/config/load-with-plugins.ts";
import { PROCESS_LOG } from "../edge/contributions.ts";
import { type Edge, startEdge } from "../edge/edge.ts";
import { ListenerError } from "../edge/listeners/listener.ts";
import { createClient } from "../sdk/client/client.ts";
import type { Client } from "../sdk/client/operations.ts";
import { readContexts, writeContexts } from "./context.ts";
import { without } from "./contexts.ts";
import { startDevConsole } from "./dev/console.ts";
import { readable } from "./dev/dev-log.ts";
import { devDoor } from "./dev/door.ts";

export interface DevOptions {
  /** The edge's HTTP port on 127.0.0.1; 0 takes a free one. */
  readonly port: number;
  readonly corePort: number;
  readonly edgeId: string;
  /** Where what happens is told, one readable line each; nowhere where it is left out. */
  readonly tell?: (line: string) => void;
  /** The context that commands find this by; none where it is left out. */
  readonly context?: string;
}

export interface Dev {
  readonly coreUrl: string;
  /** The Core's console, for this machine. */
  readonly consoleUrl: string;
  readonly edgeUrl: string;
  /** The certificates, and the edge's configuration; removed at the end. */
  readonly directory: string;
  readonly edge: Client;
  /** Whether commands use the context without being told to. */
  readonly isCurrent: boolean;
  close(): Promise<void>;
}

/** What commands take when they are given none. */
const TENANT = "tenant-a";
const SERVICE = "billing";

export async function startDev(options: DevOptions): Promise<Dev> {
  const ending: (() => unknown)[] = [];
  const close = async (): Promise<void> => {
    for (const end of ending.splice(0).reverse()) await end();
  };
  try {
    const directory = mkdtempSync(join(tmpdir(), "crypto-edge-dev-"));
    ending.push(() => rmSync(directory, { recursive: true, force: true }));
    const write = (name: string, text: string): void => writeFileSync(join(directory, name), text, { mode: 0o600 });

    const pki = await createThrowAwayPki();
    const [edgeFiles, adminFiles] = await Promise.all([pki.edge(options.edgeId), pki.admin()]);
    write("ca.pem", edgeFiles.ca);
    write("edge.pem", edgeFiles.cert);
    write("edge.key", edgeFiles.key);
    // By the names that the commands for administrators look for in a folder.
    write("core-admin.pem", adminFiles.cert);
    write("core-admin.key", adminFiles.key);

    const masterKey = randomBytes(32);
    const core = await startCore({
      listen: { hostname: "127.0.0.1", port: options.corePort },
      tls: pki.core,
      database: ":memory:",
      masterKey,
      allow: ALLOW_EVERY_EDGE,
      createOnFirstUse: true,
    });
    wipe(masterKey);
    ending.push(() => core.close());

    const console = await startDevConsole(core);
    ending.push(() => console.close());
    write("edge.yaml", edgeConfiguration(options, core.url));
    const edge = await startEdgeWithPage(join(directory, "edge.yaml"), core, options.tell);
    ending.push(() => edge.close());
    const edgeUrl = edge.addresses[0]!;
    const isCurrent =
      options.context === undefined ? false : enterContext(options.context, directory, core.url, edgeUrl, ending);
    return {
      coreUrl: core.url,
      consoleUrl: console.url,
      edgeUrl,
      directory,
      edge: createClient({ url: edgeUrl }),
      isCurrent,
      close,
    };
  } catch (error) {
    await close();
    if (error instanceof ListenerError) throw new Error(`${error.message} Give another one with --port.`);
    throw error;
  }
}

async function startEdgeWithPage(file: string, core: RunningCore, tell: DevOptions["tell"]): Promise<Edge> {
  let edge: Edge | undefined;
  const parts = {
    coreUrl: core.url,
    edgeUrl: () => edge!.addresses[0]!,
    admin: core.admin,
    readiness: () => edge!.readiness(),
    leases: () => edge!.leases(),
    metrics: () => edge!.answer("prometheus"),
  };
  const page = {
    from: { path: "crypto-edge dev", plugin: { name: "dev", apiVersion: 1 as const } },
    contribution: {
      transport: "http" as const,
      configuration: Section({}),
      create: (_: unknown, context: Parameters<typeof devDoor>[1]) => devDoor(parts, context),
    },
  };
  const loaded = await loadConfiguration(file, undefined, {}, new Map([["dev-page", page]]));
  const log = tell && readableLog(tell);
  edge = await startEdge(loaded, log === undefined ? [] : [bind(LOG, log), bind(PROCESS_LOG, log)]);
  return edge;
}

function readableLog(tell: (line: string) => void): Log {
  return createLog("debug", {
    write(text) {
      const line = readable(text);
      if (line !== undefined) tell(line);
    },
  });
}

/** Makes a context of this name; current where there is none. It goes with `dev`. */
function enterContext(
  name: string,
  directory: string,
  coreUrl: string,
  edgeUrl: string,
  ending: (() => unknown)[],
): boolean {
  const before = readContexts();
  const file = (each: string): string => join(directory, each);
  const core = { url: coreUrl, ca: file("ca.pem"), cert: file("core-admin.pem"), key: file("core-admin.key") };
  const context = { edge: { url: edgeUrl }, core, tenant: TENANT, service: SERVICE };
  const isCurrent = before.current === undefined || before.current === name;
  try {
    writeContexts({ current: before.current ?? name, contexts: { ...before.contexts, [name]: context } });
  } catch {
    // A home that can't be written to, as in a container: commands are told by options then.
    return false;
  }
  ending.push(() => {
    const now = readContexts();
    // Another `dev`, started since, has it now.
    if (now.contexts[name]?.core?.ca === core.ca) writeContexts(without(now, name));
  });
  return isCurrent;
}

function edgeConfiguration({ edgeId, port }: DevOptions, coreUrl: string): string {
  return `# Written by "crypto-edge dev". A copy of it, with certificates of your own and without the door "dev-page", is a start for an edge of yours.
edge: { id: ${edgeId} }
key_source:
  use: core
  core: { url: "${coreUrl}", ca: ca.pem, cert: edge.pem, key: edge.key }
listeners:
  - { http: "127.0.0.1:${port}", principal: local, doors: [native, aws-kms, vault-transit, dev-page] }
policies:
  - { principals: [local], tenants: ["*"], services: ["*"], operations: [create, decrypt, rewrap, encrypt] }
log: { level: warn }
`;
}
