/**
 * The proof of docs/security-model.md, "Key memory": the compiled edge, with service keys leased from a Core over mutual
 * TLS, is put under load, all its memory is read as root reads it, and the keys are searched for.
 */
import { describe, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { createHmac, hkdfSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { encodeIdentity, parseBlob } from "../../src/edge/cipher/blob.ts";
import { type CoreWorld, startCoreWorld } from "../support/core-world.ts";
import { type Found, type Sought, searchPieces, searchProcess } from "../support/key-search.ts";
import { dump, mappings } from "../support/process-memory.ts";
import { referenceOpen } from "../support/reference-cipher.ts";
import { hasSecretMemory } from "../support/secret-memory.ts";

const BINARY = resolve(import.meta.dir, "../../dist/crypto-edge");
const SERVICE = "billing";
const TENANTS = Array.from({ length: 8 }, (_, number) => `tenant-${number}`);
const REVOKED = TENANTS.slice(0, 4);
const KEPT = TENANTS.slice(4);
/** Short, to be waited for; renewed meanwhile, which keeps the sessions. */
const TTL_SECONDS = 12;
/** docs/security-model.md: freed copies are overwritten within three seconds. */
const OVERWRITTEN_MS = 3000;

interface Edge {
  readonly pid: number;
  readonly url: string;
  readonly process: ChildProcess;
}

async function withEdge(
  cipher: string,
  keyMemory: string,
  run: (edge: Edge, world: CoreWorld) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "crypto-edge-dump-"));
  let edge: Edge | undefined;
  await using world = await startCoreWorld({
    lease: { ttlSeconds: TTL_SECONDS, refreshAfterSeconds: TTL_SECONDS / 4 },
  });
  for (const tenant of TENANTS) await world.core.admin.createService(tenant, SERVICE);
  try {
    edge = await startEdge(directory, world, cipher, keyMemory);
    await run(edge, world);
  } finally {
    edge?.process.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  }
}

async function startEdge(directory: string, world: CoreWorld, cipher: string, keyMemory: string): Promise<Edge> {
  const certificates = await world.pki.edge("edge-1");
  for (const [name, pem] of Object.entries(certificates)) writeFileSync(join(directory, `${name}.pem`), pem);
  const configuration = join(directory, "edge.yaml");
  writeFileSync(
    configuration,
    `edge: { id: edge-1 }
key_source:
  use: core
  core: { url: "${world.core.url}", ca: ca.pem, cert: cert.pem, key: key.pem }
key_memory: { kind: ${keyMemory} }
cipher: { use: ${cipher} }
listeners:
  - { http: "127.0.0.1:0", principal: local }
policies:
  - { principals: [local], tenants: ["tenant-*"], services: [${SERVICE}], operations: [create, decrypt, rewrap] }
`,
  );
  const child = spawn(BINARY, ["serve", "--config", configuration], { stdio: ["ignore", "ignore", "pipe"] });
  let output = "";
  const url = await new Promise<string>((found, failed) => {
    child.stderr.on("data", (chunk) => {
      output += chunk;
      const address = /"addresses":\["([^"]+)"/.exec(output)?.[1];
      if (address !== undefined) found(address);
    });
    child.once("error", failed);
    child.once("exit", () => failed(new Error(`the edge ended: ${output}`)));
  });
  return { pid: child.pid!, url, process: child };
}

async function call(edge: Edge, operation: string, body: unknown): Promise<{ status: number; body: unknown }> {
  const answer = await fetch(`${edge.url}/v1/keys/${operation}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.json() };
}

/** Makes keys for every tenant, and opens them: what the edge is there for. Answers one blob of each tenant. */
async function load(edge: Edge, rounds: number): Promise<Map<string, string>> {
  const blobs = new Map<string, string>();
  for (let round = 0; round < rounds; round++) {
    await Promise.all(
      TENANTS.map(async (tenant) => {
        const made = await call(edge, "create-batch", { tenant, service: SERVICE, count: 20, plaintext: true });
        expect(made.status).toBe(201);
        const { keys } = made.body as { keys: { wrapped: string; plaintext: string }[] };
        const opened = await Promise.all(keys.slice(0, 5).map(({ wrapped }) => call(edge, "decrypt", { wrapped })));
        expect(opened.map(({ body }) => (body as { plaintext: string }).plaintext)).toEqual(
          keys.slice(0, 5).map(({ plaintext }) => plaintext),
        );
        blobs.set(tenant, keys[0]!.wrapped);
      }),
    );
  }
  return blobs;
}

/** The service keys, leased by the test as another edge; and what the edge derived from each, by other means than its own. */
async function keysOf(world: CoreWorld, blobs: ReadonlyMap<string, string>) {
  const client = await world.client("tester");
  const serviceKeys: Sought[] = [];
  const derivedKeys: (Sought & { readonly tenant: string })[] = [];
  for (const [tenant, blob] of blobs) {
    const grant = await client.lease({ tenant, service: SERVICE }, AbortSignal.timeout(5000));
    const { version, key } = grant.versions[0]!;
    const wrapped = parseBlob(new Uint8Array(Buffer.from(blob, "base64url")));
    expect(wrapped.version).toBe(version);
    const salt = wrapped.bytes.slice(wrapped.saltOffset, wrapped.nonceOffset);
    const info = Buffer.concat([Buffer.from("crypto-edge l4 wrap v1\0"), encodeIdentity(wrapped)]);
    serviceKeys.push({ name: `service key of ${tenant}`, key });
    derivedKeys.push(
      { tenant, name: `pseudorandom key of ${tenant}`, key: createHmac("sha256", salt).update(key).digest() },
      { tenant, name: `wrapping key of ${tenant}`, key: new Uint8Array(hkdfSync("sha256", key, salt, info, 32)) },
    );
  }
  return { serviceKeys, derivedKeys };
}

/** Makes keys that nobody is told: their blobs alone come out. */
async function makeKeys(edge: Edge, tenant: string): Promise<string[]> {
  const { body } = await call(edge, "create-batch", { tenant, service: SERVICE, count: 60 });
  return (body as { keys: { wrapped: string }[] }).keys.map(({ wrapped }) => wrapped);
}

function dataKeysOf(name: string, tenant: string, serviceKey: Uint8Array, blobs: readonly string[]): Sought[] {
  return blobs.map((text) => {
    const blob = Buffer.from(text, "base64url");
    const { version } = parseBlob(blob);
    const key = referenceOpen(serviceKey, { suite: 1, tenant, service: SERVICE, version, context: {} }, blob);
    return { name, key: key! };
  });
}

const names = (found: readonly Found[]): string[] => [...new Set(found.map(({ name }) => name))].sort();
const wrappingKeysOf = (tenants: readonly string[]): string[] => tenants.map((tenant) => `wrapping key of ${tenant}`);
const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks for a key until the answer has this status. */
async function untilRefused(edge: Edge, tenant: string, status: number): Promise<void> {
  const endMs = performance.now() + 60_000;
  for (;;) {
    const answer = await call(edge, "create", { tenant, service: SERVICE });
    if (answer.status === status) return;
    if (performance.now() > endMs) throw new Error(`${tenant} is answered with ${answer.status} instead of ${status}`);
    await wait(50);
  }
}

/** Makes keys for so long: what is used is renewed. */
async function useFor(edge: Edge, tenants: readonly string[], ms: number): Promise<void> {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs) {
    for (const tenant of tenants) expect((await call(edge, "create", { tenant, service: SERVICE })).status).toBe(201);
    await wait(100);
  }
}

// Only root reads the memory of a process that is not dumpable.
const possible = hasSecretMemory && process.getuid?.() === 0;

describe.skipIf(!possible)("a dump of the edge's memory", () => {
  test.each(["openssl", "node"])(
    "has no service key while leased, no data key, and no wrapping key once revoked or expired, by %s",
    async (cipher) => {
      await withEdge(cipher, "secret", async (edge, world) => {
        const blobs = await load(edge, 60);
        const { serviceKeys, derivedKeys } = await keysOf(world, blobs);

        const status = (await (await fetch(`${edge.url}/v1/status`)).json()) as { keyMemory: unknown };
        expect(status.keyMemory).toMatchObject({ kind: "secret", heapKeys: 0, dumpable: false, coreFiles: false });

        const busy = load(edge, 5);
        expect(mappings(edge.pid).some((mapping) => mapping.keyMemory)).toBe(true);
        const leased = searchProcess(edge.pid, [...serviceKeys, ...derivedKeys]);
        await busy;
        // The wrapping keys are there, as docs/security-model.md says: the search looked in the right places.
        expect(names(leased)).toEqual(wrappingKeysOf(TENANTS));

        // Of data keys that nobody was told there is none: neither of the last ones nor of those that come next.
        const tenant = TENANTS[0]!;
        const { key } = serviceKeys.find(({ name }) => name === `service key of ${tenant}`)!;
        const last = await makeKeys(edge, tenant);
        const memory = [...dump(edge.pid)];
        const next = await makeKeys(edge, tenant);
        const dataKeys = [
          ...dataKeysOf("last data key", tenant, key, last),
          ...dataKeysOf("next data key", tenant, key, next),
        ];
        expect(names(searchPieces(memory, dataKeys))).toEqual([]);

        for (const tenant of REVOKED) await world.core.admin.revoke({ tenant, service: SERVICE });
        for (const tenant of REVOKED) await untilRefused(edge, tenant, 410);
        await useFor(edge, KEPT, OVERWRITTEN_MS);
        const revoked = searchProcess(edge.pid, [...serviceKeys, ...derivedKeys]);
        expect(names(revoked)).toEqual(wrappingKeysOf(KEPT));

        await world.core.close();
        for (const tenant of KEPT) await untilRefused(edge, tenant, 503);
        await wait(OVERWRITTEN_MS);
        expect(searchProcess(edge.pid, [...serviceKeys, ...derivedKeys])).toEqual([]);
      });
    },
  );

  test("has the service keys when key memory is the heap: the search can fail", async () => {
    await withEdge("openssl", "heap", async (edge, world) => {
      const { serviceKeys } = await keysOf(world, await load(edge, 1));
      expect(names(searchProcess(edge.pid, serviceKeys))).toEqual(
        names(serviceKeys.map((key) => ({ ...key, form: "", address: "", mapping: "" }))),
      );
    });
  });
});
