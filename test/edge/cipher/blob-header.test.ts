/** What a blob says of itself, held against the published vectors. */
import { describe, expect, test } from "bun:test";
import { beginsAsBlob, isBlobOf, suiteOf, versionOf } from "../../../src/edge/cipher/blob-header.ts";
import dataKeys from "../../vectors/blob-v1.json" with { type: "json" };
import values from "../../vectors/blob-v1-suite-2.json" with { type: "json" };

describe.each([
  [1, dataKeys.open],
  [2, values.open],
] as const)("a blob of suite %d", (suite, vectors) => {
  test.each(vectors.map((vector) => [vector.name, vector] as const))(
    "tells its suite, version and names: %s",
    (_, vector) => {
      const blob = Buffer.from(vector.blob, "hex");
      const { tenant, service, version } = vector;
      expect([beginsAsBlob(blob), suiteOf(blob), versionOf(blob)]).toEqual([true, suite, version]);
      expect(isBlobOf(blob, { tenant, service })).toBe(true);
      expect(isBlobOf(blob, { tenant: `${tenant.slice(1)}x`, service })).toBe(false);
      expect(isBlobOf(blob, { tenant, service: `${service}x` })).toBe(false);
    },
  );
});

test("a version of four bytes is read whole, and other bytes do not begin as a blob", () => {
  const bytes = Buffer.from("4c3401018765432101610162", "hex");
  expect(versionOf(bytes)).toBe(0x8765_4321);
  expect(beginsAsBlob(bytes)).toBe(true);
  expect(beginsAsBlob(bytes.subarray(0, 11))).toBe(false);
  for (const at of [0, 1, 2]) {
    const other = Buffer.from(bytes);
    other[at]! ^= 1;
    expect(beginsAsBlob(other)).toBe(false);
  }
});
