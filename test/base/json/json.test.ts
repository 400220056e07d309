import { describe, expect, test } from "bun:test";
import { JsonError, parseJson } from "../../../src/base/json/parse.ts";
import { type ItemReader, readJsonList, readJsonObject } from "../../../src/base/json/read-list.ts";
import { writeJsonList } from "../../../src/base/json/write-list.ts";
import { fc } from "../../support/properties.ts";
import { ITEMS_OF_SLICE, slowLooks } from "../../support/slow-looks.ts";

const bytes = (text: string): Buffer => Buffer.from(text);
const LIMITS = { name: "items", itemsMax: 10_000, itemBytesMax: 65_536 };

const scalar = fc.oneof(fc.string({ maxLength: 40 }), fc.double(), fc.integer(), fc.constantFrom(true, false, null));

/** Values of a few parts, as fast-check makes them by itself, and long lists, objects and texts. */
const anyJson = fc.oneof(
  { weight: 4, arbitrary: fc.jsonValue() },
  { weight: 1, arbitrary: fc.array(scalar, { maxLength: 80 }).map(asWritten) },
  { weight: 1, arbitrary: fc.dictionary(fc.string(), scalar, { maxKeys: 60 }).map(asWritten) },
  { weight: 1, arbitrary: fc.string({ unit: "grapheme", maxLength: 500 }) },
  {
    weight: 1,
    arbitrary: fc.string({
      unit: fc.constantFrom("\\", '"', "/", "\n", "u", "0", "\u2028", "\u{1f511}"),
      maxLength: 200,
    }),
  },
);

/** What JSON can hold of it: no NaN, no infinity. */
function asWritten(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

/** Any JSON, written with space between its parts, and with escapes that a writer need not use. */
const jsonText = fc
  .tuple(anyJson, fc.constantFrom("", " ", "\n\t", "\r\n  "), fc.boolean())
  .map(([value, space, escaped]) => {
    const text = JSON.stringify(value, undefined, space);
    return escaped
      ? text.replaceAll(/[a-z](?=[^"]*":)/g, (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`)
      : text;
  })
  .filter((text) => {
    try {
      JSON.parse(text);
      return true;
    } catch {
      return false;
    }
  });

describe("JSON is read as JSON.parse reads it", () => {
  test("but for members that come twice", () => {
    fc.assert(
      fc.property(jsonText, (text) => {
        // What fast-check makes has no member twice, unless escapes make two names one.
        expect(parseJson(bytes(text))).toEqual(JSON.parse(text));
      }),
      { numRuns: 1_000 },
    );
    for (const text of [
      '{"a":1,"a":1}',
      '{"a":1,"\\u0061":2}',
      '{"\\"":1,"\\u0022":2}',
      '[{"b":{"a":[],"c":1,"a":{}}}]',
      '{ "a" : 1 , "b" : "a\\":" , "a" : 2 }',
      `{${Array.from({ length: 40 }, (_, index) => `"m${index}":1`).join()},"m3":1}`,
      '{"":1,"":2}',
    ]) {
      expect(() => parseJson(bytes(text))).toThrow("a member twice");
    }
    for (const text of [
      '{"a":"a","b":["a","a"],"c":{"a":1}}',
      '[{"a":1},{"a":1}]',
      '{"a":"\\"a\\":1"}',
      '{"A":1,"a":1}',
    ]) {
      expect(parseJson(bytes(text))).toEqual(JSON.parse(text));
    }
  });

  test("and not at all where it is not UTF-8, or begins with a byte order mark", () => {
    for (const broken of [[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0xf8, 0x88, 0x80, 0x80, 0x80]]) {
      expect(() => parseJson(Buffer.concat([bytes('{"a":"'), Buffer.from(broken), bytes('"}')]))).toThrow("not UTF-8");
    }
    expect(() => parseJson(bytes("\ufeff{}"))).toThrow(JsonError);
    expect(parseJson(bytes('{"ü":"\u{1f511}"}'))).toEqual({ ü: "\u{1f511}" });
  });

  test("in nests of any depth that it bears", () => {
    const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`;
    try {
      parseJson(bytes(deep));
    } catch (error) {
      expect(error).toBeInstanceOf(JsonError);
    }
  });
});

describe("a text has at most 1,024 members and items", () => {
  const list = (count: number, value = '"aaaa"'): string => `[${Array.from({ length: count }, () => value).join()}]`;
  const object = (count: number): string =>
    `{${Array.from({ length: count }, (_, index) => `"member ${index}":1`).join()}}`;

  test("however they are nested", () => {
    // The list or object itself is one, and each comma tells of another.
    for (const text of [list(1_024), object(1_024), `${"[".repeat(1_024)}${" ".repeat(4_096)}${"]".repeat(1_024)}`]) {
      expect(parseJson(bytes(text))).toEqual(JSON.parse(text));
    }
    for (const text of [
      list(1_025),
      object(1_025),
      `${"[".repeat(1_025)}${" ".repeat(4_096)}${"]".repeat(1_025)}`,
      `{"tenant":"tenant-a","context":${object(5_000)}}`,
      "[".repeat(100_000),
      '{"a":'.repeat(100_000),
      `[${"{},".repeat(20_000)}{}]`,
    ]) {
      expect(() => parseJson(bytes(text))).toThrow("too many members or items");
    }
  });

  test("but as many of the characters that tell of them as it will in its strings", () => {
    for (const inside of [",", "[", "{", '\\",', "\\\\,"]) {
      const text = `{"a":"${inside.repeat(20_000)}","b,[{":1}`;
      expect(parseJson(bytes(text))).toEqual(JSON.parse(text));
    }
    expect(() => parseJson(bytes(`["${",".repeat(10_000)}`))).toThrow("it is not JSON");
  });
});

describe("a list in an object", () => {
  const read = (text: string | Buffer, limits = LIMITS) =>
    readJsonList(
      typeof text === "string" ? bytes(text) : text,
      limits,
      { read: (value) => value },
      async () => undefined,
    );

  test("is read from its items' bytes where they are of a form that is read so, and the others as ever", async () => {
    // Words alone, which it passes over by itself.
    let end = 0;
    const reader: ItemReader<object> = {
      read: (value: unknown) => ({ value }),
      readFast(text: Uint8Array, start: number, last: number) {
        const [word] = /^\s*"[a-z]*"/.exec(Buffer.from(text.subarray(start, last)).toString("latin1")) ?? [];
        if (word === undefined) return undefined;
        end = start + word.length;
        return { word: JSON.parse(word) as string };
      },
      end: () => end,
    };
    const list = (text: string) => readJsonList(bytes(text), LIMITS, reader, async () => undefined);
    const item = fc.oneof(fc.stringMatching(/^[a-z]{0,9}$/), anyJson);
    await fc.assert(
      fc.asyncProperty(fc.array(item, { maxLength: 20 }), fc.constantFrom("", " ", "\n"), async (items, space) => {
        expect(await list(JSON.stringify({ items }, undefined, space))).toEqual(
          (JSON.parse(JSON.stringify(items)) as unknown[]).map((value) =>
            typeof value === "string" && /^[a-z]*$/.test(value) ? { word: value } : { value },
          ) as never,
        );
      }),
    );
    for (const text of [
      '{"items":["a"x]}',
      '{"items":["a"}',
      '{"items":["a"',
      '{"items":["a",]}',
      '{"items":["a"]',
      '{"items":["a" "b"]}',
    ]) {
      await expect(list(text)).rejects.toThrow(JsonError);
    }
    const tooLong = { ...LIMITS, itemBytesMax: 6 };
    const long = readJsonList(bytes('{"items":["abcdefgh"]}'), tooLong, reader, async () => undefined);
    await expect(long).rejects.toThrow("too long");
  });

  test("is read as JSON.parse reads it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyJson, { maxLength: 20 }), fc.constantFrom("", " ", "\n"), async (items, space) => {
        const text = `${space}${JSON.stringify({ items }, undefined, space)}${space}`;
        expect(await read(text)).toEqual((JSON.parse(text) as { items: unknown[] }).items);
      }),
      { numRuns: 500 },
    );
    expect(await read('{"\\u0069tems":[1]}')).toEqual([1]);
    expect(await read('{"items":["]",{"a":"[\\"]"},"\\\\"]}')).toEqual(["]", { a: '["]' }, "\\"]);
  });

  test("is refused wherever JSON.parse refuses it, or the object is another", async () => {
    const valid = JSON.stringify({ items: [{ a: [1, "x\\y", null] }, "text", 7.5, [], {}] });
    for (let at = 0; at < valid.length; at++) {
      for (const changed of [
        valid.slice(0, at),
        valid.slice(0, at) + valid.slice(at + 1),
        `${valid.slice(0, at)},${valid.slice(at)}`,
      ]) {
        let expected: unknown;
        try {
          const value = JSON.parse(changed) as { items: unknown };
          expected = Object.keys(value).join() === "items" && Array.isArray(value.items) ? value.items : "refused";
        } catch {
          expected = "refused";
        }
        const got: unknown = await read(changed).catch((error: unknown): unknown => {
          expect(error).toBeInstanceOf(JsonError);
          return "refused";
        });
        expect([changed, got]).toEqual([changed, expected]);
      }
    }
    for (const text of [
      '{"items":[],"items":[]}',
      '{"items":[],"more":1}',
      '{"more":1}',
      "[]",
      "null",
      "",
      '{"items":{}}',
    ]) {
      await expect(read(text)).rejects.toBeInstanceOf(JsonError);
    }
    await expect(read('{"items":[{"a":1,"a":2}]}')).rejects.toThrow("a member twice");
  });

  test("is bounded in items and in the length of each", async () => {
    const small = { name: "items", itemsMax: 3, itemBytesMax: 10 };
    expect(await read('{"items":[1,2,3]}', small)).toEqual([1, 2, 3]);
    await expect(read('{"items":[1,2,3,4]}', small)).rejects.toThrow("more than 3 items");
    expect(await read('{"items":["12345678"]}', small)).toEqual(["12345678"]);
    await expect(read('{"items":["12345678901"]}', small)).rejects.toThrow("too long");
    await expect(read(`{"items":[${"[".repeat(20)}]}`, small)).rejects.toThrow("too long");
  });

  /** What a hostile body may be made of, 16 MB of each. */
  const HOSTILE: Readonly<Record<string, string>> = {
    "empty items": `{"items":[${"[],".repeat(5_000_000)}[]]}`,
    "one item of many members": `{"items":[{${'"a":1,'.repeat(2_500_000)}"b":1}]}`,
    "one long text": `{"items":["${"x".repeat(16_000_000)}"]}`,
    "one text of escapes": `{"items":["${'\\"'.repeat(8_000_000)}"]}`,
    "one deep nest": `{"items":[${"[".repeat(16_000_000)}`,
    "a long name": `{"${"x".repeat(16_000_000)}":[]}`,
    space: `{"items":[1${" ".repeat(16_000_000)}]}`,
    "good items": `{"items":[${Array.from({ length: 9_999 }, () => `{"wrapped":"${"A".repeat(1_500)}"}`).join()}]}`,
  };

  for (const [name, text] of Object.entries(HOSTILE)) {
    test(`of ${name} yields to others before a megabyte is read, or ends`, async () => {
      using _ = slowLooks();
      const body = bytes(text);
      let longestMs = 0;
      let began = Bun.nanoseconds();
      const turned = async (): Promise<void> => {
        longestMs = Math.max(longestMs, (Bun.nanoseconds() - began) / 1e6);
        await new Promise((resolve) => setImmediate(resolve));
        began = Bun.nanoseconds();
      };
      let items = 0;
      let readBytes = 0;
      let inTurn = 0;
      const item = (value: unknown): unknown => {
        items++;
        inTurn += JSON.stringify(value).length;
        readBytes = Math.max(readBytes, inTurn);
        return value;
      };
      await readJsonList(body, LIMITS, { read: item }, async () => {
        inTurn = 0;
        await turned();
      }).catch((error: unknown) => expect(error).toBeInstanceOf(JsonError));
      await turned();
      expect(items).toBeLessThanOrEqual(10_000);
      expect(readBytes).toBeLessThan(200_000);
      // For whoever reads the output: the machine may be busy, so this decides nothing.
      console.log(`${name}: longest turn ${longestMs.toFixed(1)} ms`);
    }, 300_000);
  }
});

describe("a list is written", () => {
  test("as JSON.stringify writes it, in turns where it is long", async () => {
    using _ = slowLooks();
    const slice = ITEMS_OF_SLICE;
    for (const length of [0, 1, 2, slice - 1, slice, slice + 1, 3_000]) {
      const items = Array.from({ length }, (_, index) => ({ index, text: "ü" }));
      let turns = 0;
      const written = await writeJsonList(
        "items",
        items,
        (item) => JSON.stringify(item),
        async () => {
          turns++;
        },
      );
      expect(written.toString()).toBe(JSON.stringify({ items }));
      // Once more before a long one is put together, which takes a few then.
      if (length <= slice) expect(turns).toBe(0);
      else expect(turns).toBeGreaterThanOrEqual(Math.ceil(length / slice));
    }
  });
});

describe("an object of megabytes is read as JSON.parse reads it, in turns", () => {
  const LIST = {
    list: { name: "items", itemsMax: 10_000, itemBytesMax: 65_536 },
    membersMax: 64,
    stringBytesMax: 65_536,
    valueBytesMax: 16_384,
  };
  let turns = 0;
  const read = (text: string | Uint8Array) =>
    readJsonObject(typeof text === "string" ? bytes(text) : text, LIST, async () => void turns++);

  test("whatever members it has", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.oneof(fc.string(), fc.constantFrom("items", "__proto__", "constructor")), anyJson, {
          maxKeys: 8,
        }),
        fc.constantFrom("", " ", "\n\t"),
        async (object, space) => {
          const text = JSON.stringify(object, undefined, space);
          expect(await read(text)).toEqual(JSON.parse(text));
        },
      ),
      { numRuns: 500 },
    );
    using _ = slowLooks();
    turns = 0;
    const long = JSON.stringify({ a: 1, items: Array.from({ length: 10_000 }, (_, index) => ({ index })), b: "x" });
    expect(await read(long)).toEqual(JSON.parse(long));
    expect(turns).toBeGreaterThan(10_000 / ITEMS_OF_SLICE - 1);
  });

  test("and refuses what is none, a member twice, and what is longer than its kind may be", async () => {
    for (const text of [
      "",
      "[]",
      "{",
      "{]",
      '{"a":1',
      '{"a":1]',
      '{"a":1,}',
      '{"a":1,"a":2}',
      '{"a":1,"\\u0061":2}',
      '{"items":[{"b":1,"b":2}]}',
      '{"items":[1],"items":[2]}',
      '{"items":[1,]}',
      '{"items":[1}}',
      '{"items":[1}',
      '{"items":[1]]',
      '{"a":1}x',
      '{"a":1}{}',
      "{a:1}",
      `{"a":"${"x".repeat(70_000)}"}`,
      `{"a":[${"[],".repeat(7_000)}[]]}`,
      `{"items":[${"1,".repeat(10_000)}1]}`,
      `{${Array.from({ length: 65 }, (_, index) => `"m${index}":1`).join()}}`,
    ]) {
      expect([text.slice(0, 60), await read(text).catch((error: unknown) => error)]).toEqual([
        text.slice(0, 60),
        expect.any(JsonError),
      ]);
    }
    expect(await read(Buffer.concat([bytes('{"a":"'), Buffer.from([0xff]), bytes('"}')])).catch(String)).toContain(
      "UTF-8",
    );
  });
});
