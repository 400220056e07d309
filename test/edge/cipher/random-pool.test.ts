import { describe, expect, test } from "bun:test";
import { RandomPool } from "../../../src/edge/cipher/random-pool.ts";

/** A pool, and the memory that it draws ahead into. */
function poolOver() {
  const bytes = new Uint8Array(new ArrayBuffer(8192));
  const pool = new RandomPool(() => ({ bytes, close() {} }));
  return { pool, bytes };
}

const take = (pool: RandomPool, length: number): string => {
  const target = new Uint8Array(length);
  pool.take(target);
  return Buffer.from(target).toString("hex");
};

describe("the pool of random bytes", () => {
  test("gives each byte once, in the order that it drew them, and wipes it as it does", () => {
    const { pool, bytes } = poolOver();
    take(pool, 1);
    const drawn = Buffer.from(bytes.subarray(1, 4096));
    expect(drawn.some((byte) => byte !== 0)).toBe(true);
    let at = 0;
    for (const length of [32, 12, 4000, 51]) {
      expect(take(pool, length)).toBe(drawn.subarray(at, at + length).toString("hex"));
      at += length;
    }
    expect(at).toBe(4095);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    // Nothing is left: the next are drawn anew.
    expect(take(pool, 16)).not.toBe("00".repeat(16));
    expect(bytes.subarray(0, 16)).toEqual(new Uint8Array(16));
    expect(bytes.subarray(16, 4096).some((byte) => byte !== 0)).toBe(true);
    expect(bytes.subarray(4096)).toEqual(new Uint8Array(4096));
  });

  test("draws anew when fewer are left than are asked for, and gives what was left to nobody", () => {
    const { pool, bytes } = poolOver();
    take(pool, 4090);
    const left = Buffer.from(bytes.subarray(4090, 4096)).toString("hex");
    expect(take(pool, 16)).not.toContain(left);
    expect(Buffer.from(bytes.subarray(4090, 4096)).toString("hex")).not.toBe(left);
  });

  test("fills a part of a buffer, and leaves the rest as it is", () => {
    const { pool } = poolOver();
    for (const length of [4096, 5000]) {
      const target = new Uint8Array(length + 20);
      pool.take(target, 10, length);
      expect(target.subarray(0, 10)).toEqual(new Uint8Array(10));
      expect(target.subarray(-10)).toEqual(new Uint8Array(10));
      expect(target.subarray(10, 26)).not.toEqual(new Uint8Array(16));
      expect(target.subarray(-26, -10)).not.toEqual(new Uint8Array(16));
    }
    const target = new Uint8Array(40);
    pool.take(target, 8);
    expect(target.subarray(0, 8)).toEqual(new Uint8Array(8));
    expect(target.subarray(24)).not.toEqual(new Uint8Array(16));
  });

  test("takes what is longer than itself past itself", () => {
    const { pool, bytes } = poolOver();
    expect(take(pool, 4097)).not.toBe("00".repeat(4097));
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    take(pool, 4096);
    expect(bytes.every((byte) => byte === 0)).toBe(true);
  });
});
