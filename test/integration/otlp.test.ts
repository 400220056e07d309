/** What the edge sends to a collector, read by OpenTelemetry's own types (opentelemetry-proto, in Go), strictly. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startOtlpReceiver } from "../support/otlp-receiver.ts";
import { ROOT } from "../support/pages.ts";
import { startStaticEdge, staticConfiguration } from "../support/static-edge.ts";

const folder = mkdtempSync(join(tmpdir(), "crypto-edge-otlp-"));
const reader = join(folder, "reader");

beforeAll(() => {
  const cwd = join(ROOT, "test/integration/clients/otlp");
  const { exitCode, stderr } = Bun.spawnSync(["go", "build", "-o", reader, "."], { cwd });
  if (exitCode !== 0) throw new Error(`go build: ${stderr}`);
}, 600_000);
afterAll(() => rmSync(folder, { recursive: true }));

function read(path: string, text: string): { exitCode: number; message: Record<string, unknown> } {
  const { exitCode, stdout } = Bun.spawnSync([reader, path], { stdin: Buffer.from(text) });
  return { exitCode, message: exitCode === 0 ? JSON.parse(stdout.toString()) : {} };
}

test("spans and log records are messages of opentelemetry-proto, and nothing of them is lost on the way", async () => {
  const receiver = await startOtlpReceiver();
  const edge = await startStaticEdge(staticConfiguration(`telemetry: { otlp: { url: "${receiver.url}" } }`));
  await edge.client.createKey({ tenant: "tenant-a", service: "billing" });
  await edge.client.createKey({ tenant: "tenant-a", service: "unknown" }).catch(() => {});
  await edge.close();
  await receiver.close();

  expect([...new Set(receiver.requests.map(({ path }) => path))].sort()).toEqual(["/v1/logs", "/v1/traces"]);
  for (const { path, text } of receiver.requests) {
    const { exitCode, message } = read(path, text);
    expect(exitCode).toBe(0);
    expect(countOf(message)).toBe(countOf(JSON.parse(text)));
  }
  const [{ path, text }] = receiver.requests as [(typeof receiver.requests)[0]];
  expect(read(path, text.replace('"resource"', '"resources"')).exitCode).not.toBe(0);
}, 120_000);

/** How many values a message has, whatever their form: protojson writes ids as base64 and kinds by name. */
function countOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 1;
  return Object.values(value).reduce((sum: number, inner) => sum + countOf(inner), 0);
}
