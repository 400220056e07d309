import type { Template } from "./shared.ts";

/** A source that reads keys from files. */
export function keySourceTemplate(name: string): Template {
  return {
    purpose:
      "It leases service keys from files, `keys/TENANT/SERVICE/VERSION` of 32 bytes each; the highest version is active.",
    needsKeys: false,
    // A pin covers the code, and not the keys, which come and go.
    data: ["keys"],
    use: `key_source: { use: ${name}, ${name}: { folder: keys } }\n`,
    files: { "keys/tenant-a/billing/1": crypto.getRandomValues(new Uint8Array(32)) },
    plugin: `import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  contribution,
  definePlugin,
  Duration,
  type KeySource,
  KeySourceError,
  type LeasedServiceKey,
  Path,
  type PluginContext,
  Section,
  type Static,
  wipe,
} from "crypto-edge/plugin";

/** The section of the configuration. It is checked before \`create\` is called: unknown keys, types, patterns. */
const configuration = Section({
  folder: Path({ description: "The folder of the key files." }),
  ttl: Duration({ default: "5m", minimumMs: 1_000, description: "The hard deadline of a lease." }),
});

function create({ folder, ttl }: Static<typeof configuration>, { log }: PluginContext): KeySource {
  let closed = false;

  return {
    name: "${name}",

    async lease({ tenant, service, version }, signal) {
      if (closed || signal.aborted) throw new KeySourceError("unavailable", "The source was closed, or the call given up.");
      const names = await versionsOf(join(folder, tenant, service));
      const asked = version === undefined ? names : names.filter((name) => name === version);
      // An answer: no other source is asked, and the edge remembers it briefly.
      if (asked.length === 0) throw new KeySourceError("key_not_found", "There is no such key file.");
      const versions: LeasedServiceKey[] = [];
      try {
        for (const each of asked) {
          const state = each === names.at(-1) ? "active" : "deprecated";
          versions.push({ version: each, state, key: await read(join(folder, tenant, service, String(each)), signal) });
        }
      } catch (error) {
        // What has been read already is nobody's now.
        for (const { key } of versions) wipe(key);
        log.warn({ tenant, service }, "a key file can't be read");
        throw new KeySourceError("unavailable", "A key file can't be read.", { cause: error });
      }
      // The edge owns the keys from here on, and wipes them.
      return { tenant, service, ttlMs: ttl, refreshAfterMs: ttl * 0.8, log: undefined, revocationSeq: 0, versions };
    },

    async close() {
      closed = true;
    },
  };
}

async function versionsOf(folder: string): Promise<number[]> {
  try {
    const names = await readdir(folder);
    return names.filter((name) => /^[1-9][0-9]{0,8}$/.test(name)).map(Number).sort((a, b) => a - b);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw new KeySourceError("unavailable", "The folder of the keys can't be read.", { cause: error });
  }
}

async function read(file: string, signal: AbortSignal): Promise<Uint8Array> {
  const key = await readFile(file, { signal });
  if (key.length !== 32) throw new Error("a key file has not 32 bytes");
  return new Uint8Array(key.buffer, key.byteOffset, key.length);
}

export default definePlugin({
  name: "${name}",
  apiVersion: 1,
  keySources: { "${name}": contribution({ configuration, create }) },
});
`,
    tests: `test("a key made under a leased key opens again", async () => {
  const made = await call("create", { tenant: "tenant-a", service: "billing", plaintext: true });
  expect(made.status).toBe(201);
  const opened = await call("decrypt", { wrapped: made.body.wrapped });
  expect(opened.body.plaintext).toBe(made.body.plaintext!);
});

test("what has no key file is not found", async () => {
  expect((await call("create", { tenant: "tenant-b", service: "billing" })).body.code).toBe("key_not_found");
});
`,
  };
}
