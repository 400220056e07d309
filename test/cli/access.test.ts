import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dir, "../..");
const folder = mkdtempSync(join(tmpdir(), "crypto-edge-access-"));
afterAll(() => rmSync(folder, { recursive: true }));

function configuration(
  name: string,
  policies: string,
  listeners = '[{ http: "127.0.0.1:0", principal: local }]',
): string {
  const file = join(folder, name);
  writeFileSync(
    file,
    `edge: { id: edge-test }
key_source:
  use: static
  static: { keys: [{ tenant: tenant-a, service: billing, version: 1, state: active, key: "${"00".repeat(32)}" }] }
listeners: ${listeners}
plugins: [${resolve(root, "plugins/static")}]
policies:
${policies}`,
  );
  return file;
}

const good = configuration(
  "good.yaml",
  `  - { name: payments, principals: [local], tenants: ["tenant-*"], services: [billing], operations: [create, decrypt] }
  - { effect: deny, principals: ["*"], tenants: [tenant-b], services: ["*"], operations: [decrypt] }
`,
);

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const child = Bun.spawn([process.execPath, join(root, "src/main.ts"), ...args], { stdout: "pipe", stderr: "pipe" });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, out, err };
}

const explain = (...args: string[]) => run("access", "explain", ...args, "--config", good);

describe("crypto-edge access explain", () => {
  test("names the rule that allows", async () => {
    expect(await explain("local", "create", "tenant-b", "billing")).toMatchObject({
      code: 0,
      out: 'allowed: policies[0] ("payments") is the first rule that allows it, and none denies it\n',
    });
  });

  test("names the rule that denies, with exit code 1", async () => {
    const { code, out } = await explain("local", "decrypt", "tenant-b", "billing", "--json");
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ allowed: false, rule: "policies[1]" });
  });

  test("says what is missing where no rule decides", async () => {
    const { code, out } = await explain("spiffe://example.org/x", "create", "tenant-a", "billing");
    expect(code).toBe(1);
    expect(out).toContain("denied: no rule allows it");
  });

  test("takes no operation and no name that there can't be", async () => {
    expect(await explain("local", "destroy", "tenant-a", "billing")).toMatchObject({ code: 2 });
    expect(await explain("local", "create", "tenant a", "billing")).toMatchObject({ code: 2 });
  });
});

describe("crypto-edge config check", () => {
  test("finds the mistakes in policies and listeners, by line", async () => {
    const bad = configuration(
      "bad.yaml",
      `  - { principals: [loacl], tenants: ["tenant a"], services: ["*"], operations: [create] }
  - { effect: deny, principals: [local], tenants: ["*"], services: ["*"], operations: [create], rate_limit: { per_tenant: 1 } }
`,
    );
    const { code, err } = await run("config", "check", bad);
    expect(code).toBe(1);
    expect(err).toContain('bad.yaml:8:28: policies[0].tenants: "tenant a" matches no name');
    expect(err).toContain('no listener names its callers "loacl" (named are local)');
    expect(err).toContain("a rule that denies has no rate");
  });

  test("refuses plain HTTP off loopback, and a listener whose name could pass for another kind of principal", async () => {
    const open = configuration("open.yaml", "  []", '[{ http: "0.0.0.0:7402", principal: local }]');
    expect((await run("config", "check", open)).err).toContain("plain HTTP is served on a loopback address only");
    const sly = configuration(
      "sly.yaml",
      "  []",
      '[{ http: "127.0.0.1:0", principal: "spiffe://example.org/billing" }]',
    );
    expect((await run("config", "check", sly)).err).toContain("does not begin like another kind of principal's");
  });
});
