/** What every template has: a manifest, a configuration to check and to test with, the test's way to a running edge, a README. */
export interface Template {
  /** What it does, for the README. */
  readonly purpose: string;
  readonly plugin: string;
  /** The lines of check.yaml that use the plugin. */
  readonly use: string;
  /** The tests, after the harness. */
  readonly tests: string;
  /** Folders of data, which a pin leaves out. */
  readonly data?: readonly string[];
  /** More files; those of bytes are written for the owner alone. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** Whether check.yaml needs a key source besides. */
  readonly needsKeys: boolean;
  /** What its listener serves, where that is more than the native door. */
  readonly doors?: string;
}

export function commonFiles(name: string, kind: string, template: Template): Record<string, string> {
  const source = template.needsKeys ? "key_source: { use: test-keys, test-keys: {} }\n" : "";
  const plugins = template.needsKeys ? "[., test/keys.ts]" : "[.]";
  return {
    "package.json": `${JSON.stringify(manifestOf(name, template), null, 2)}\n`,
    "plugin.ts": template.plugin,
    "plugin.test.ts": `${HARNESS}${template.tests}`,
    "check.yaml": `# An edge that uses the plugin: for "crypto-edge plugin check", for the test, and to start from.
edge: { id: check }
${source}${template.use}cache: { prewarm: [{ tenant: tenant-a, service: billing }] }
listeners: [{ http: "127.0.0.1:0", principal: local, status: true${template.doors === undefined ? "" : `, doors: [${template.doors}]`} }]
policies: [{ principals: [local], tenants: ["*"], services: ["*"], operations: [create, decrypt, rewrap] }]
plugins: ${plugins}
`,
    ...(template.needsKeys ? { "test/keys.ts": TEST_KEYS } : {}),
    "README.md": `# ${name}

A ${kind.replace("-", " ")} for crypto-edge. ${template.purpose}

- \`plugin.ts\`: the plugin.
- \`check.yaml\`: an edge that uses it.
- \`plugin.test.ts\`: starts that edge and calls it.

\`\`\`sh
crypto-edge plugin check .                # holds it to the contracts
BUN_BE_BUN=1 crypto-edge test             # runs plugin.test.ts; any Bun will do too
crypto-edge serve --config check.yaml     # the edge itself
\`\`\`

The test looks for \`crypto-edge\` in the PATH; \`CRYPTO_EDGE=/path/to/it\` names another.
`,
  };
}

function manifestOf(name: string, { data }: Template): object {
  const manifest = {
    name: `crypto-edge-${name}`,
    version: "0.1.0",
    private: true,
    type: "module",
    exports: "./plugin.ts",
  };
  return data === undefined ? manifest : { ...manifest, "crypto-edge": { data } };
}

const HARNESS = `import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";

/** A running edge with this plugin. */
let edge: ChildProcess;
let url = "";

beforeAll(async () => {
  const [program = "crypto-edge", ...first] = (process.env.CRYPTO_EDGE ?? "crypto-edge").split(" ");
  const { BUN_BE_BUN: _, ...environment } = process.env;
  const config = join(import.meta.dir, "check.yaml");
  edge = spawn(program, [...first, "serve", "--config", config], { env: environment, stdio: ["ignore", "ignore", "pipe"] });
  url = await new Promise<string>((resolve, reject) => {
    let output = "";
    edge.stderr?.on("data", (chunk: Buffer) => {
      output += chunk;
      const address = /http:\\/\\/127\\.0\\.0\\.1:\\d+/.exec(output);
      if (address && output.includes('"ready"')) resolve(address[0]);
    });
    edge.on("error", reject);
    edge.on("close", () => reject(new Error(output)));
  });
}, 30_000);

afterAll(() => edge.kill());

async function call(operation: string, body: object): Promise<{ status: number; body: Record<string, string> }> {
  const response = await fetch(\`\${url}/v1/keys/\${operation}\`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: (await response.json()) as Record<string, string> };
}

/** Asks again until it is so, for ten seconds. */
async function until(probe: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (await probe()) return;
    await new Promise((resume) => setTimeout(resume, 50));
  }
  throw new Error("it did not come about within ten seconds");
}

`;

const TEST_KEYS = `/** A key source for the tests alone: every tenant and service has one key, new at each start. */
import { contribution, definePlugin, KeySourceError, Section } from "crypto-edge/plugin";

const keys = new Map<string, Uint8Array>();

export default definePlugin({
  name: "test-keys",
  apiVersion: 1,
  keySources: {
    "test-keys": contribution({
      configuration: Section({}),
      create: () => ({
        name: "test-keys",
        async lease({ tenant, service, version = 1 }) {
          if (version !== 1) throw new KeySourceError("key_not_found", "There is only version 1.");
          const name = \`\${tenant}/\${service}\`;
          const key = keys.get(name) ?? crypto.getRandomValues(new Uint8Array(32));
          keys.set(name, key);
          return {
            tenant,
            service,
            ttlMs: 300_000,
            refreshAfterMs: 240_000,
            log: undefined,
            revocationSeq: 0,
            versions: [{ version: 1, state: "active", key: Uint8Array.from(key) }],
          };
        },
        async close() {},
      }),
    }),
  },
});
`;
