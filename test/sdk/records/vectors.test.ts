/** docs/record-format.md, against test/vectors/record-v1.json, which an independent implementation made. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { createRecords, inspectRecord } from "../../../src/sdk/records/index.ts";
import { type StaticEdge, startStaticEdge, staticConfiguration } from "../../support/static-edge.ts";

interface Vector {
  readonly name: string;
  readonly l3: string;
  readonly key_context: Record<string, string>;
  readonly context: Record<string, string>;
  readonly value: string;
  readonly record: string;
  readonly code: string;
  readonly data_key: string;
}

interface Token {
  readonly field: string;
  readonly value: string;
  readonly bytes: number;
  readonly data_key: string;
  readonly token: string;
}

const vectors = JSON.parse(readFileSync(resolve(import.meta.dir, "../../vectors/record-v1.json"), "utf8")) as {
  open: Vector[];
  refuse: Vector[];
  tokens: Token[];
};
const NAME = { tenant: "tenant-a", service: "billing" };

let edge: StaticEdge;
beforeAll(async () => {
  edge = await startStaticEdge(
    staticConfiguration("", [{ ...NAME, version: 1, state: "active", key: vectors.open[0]!.l3 }]),
  );
});
afterAll(() => edge.close());

const recordsFor = (keyContext: Record<string, string>) => createRecords(edge.client, { ...NAME, keyContext });

test("there are vectors of each kind", () => {
  expect([vectors.open.length, vectors.refuse.length, vectors.tokens.length]).toEqual([4, 15, 5]);
});

describe("opens", () => {
  for (const { name, key_context, context, value, record } of vectors.open) {
    test(name, async () => {
      const bytes = Buffer.from(record, "hex");
      expect(Buffer.from(await recordsFor(key_context).open(bytes, context)).toString("hex")).toBe(value);
      const [one] = await recordsFor(key_context).openMany([{ record: bytes.toString("base64url"), context }]);
      expect(Buffer.from(one as Uint8Array).toString("hex")).toBe(value);
      expect(inspectRecord(bytes)).toMatchObject({ ...NAME, version: 1, valueLength: value.length / 2 });
    });
  }
});

describe("refuses", () => {
  for (const { name, key_context, context, record, code } of vectors.refuse) {
    test(name, async () => {
      const bytes = Buffer.from(record, "hex");
      await expect(recordsFor(key_context).open(bytes, context)).rejects.toMatchObject({ code });
      expect(await recordsFor(key_context).openMany([{ record: bytes, context }])).toMatchObject([{ code }]);
    });
  }
});

describe("gives tokens", () => {
  for (const { field, value, bytes, data_key, token } of vectors.tokens) {
    test(`${bytes} bytes of ${field}`, async () => {
      const record = vectors.open.find((vector) => vector.data_key === data_key)!.record;
      const { wrapped } = inspectRecord(Buffer.from(record, "hex"));
      const index = recordsFor({}).blindIndex(wrapped, { field, length: bytes });
      expect(Buffer.from(await index.token(value)).toString("hex")).toBe(token);
    });
  }
});
