import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CHUNK_LENGTH, CHUNK_TAG_LENGTH, readSealedHeader, SEALED_CHUNK_LENGTH } from "../../../src/sdk/seal/format.ts";
import { openFile, sealFile } from "../../../src/sdk/seal/seal-file.ts";
import { type StaticEdge, startStaticEdge } from "../../support/static-edge.ts";

const KEY = { tenant: "tenant-a", service: "billing" };
const folder = mkdtempSync(join(tmpdir(), "crypto-edge-seal-"));
const path = (name: string): string => join(folder, name);
let edge: StaticEdge;
beforeAll(async () => {
  edge = await startStaticEdge();
});
afterAll(async () => {
  await edge.close();
  rmSync(folder, { recursive: true });
});

const job = (input: string, output: string, force = false) => ({
  edge: edge.client,
  input: path(input),
  output: path(output),
  force,
});

async function sealed(content: Uint8Array): Promise<Uint8Array> {
  writeFileSync(path("plain"), content);
  await sealFile(job("plain", "sealed", true), KEY);
  return readFileSync(path("sealed"));
}

async function opens(content: Uint8Array): Promise<Uint8Array> {
  writeFileSync(path("sealed"), content);
  await openFile(job("sealed", "opened", true));
  return readFileSync(path("opened"));
}

for (const length of [0, 1, CHUNK_LENGTH - 1, CHUNK_LENGTH, CHUNK_LENGTH + 1, 3 * CHUNK_LENGTH, 3 * CHUNK_LENGTH + 7]) {
  test(`a file of ${length} bytes comes back as it was`, async () => {
    const content = crypto.getRandomValues(new Uint8Array(Math.min(length, 65_536)));
    const whole = new Uint8Array(length).map((_, index) => content[index % content.length]!);
    const made = await sealed(whole);
    const chunks = Math.max(1, Math.ceil(length / CHUNK_LENGTH));
    expect(made.length).toBe(readSealedHeader(made).length + length + chunks * CHUNK_TAG_LENGTH);
    expect(Buffer.from(await opens(made)).equals(Buffer.from(whole))).toBe(true);
  });
}

test("one flipped bit anywhere makes it fail, and leaves no output", async () => {
  const made = await sealed(new Uint8Array(100).fill(1));
  for (let position = 0; position < made.length; position++) {
    const changed = Uint8Array.from(made);
    changed[position]! ^= 1 << (position % 8);
    rmSync(path("opened"), { force: true });
    const failed = await opens(changed).then(
      () => false,
      () => true,
    );
    expect(`${position}: ${failed}`).toBe(`${position}: true`);
    expect(readdirSync(folder).sort()).toEqual(["plain", "sealed"]);
  }
});

test("chunks left out, moved, doubled, or cut off make it fail, and leave no output", async () => {
  const made = await sealed(new Uint8Array(4 * CHUNK_LENGTH).fill(7));
  const header = made.length - 4 * SEALED_CHUNK_LENGTH;
  const chunk = (index: number): Uint8Array =>
    made.subarray(header + index * SEALED_CHUNK_LENGTH, header + (index + 1) * SEALED_CHUNK_LENGTH);
  const start = made.subarray(0, header);
  const tampered = {
    "the last left out": [start, chunk(0), chunk(1), chunk(2)],
    "one left out": [start, chunk(0), chunk(2), chunk(3)],
    "two swapped": [start, chunk(1), chunk(0), chunk(2), chunk(3)],
    "one doubled": [start, chunk(0), chunk(0), chunk(1), chunk(2), chunk(3)],
    "something after the last": [made, new Uint8Array([0])],
    "all left out": [start],
    "cut inside a chunk": [made.subarray(0, made.length - 100)],
    "cut inside the header": [made.subarray(0, 30)],
  };
  rmSync(path("opened"), { force: true });
  for (const [name, parts] of Object.entries(tampered)) {
    const outcome = await opens(Buffer.concat(parts)).then(
      () => "opened",
      () => "failed",
    );
    expect(`${name}: ${outcome}`).toBe(`${name}: failed`);
    expect(readdirSync(folder).sort()).toEqual(["plain", "sealed"]);
  }
});

test("an output that exists is not touched without force", async () => {
  writeFileSync(path("plain"), "content");
  writeFileSync(path("taken"), "mine");
  await expect(sealFile(job("plain", "taken"), KEY)).rejects.toThrow("--force");
  expect(readFileSync(path("taken"), "utf8")).toBe("mine");
  await sealFile(job("plain", "taken", true), KEY);
  await openFile(job("taken", "opened", true));
  expect(readFileSync(path("opened"), "utf8")).toBe("content");
  rmSync(path("taken"));
  rmSync(path("opened"));
});

test("an edge that refuses leaves no output", async () => {
  writeFileSync(path("plain"), "content");
  await expect(sealFile(job("plain", "refused"), { tenant: "other", service: "billing" })).rejects.toThrow();
  await expect(sealFile(job("missing", "refused"), KEY)).rejects.toThrow("cannot be read");
  await expect(sealFile({ ...job("plain", "refused"), input: folder }, KEY)).rejects.toThrow("is not a file");
  expect(readdirSync(folder).sort()).toEqual(["plain", "sealed"]);
});
