/** What a batch is answered with, as it is written: in pieces or in one, and wiped where nobody gets it. */
import { beforeEach, describe, expect, spyOn, test } from "bun:test";
import { OperationError } from "../../../../src/base/errors.ts";
import { longMemory } from "../../../../src/base/network/http1/long-memory.ts";
import { BatchText, writeItsProblem } from "../../../../src/edge/doors/native/batch-text.ts";
import { CreatedKeysWriter } from "../../../../src/edge/doors/native/octet-stream.ts";

const parsed = async (text: BatchText): Promise<unknown> => JSON.parse(Buffer.from(await text.end()).toString());

// What other tests have given back may be larger than what is asked for here.
beforeEach(() => {
  longMemory.kept.length = 0;
  longMemory.keptBytes = 0;
});

describe("in JSON", () => {
  test("nothing, one and many, of whatever lengths and letters", async () => {
    expect(await parsed(new BatchText("keys", 0))).toEqual({ keys: [] });
    const words = Array.from({ length: 300 }, (_, index) => `ü€😀\u{7f}"${"x".repeat((index * 37) % 900)}`);
    const text = new BatchText("results", words.length);
    for (const word of words) writeItsProblem(text.next(), new OperationError("invalid_blob", word));
    expect(text.written).toBe(300);
    const written = text.end();
    expect(written).toBeInstanceOf(Promise);
    const { results } = JSON.parse(Buffer.from(await written).toString()) as {
      results: { error: { detail: string } }[];
    };
    expect(results.map(({ error }) => error.detail)).toEqual(words);
  });

  test("items of one length are in one piece, and none of them is copied for the next", async () => {
    const COUNT = 5_000;
    const text = new BatchText("keys", COUNT);
    for (let index = 0; index < COUNT; index++) {
      text.next().ascii(JSON.stringify(String(index).padStart(200, "0")));
    }
    const written = text.end();
    expect(written).not.toBeInstanceOf(Promise);
    const { keys } = JSON.parse((written as Buffer).toString()) as { keys: string[] };
    expect(keys.map(Number)).toEqual(Array.from({ length: COUNT }, (_, index) => index));
    // The room that the first of them made is enough for all.
    expect((written as Buffer).buffer.byteLength).toBeLessThan((written as Buffer).length * 1.3);
  });

  test("items of any lengths in any order are all there, and the room that is held for them is of their size", async () => {
    const KINDS: Record<string, (index: number) => number> = {
      "short ones first": (index) => (index < 20 ? 3 : 2_000),
      "long ones first": (index) => (index < 20 ? 80_000 : 3),
      "one long at a time": (index) => (index % 50 === 0 ? 80_000 : 3),
    };
    for (const lengthOf of Object.values(KINDS)) {
      const COUNT = 3_000;
      const text = new BatchText("results", COUNT);
      const words = Array.from({ length: COUNT }, (_, index) => "x".repeat(lengthOf(index)));
      for (const word of words) text.next().ascii(`"${word}"`);
      const written = await text.end();
      expect((JSON.parse(written.toString()) as { results: string[] }).results).toEqual(words);
      expect(written.buffer.byteLength).toBeLessThan(9_000_000);
    }
  });

  test("an item has its own problem, whichever the item before had", async () => {
    const errors = (["invalid_blob", "decryption_failed", "invalid_blob", "invalid_blob"] as const).map(
      (code, index) => new OperationError(code, index < 2 ? "The same sentence." : `Sentence ${index}.`),
    );
    const text = new BatchText("results", errors.length);
    for (const error of errors) writeItsProblem(text.next(), error);
    const { results } = (await parsed(text)) as { results: { error: { code: string; detail: string } }[] };
    expect(results.map(({ error: { code, detail } }) => [code, detail])).toEqual(
      errors.map(({ code, message }) => [code, message]),
    );
  });

  test("what nobody gets is wiped, whatever it was written into", async () => {
    const text = new BatchText("results", 3);
    const secrets = ["first", "second", "third"].map((word) => word.repeat(12_000));
    const held: Buffer[] = [];
    const wiped: Promise<void>[] = [];
    const real = longMemory.give;
    using _ = spyOn(longMemory, "give").mockImplementation((part) => {
      held.push(part);
      wiped.push(real(part));
      return wiped.at(-1)!;
    });
    for (const secret of secrets) text.next().ascii(secret);
    text.discard();
    await Promise.all(wiped);
    expect(held.length).toBeGreaterThan(1);
    expect(held.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(secrets.join("").length);
    expect(held.every((part) => part.every((byte) => byte === 0))).toBe(true);
  });
});

describe("in bytes", () => {
  const blob = new Uint8Array(20).fill(7);
  const dataKey = new Uint8Array(16).fill(9);

  test("keys are written as they come, behind their number and their version", () => {
    const writer = new CreatedKeysWriter(2);
    for (let index = 0; index < 2; index++) writer.take(blob, dataKey, 3);
    const item = [0, 20, ...blob, ...dataKey];
    expect([...writer.bytes]).toEqual([0, 0, 0, 2, 0, 0, 0, 3, ...item, ...item]);
    const untold = new CreatedKeysWriter(1);
    untold.take(blob, undefined, 1);
    expect([...untold.bytes]).toEqual([0, 0, 0, 1, 0, 0, 0, 1, 0, 20, ...blob]);
  });

  test("gives no byte that was not written, were a later blob shorter", () => {
    const writer = new CreatedKeysWriter(2);
    writer.take(blob, undefined, 1);
    writer.take(blob.subarray(1), undefined, 1);
    expect(writer.bytes).toHaveLength(8 + 2 + 20 + 2 + 19);
  });

  test("what nobody gets is wiped; there may be nothing yet", () => {
    const writer = new CreatedKeysWriter(2);
    writer.discard();
    writer.take(blob, dataKey, 3);
    writer.discard();
    expect(Buffer.from(writer.bytes).indexOf(dataKey)).toBe(-1);
  });
});
