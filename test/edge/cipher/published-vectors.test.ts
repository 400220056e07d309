import { expect, test } from "bun:test";
import { hkdfSha256 } from "../../../src/edge/cipher/key-derivation.ts";

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"));
const hex = (value: Uint8Array | undefined): string | null =>
  value === undefined ? null : Buffer.from(value).toString("hex");

/** RFC 5869, appendix A.1 to A.3: the SHA-256 cases. */
const RFC_5869 = [
  {
    inputKey: "0b".repeat(22),
    salt: "000102030405060708090a0b0c",
    info: "f0f1f2f3f4f5f6f7f8f9",
    output: "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
  },
  {
    inputKey: hexRange(0x00, 0x4f),
    salt: hexRange(0x60, 0xaf),
    info: hexRange(0xb0, 0xff),
    output:
      "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
  },
  {
    inputKey: "0b".repeat(22),
    salt: "",
    info: "",
    output: "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
  },
];

for (const [index, vector] of RFC_5869.entries()) {
  test(`HKDF-SHA-256 derives as RFC 5869 has it (A.${index + 1})`, () => {
    const { inputKey, salt, info, output } = vector;
    expect(hex(hkdfSha256(bytes(inputKey), bytes(salt), bytes(info), output.length / 2))).toBe(output);
  });
}

function hexRange(first: number, last: number): string {
  return Buffer.from(Array.from({ length: last - first + 1 }, (_, index) => first + index)).toString("hex");
}
