/** The credentials of plugins and of the exporter follow the disk and are told of, in an edge of its own process. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { CertificateExpiry } from "../../../src/base/pki/certificate-expiry.ts";
import { followCredentials } from "../../../src/edge/plugin-host/follow-credentials.ts";
import { makeAuthority } from "../../support/certificates.ts";
import { until } from "../../support/until.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const root = resolve(import.meta.dir, "../../..");
const folder = mkdtempSync(join(tmpdir(), "crypto-edge-followed-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);
const authority = await makeAuthority();

/** As most tools do: a new file in the old one's place. */
function write(name: string, pair: { readonly certificate: string; readonly key: string }): void {
  for (const [ending, text] of [
    ["pem", pair.certificate],
    ["key", pair.key],
  ]) {
    writeFileSync(at(`new-${name}.${ending}`), text!);
    renameSync(at(`new-${name}.${ending}`), at(`${name}.${ending}`));
  }
}

test("they are taken at the start, then whenever they change, and not where they do not fit; the end of each is known", async () => {
  write("a", await authority.issue());
  const clock = new VirtualClock();
  const expiry = new CertificateExpiry(clock, { warn() {}, error() {} });
  const ending = new AbortController();
  const lines: string[] = [];
  const taken: string[] = [];
  const log = { info: () => void lines.push("info"), warn: () => void lines.push("warn") };
  const follow = (file: string): Promise<void> =>
    followCredentials(
      {
        role: "a broker",
        certificates: [at(file)],
        others: [at("a.key")],
        take() {
          if (readFileSync(at("a.key"), "utf8") === "none") throw new Error("the key is none");
          taken.push(readFileSync(at("a.pem"), "utf8"));
        },
      },
      { expiry, clock, log, signal: ending.signal },
    );
  await expect(follow("away.pem")).rejects.toThrow("away.pem");
  await follow("a.pem");
  const first = readFileSync(at("a.pem"), "utf8");
  expect(taken).toEqual([first]);
  expect(expiry.ends()).toMatchObject([{ role: "a broker", file: at("a.pem") }]);

  const renewed = await authority.issue();
  write("a", { ...renewed, key: "none" });
  await clock.advance(10_000);
  expect({ lines, count: taken.length }).toEqual({ lines: ["warn"], count: 1 });
  write("a", renewed);
  await clock.advance(10_000);
  expect({ lines, taken }).toEqual({ lines: ["warn", "info"], taken: [first, renewed.certificate] });

  ending.abort();
  write("a", await authority.issue());
  await clock.advance(60_000);
  expect(taken.length).toBe(2);
  expiry.close();
});

const PLUGIN = `
import { contribution, definePlugin, followLogin, Path, Section } from "crypto-edge/plugin";
export default definePlugin({
  name: "sink",
  apiVersion: 1,
  auditSinks: {
    sink: contribution({
      configuration: Section({ ca: Path(), cert: Path(), key: Path() }),
      async create(tls, context) {
        await followLogin(context, "amqps://mq.internal:5671", tls);
        return { name: "sink", async write() {}, async close() {} };
      },
    }),
  },
});
`;

test("an edge shows those of a plugin and of its exporter, and takes both up when they are renewed", async () => {
  mkdirSync(at("sink"));
  writeFileSync(at("sink/plugin.ts"), PLUGIN);
  writeFileSync(
    at("sink/package.json"),
    '{ "name": "sink", "version": "1.0.0", "type": "module", "exports": "./plugin.ts" }',
  );
  writeFileSync(at("ca.pem"), authority.certificate);
  for (const name of ["sink", "otlp"]) write(name, await authority.issue());
  const configuration = (otlpKey: string): string => `edge: { id: edge-test }
key_source: { use: static, static: { keys: [{ tenant: t, service: s, version: 1, state: active, key: "${"5a".repeat(32)}" }] } }
listeners: [{ unix: edge.sock, principal: local }]
policies: []
plugins: [sink, ${JSON.stringify(resolve(root, "plugins/static"))}]
audit: { operations: none, sinks: [{ use: sink, sink: { ca: ca.pem, cert: sink.pem, key: sink.key } }] }
telemetry: { otlp: { url: "https://127.0.0.1:1", ca: ca.pem, cert: otlp.pem, key: ${otlpKey} } }
key_memory: { dumpable: true }
`;
  writeFileSync(at("edge.yaml"), configuration("otlp.key"));
  writeFileSync(at("bad.yaml"), configuration("sink.key"));
  const main = [process.execPath, join(root, "src/main.ts")];
  const check = (file: string) => Bun.spawnSync([...main, "config", "check", at(file)], { stderr: "pipe" });
  expect(check("edge.yaml").exitCode).toBe(0);
  expect(check("bad.yaml").stderr.toString()).toContain("bad.yaml:7");

  const child = Bun.spawn([...main, "serve", "--config", at("edge.yaml")], { stderr: Bun.file(at("log")) });
  try {
    const log = (): string => readFileSync(at("log"), "utf8");
    await until(() => log().includes('"ready"'));
    const tell = async (path: string): Promise<string> =>
      (await fetch(`http://localhost${path}`, { unix: at("edge.sock") } as RequestInit)).text();
    const { certificates } = JSON.parse(await tell("/v1/status")) as { certificates: { role: string; file: string }[] };
    expect(certificates.map(({ role, file }) => [role, file]).sort()).toEqual([
      ["the OpenTelemetry collector", at("ca.pem")],
      ["the OpenTelemetry collector", at("otlp.pem")],
      ["the broker mq.internal:5671", at("ca.pem")],
      ["the broker mq.internal:5671", at("sink.pem")],
    ]);
    expect(await tell("/metrics")).toContain(
      `crypto_edge_certificate_days_left{role="the broker mq.internal:5671",file="${at("sink.pem")}"}`,
    );
    for (const name of ["sink", "otlp"]) write(name, await authority.issue());
    for (const role of ["the broker mq.internal:5671", "the OpenTelemetry collector"]) {
      await until(() =>
        log()
          .split("\n")
          .some((line) => line.includes(role) && line.includes("were taken up")),
      );
    }
  } finally {
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  }
}, 60_000);
