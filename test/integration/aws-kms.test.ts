/** The AWS KMS plugin, with the AWS SDK, against a local endpoint that speaks the protocol and verifies every signature. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createKmsSource } from "../../plugins/aws-kms/plugin.ts";
import { systemClock } from "../../src/base/time/system-clock.ts";
import type { KeySource, LeaseGrant, LeaseRequest } from "../../src/edge/key-source/key-source.ts";
import { checkPlugin } from "../../src/sdk/conformance/check-plugin.ts";
import { printReport, totalsOf } from "../../src/sdk/conformance/report.ts";
import { CREDENTIALS, KEY_ARN, type LocalKms, REGION, startLocalKms } from "./support/local-kms.ts";

const PLUGIN = resolve(import.meta.dir, "../../plugins/aws-kms");
const never = new AbortController().signal;
const nothing = { add() {}, set() {}, observe() {} };
const ENVIRONMENT = {
  AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
  AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
  AWS_SESSION_TOKEN: CREDENTIALS.sessionToken,
  AWS_EC2_METADATA_DISABLED: "true",
};

let folder: string;
let kms: LocalKms;
const sources: KeySource[] = [];
const before = { ...process.env };

const file = (): string => join(folder, "keys.json");

/** The tool, in a process of its own; not waited for by blocking, since KMS runs in this one. */
async function keys(...args: string[]): Promise<string> {
  const options = ["--file", file(), "--region", REGION, "--key-id", KEY_ARN, "--endpoint", kms.endpoint];
  const tool = spawn(process.execPath, [join(PLUGIN, "keys.ts"), ...args, ...options], {
    env: { ...process.env, ...ENVIRONMENT },
  });
  let output = "";
  tool.stdout.on("data", (chunk: Buffer) => (output += chunk));
  tool.stderr.on("data", (chunk: Buffer) => (output += chunk));
  const code = await new Promise((ended) => tool.on("close", ended));
  if (code !== 0) throw new Error(output);
  return output;
}

function sourceWith(section: object = {}): KeySource {
  const source = createKmsSource(
    {
      region: REGION,
      key_id: KEY_ARN,
      file: file(),
      endpoint: kms.endpoint,
      timeout: 3_000,
      ttl: 300_000,
      refresh_after: 240_000,
      ...section,
    },
    {
      log: { info() {}, warn() {}, error() {} },
      clock: systemClock,
      metrics: { counter: () => nothing, gauge: () => nothing, histogram: () => nothing },
      edgeId: "edge-test",
      directory: "/",
      signal: never,
      attempt: async (_name, run) => run(),
      follow: async ({ take }) => take(),
    },
  );
  sources.push(source);
  return source;
}

const lease = (source: KeySource, request: Partial<LeaseRequest> = {}, signal = never): Promise<LeaseGrant> =>
  source.lease({ tenant: "tenant-a", service: "billing", ...request }, signal);
const versionsOf = ({ versions }: LeaseGrant): string[] =>
  versions.map(({ version, state }) => `${version} ${state}`).sort();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "crypto-edge-kms-"));
  Object.assign(process.env, ENVIRONMENT);
  kms = await startLocalKms();
  await keys("create", "tenant-a", "billing");
});

afterAll(async () => {
  for (const source of sources) await source.close();
  await kms.stop();
  for (const name of Object.keys(ENVIRONMENT)) delete process.env[name];
  Object.assign(process.env, before);
  rmSync(folder, { recursive: true, force: true });
});

test("leases a key that KMS opens, by signed calls that name it", async () => {
  const source = sourceWith();
  const [first, second] = [await lease(source), await lease(source)];
  expect(versionsOf(first)).toEqual(["1 active"]);
  expect(first.versions[0]!.key).toHaveLength(32);
  expect(Buffer.compare(first.versions[0]!.key, second.versions[0]!.key)).toBe(0);
  expect(kms.calls.at(-1)).toEqual({ operation: "Decrypt", context: { "crypto-edge": "tenant-a/billing/1" } });
  expect(source.health?.()).toEqual({ ok: true });
});

test("a call signed with another secret is refused by the endpoint, and is no answer about the key", async () => {
  process.env.AWS_SECRET_ACCESS_KEY = "another";
  try {
    const error = await lease(sourceWith()).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: "unavailable", message: expect.stringContaining("signature does not match") });
  } finally {
    process.env.AWS_SECRET_ACCESS_KEY = CREDENTIALS.secretAccessKey;
  }
});

test("a rotation is seen by a source that runs; states and unknown names are answers", async () => {
  const source = sourceWith();
  await keys("create", "tenant-r", "billing");
  expect(versionsOf(await lease(source, { tenant: "tenant-r" }))).toEqual(["1 active"]);
  await keys("create", "tenant-r", "billing");
  expect(versionsOf(await lease(source, { tenant: "tenant-r" }))).toEqual(["1 deprecated", "2 active"]);
  await keys("state", "tenant-r", "billing", "1", "compromised");
  expect(await keys("list")).toContain("tenant-r/billing/1 compromised\ntenant-r/billing/2 active");
  expect(versionsOf(await lease(source, { tenant: "tenant-r" }))).toEqual(["2 active"]);
  await expect(lease(source, { tenant: "tenant-r", version: 1 })).rejects.toMatchObject({ code: "key_revoked" });
  await expect(lease(source, { tenant: "nobody" })).rejects.toMatchObject({ code: "key_not_found" });
});

test("a wrapped key that was moved to another name does not open there", async () => {
  const stored = JSON.parse(readFileSync(file(), "utf8")) as { keys: object[] };
  const moved = join(folder, "moved.json");
  writeFileSync(moved, JSON.stringify({ ...stored, keys: [{ ...stored.keys[0], tenant: "tenant-z" }] }));
  const error = lease(sourceWith({ file: moved }), { tenant: "tenant-z" });
  await expect(error).rejects.toMatchObject({
    code: "unavailable",
    message: expect.stringContaining("InvalidCiphertext"),
  });
});

test("what KMS says becomes the code that the edge acts on", async () => {
  const source = sourceWith();
  const cases = [
    [400, "AccessDeniedException", "edge_not_allowed"],
    [400, "DisabledException", "key_revoked"],
    [400, "KMSInvalidStateException", "key_revoked"],
    [400, "ThrottlingException", "unavailable"],
    [500, "KMSInternalException", "unavailable"],
  ] as const;
  for (const [status, type, code] of cases) {
    kms.fault = { status, type };
    await expect(lease(source)).rejects.toMatchObject({ code });
  }
  kms.fault = undefined;
  expect(versionsOf(await lease(source))).toEqual(["1 active"]);
  await expect(lease(sourceWith({ key_id: "alias/other" }))).rejects.toMatchObject({ code: "unavailable" });
});

test("a KMS that hangs is given its time, a caller that gives up is let go at once, one that is away is unavailable", async () => {
  kms.hang = true;
  await expect(lease(sourceWith({ timeout: 100 }))).rejects.toMatchObject({ code: "unavailable" });
  const abort = new AbortController();
  const call = lease(sourceWith({ timeout: 60_000 }), {}, abort.signal);
  setTimeout(() => abort.abort(), 50);
  await expect(call).rejects.toMatchObject({ code: "unavailable" });
  kms.hang = false;

  const source = sourceWith();
  const { port } = new URL(kms.endpoint);
  await kms.stop();
  await expect(lease(source)).rejects.toMatchObject({ code: "unavailable" });
  expect(source.health?.()).toMatchObject({ ok: false });
  kms = await startLocalKms(Number(port));
  expect(versionsOf(await lease(source))).toEqual(["1 active"]);
});

test("a file that is missing or broken is told by name, and is no answer about a key", async () => {
  const broken = join(folder, "broken.json");
  for (const [content, text] of [
    [undefined, "broken.json"],
    ["{}", "is no file of"],
    [JSON.stringify({ ...JSON.parse(readFileSync(file(), "utf8")), keys: [{ version: 0 }] }), "keys[0] has no version"],
  ]) {
    if (content !== undefined) writeFileSync(broken, content);
    const error = lease(sourceWith({ file: broken }));
    await expect(error).rejects.toMatchObject({ code: "unavailable", message: expect.stringContaining(text!) });
  }
});

test("the plugin keeps every rule of the conformance kit", async () => {
  const configuration = (endpoint: string): string => `
edge: { id: check }
key_source: { use: aws-kms, aws-kms: { region: ${REGION}, key_id: "${KEY_ARN}", file: keys.json, endpoint: "${endpoint}" } }
listeners: [{ http: "127.0.0.1:0", principal: local }]
policies: [{ principals: [local], tenants: ["*"], services: ["*"], operations: [create] }]
plugins: ["${PLUGIN}"]`;
  const config = join(folder, "check.yaml");
  const away = join(folder, "away.yaml");
  writeFileSync(config, configuration(kms.endpoint));
  writeFileSync(away, configuration("http://127.0.0.1:1"));
  const report = await checkPlugin(PLUGIN, { config, away, key: "tenant-a/billing" });
  console.log(printReport(report));
  expect(totalsOf(report)).toMatchObject({ broken: 0, notTried: 0 });
}, 300_000);
