import { describe, expect, test } from "bun:test";
import {
  booleanOf,
  DEPTH_MAX,
  decodeItem,
  ITEMS_MAX,
  type Item,
  integerOf,
  secondsOf,
  TtlvError,
  TYPE,
  textOf,
  unsignedOf,
} from "../../../../src/edge/doors/kmip/ttlv.ts";
import { TtlvWriter } from "../../../../src/edge/doors/kmip/ttlv-writer.ts";
import { fc } from "../../../support/properties.ts";

const hex = (text: string): Uint8Array => Buffer.from(text.replace(/[ |]/g, ""), "hex");

function refusal(text: string): string {
  try {
    decodeItem(hex(text));
  } catch (error) {
    if (error instanceof TtlvError) return error.message;
    throw error;
  }
  return "accepted";
}

/** The same item, written anew from what was read of it. */
function encode({ tag, type, value, items }: Item): Uint8Array {
  const body = type === TYPE.structure ? Buffer.concat(items.map(encode)) : value;
  const head = Buffer.alloc(8);
  head.writeUInt32BE(((tag << 8) | type) >>> 0);
  head.writeUInt32BE(body.length, 4);
  return Buffer.concat([head, body, Buffer.alloc((8 - (body.length % 8)) % 8)]);
}

describe("the examples of KMIP 1.4, section 9.1.2", () => {
  test.each([
    ["integer", "42 00 20 | 02 | 00 00 00 04 | 00 00 00 08 00 00 00 00", (item: Item) => integerOf(item), 8],
    ["enumeration", "42 00 20 | 05 | 00 00 00 04 | 00 00 00 FF 00 00 00 00", (item: Item) => unsignedOf(item), 255],
    ["boolean", "42 00 20 | 06 | 00 00 00 08 | 00 00 00 00 00 00 00 01", (item: Item) => booleanOf(item), true],
    [
      "text string",
      "42 00 20 | 07 | 00 00 00 0B | 48 65 6C 6C 6F 20 57 6F 72 6C 64 00 00 00 00 00",
      (item: Item) => textOf(item),
      "Hello World",
    ],
    ["date-time", "42 00 20 | 09 | 00 00 00 08 | 00 00 00 00 47 DA 67 F8", (item: Item) => secondsOf(item), 1205495800],
    ["interval", "42 00 20 | 0A | 00 00 00 04 | 00 0D 2F 00 00 00 00 00", (item: Item) => unsignedOf(item), 864000],
    [
      "structure",
      "42 00 20 | 01 | 00 00 00 20 | 42 00 04 | 05 | 00 00 00 04 | 00 00 00 FE 00 00 00 00 | 42 00 05 | 02 | 00 00 00 04 | 00 00 00 FF 00 00 00 00",
      (item: Item) => item.items.map(unsignedOf).join(),
      "254,255",
    ],
  ])("%s", (_name, text, read, value) => {
    expect(read(decodeItem(hex(text)))).toBe(value as never);
  });

  test("a long integer, a big integer and a byte string are read as they are", () => {
    for (const text of [
      "42 00 20 | 03 | 00 00 00 08 | 01 B6 9B 4B A5 74 92 00",
      "42 00 20 | 04 | 00 00 00 10 | 00 00 00 00 03 FD 35 EB 6B C2 DF 46 18 08 00 00",
      "42 00 20 | 08 | 00 00 00 03 | 01 02 03 00 00 00 00 00",
    ]) {
      expect(encode(decodeItem(hex(text)))).toEqual(Buffer.from(hex(text)));
    }
  });

  test("are written as they are read", () => {
    const writer = new TtlvWriter(8);
    writer.structure(0x420020, () => {
      writer.enumeration(0x420004, 0xfe);
      writer.integer(0x420005, -1);
      writer.text(0x420006, "Hello World");
      writer.byteString(0x420007, hex("010203"));
      writer.dateTime(0x420008, 1205495800);
    });
    const [enumeration, integer, text, bytes, date] = decodeItem(writer.bytes).items;
    expect([unsignedOf(enumeration!), integerOf(integer!), textOf(text!), secondsOf(date!)]).toEqual([
      0xfe,
      -1,
      "Hello World",
      1205495800,
    ]);
    expect(Buffer.from(bytes!.value)).toEqual(Buffer.from([1, 2, 3]));
  });
});

describe("what is not TTLV is refused", () => {
  test.each([
    ["no bytes", "", "ends inside the head"],
    ["half a head", "42 00 20 02", "ends inside the head"],
    ["a tag of no one", "41 00 20 02 00 00 00 04 00 00 00 08 00 00 00 00", "no tag of KMIP"],
    ["type 0", "42 00 20 00 00 00 00 08 00 00 00 08 00 00 00 00", "unknown type"],
    ["type 12", "42 00 20 0C 00 00 00 08 00 00 00 08 00 00 00 00", "unknown type"],
    ["an integer of 8 bytes", "42 00 20 02 00 00 00 08 00 00 00 08 00 00 00 00", "its type does not have"],
    ["an enumeration of 3 bytes", "42 00 20 05 00 00 00 03 00 00 00 08 00 00 00 00", "its type does not have"],
    ["a boolean of 4 bytes", "42 00 20 06 00 00 00 04 00 00 00 01 00 00 00 00", "its type does not have"],
    ["a big integer of 4 bytes", "42 00 20 04 00 00 00 04 00 00 00 01 00 00 00 00", "its type does not have"],
    ["an empty big integer", "42 00 20 04 00 00 00 00", "its type does not have"],
    ["a structure of 4 bytes", "42 00 20 01 00 00 00 04 00 00 00 00 00 00 00 00", "its type does not have"],
    ["a boolean that is 2", "42 00 20 06 00 00 00 08 00 00 00 00 00 00 00 02", "neither true nor false"],
    ["a boolean with high bits", "42 00 20 06 00 00 00 08 80 00 00 00 00 00 00 01", "neither true nor false"],
    ["padding that is not zero", "42 00 20 02 00 00 00 04 00 00 00 08 00 00 00 01", "padding"],
    ["padding that is missing", "42 00 20 08 00 00 00 03 01 02 03", "longer than what it stands in"],
    ["a length of 2^32 - 1", "42 00 20 08 FF FF FF FF 01 02 03 04 05 06 07 08", "longer than what it stands in"],
    ["text that is not UTF-8", "42 00 20 07 00 00 00 02 C3 28 00 00 00 00 00 00", "not UTF-8"],
    [
      "two items",
      "42 00 20 02 00 00 00 04 00 00 00 08 00 00 00 00 42 00 20 02 00 00 00 04 00 00 00 08 00 00 00 00",
      "behind the end",
    ],
    [
      "an item that overhangs its structure",
      "42 00 20 01 00 00 00 08 42 00 20 08 00 00 00 08 00 00 00 00 00 00 00 00",
      "longer than what it stands in",
    ],
  ])("%s", (_name, text, why) => {
    expect(refusal(text)).toContain(why);
  });

  test("nesting deeper than any message of KMIP has", () => {
    const nested = (depth: number): Uint8Array => {
      const writer = new TtlvWriter();
      const write = (left: number): void => writer.structure(0x420020, () => left > 1 && write(left - 1));
      write(depth);
      return writer.bytes;
    };
    expect(() => decodeItem(nested(DEPTH_MAX))).not.toThrow();
    expect(() => decodeItem(nested(DEPTH_MAX + 1))).toThrow("nested deeper");
    expect(() => decodeItem(nested(8_000))).toThrow("nested deeper");
  });

  test("more items than the bound, after exactly as many steps", () => {
    const writer = new TtlvWriter();
    writer.structure(0x420020, () => {
      for (let count = 0; count < 8_000; count++) writer.structure(0x420021, () => undefined);
    });
    const budget = { left: ITEMS_MAX };
    expect(() => decodeItem(writer.bytes, budget)).toThrow("more than");
    expect(budget.left).toBe(-1);
  });
});

describe("whatever the bytes", () => {
  const leaf = fc
    .record({
      tag: fc.integer({ min: 0x420000, max: 0x4201ff }),
      type: fc.constantFrom(2, 5, 6, 7, 8),
      text: fc.string({ maxLength: 20 }),
    })
    .map(({ tag, type, text }): Item => {
      const values: Record<number, Uint8Array> = {
        2: hex("00000007"),
        5: hex("fffffffe"),
        6: hex("0000000000000001"),
      };
      return { tag, type: type as Item["type"], value: values[type] ?? Buffer.from(text), items: [] };
    });
  const structureOf = (inner: fc.Arbitrary<Item>): fc.Arbitrary<Item> =>
    fc.array(fc.oneof(inner, leaf), { maxLength: 5 }).map((items) => ({
      tag: 0x420078,
      type: TYPE.structure,
      value: new Uint8Array(0),
      items,
    }));
  const anyItem = structureOf(structureOf(structureOf(leaf))).map(encode);

  test("what is read gives the same bytes when it is written again", () => {
    fc.assert(
      fc.property(anyItem, (bytes) => {
        expect(Buffer.from(encode(decodeItem(bytes)))).toEqual(Buffer.from(bytes));
      }),
    );
  });

  test("a changed message is refused, or read as just what it says; in as many steps as it can have items", () => {
    fc.assert(
      fc.property(anyItem, fc.nat(), fc.integer({ min: 1, max: 255 }), (bytes, place, change) => {
        const changed = Buffer.from(bytes);
        changed[place % changed.length]! ^= change;
        const budget = { left: ITEMS_MAX };
        try {
          expect(Buffer.from(encode(decodeItem(changed, budget)))).toEqual(changed);
        } catch (error) {
          expect(error).toBeInstanceOf(TtlvError);
        }
        expect(ITEMS_MAX - budget.left).toBeLessThanOrEqual(changed.length / 8);
      }),
      { numRuns: 5_000 },
    );
  });
});
