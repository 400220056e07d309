/**
 * GHASH (NIST SP 800-38D, 6.4): sums of products in GF(2^128), in constant time.
 *
 * Neither JavaScript nor `node:crypto` has a carry-less product, and a table that is read at places which depend on the key
 * would tell its timing. So it is made of 64-bit integer products with holes: of each operand every fourth bit is taken
 * at a time, the three zeros between leave room for the carries, and a mask drops them. WebAssembly has that product, without a
 * branch or a look-up; the functions below write its instructions.
 */

type Code = readonly number[];

const get = (local: number): Code => [0x20, local];
const set = (local: number, value: Code): Code => [...value, 0x21, local];
const binary =
  (operation: number) =>
  (first: Code, ...others: readonly Code[]): Code => [...first, ...others.flatMap((other) => [...other, operation])];
const and = binary(0x83);
const or = binary(0x84);
const xor = binary(0x85);
const times = binary(0x7e);
const shiftLeft = (value: Code, bits: number): Code => [...value, ...constant(BigInt(bits)), 0x86];
const shiftRight = (value: Code, bits: number): Code => [...value, ...constant(BigInt(bits)), 0x88];
const load = (address: Code, offset: number): Code => [...address, 0x29, 0, offset];
const store = (address: Code, offset: number, value: Code): Code => [...address, ...value, 0x37, 0, offset];
const call = (callee: number, ...operands: readonly Code[]): Code => [...operands.flat(), 0x10, callee];

function constant(value: bigint): Code {
  const bytes: number[] = [0x42];
  let left = BigInt.asIntN(64, value);
  for (;;) {
    const low = Number(left & 0x7fn);
    left >>= 7n;
    if ((left === 0n && low < 64) || (left === -1n && low >= 64)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}

/** Swaps neighbouring groups of `bits` bits, those that `mask` selects with those above them. */
const swap = (local: number, bits: number, mask: bigint): Code =>
  set(local, or(shiftLeft(and(get(local), constant(mask)), bits), and(shiftRight(get(local), bits), constant(mask))));

const HOLES = [0x1111111111111111n, 0x2222222222222222n, 0x4444444444444444n, 0x8888888888888888n].map(constant);

/** The lower 64 bits of the carry-less product of two numbers. */
function lowProduct(): Code {
  const [x, y] = [2, 6];
  const split = HOLES.flatMap((hole, bit) => [...set(x + bit, and(get(0), hole)), ...set(y + bit, and(get(1), hole))]);
  const parts = HOLES.map((hole, bit) => {
    const [first, ...others] = [0, 1, 2, 3].map((i) => times(get(x + i), get(y + ((bit - i + 4) % 4))));
    return and(xor(first!, ...others), hole);
  });
  return [...split, ...or(parts[0]!, ...parts.slice(1))];
}

/** The bits of each byte in reverse. */
const reverseInBytes = (): Code => [
  ...swap(0, 1, 0x5555555555555555n),
  ...swap(0, 2, 0x3333333333333333n),
  ...swap(0, 4, 0x0f0f0f0f0f0f0f0fn),
  ...get(0),
];

const reverseBytes = (): Code => [
  ...swap(0, 8, 0x00ff00ff00ff00ffn),
  ...swap(0, 16, 0x0000ffff0000ffffn),
  ...swap(0, 32, 0x00000000ffffffffn),
  ...get(0),
];

const [LOW_PRODUCT, REVERSE_IN_BYTES, REVERSE_BYTES] = [0, 1, 2];
const reverse = (value: Code): Code => call(REVERSE_BYTES, call(REVERSE_IN_BYTES, value));

/** (from, to): a block as four numbers, so that `sum` needs not turn it each time: both halves, and both reversed. */
function prepare(): Code {
  const [from, to] = [get(0), get(1)];
  return [
    ...store(to, 0, call(REVERSE_BYTES, load(from, 8))),
    ...store(to, 8, call(REVERSE_BYTES, load(from, 0))),
    ...store(to, 16, call(REVERSE_IN_BYTES, load(from, 8))),
    ...store(to, 24, call(REVERSE_IN_BYTES, load(from, 0))),
  ];
}

/**
 * (blocks, factor, count, result): adds to `result` the sum of the products of `count` blocks, each with its factor as
 * prepared: the first block with the one at `factor`, each further block with the one before it.
 */
function sum(): Code {
  const [block, factor, count, result] = [0, 1, 2, 3];
  const [low, high, lowReversed, highReversed] = [4, 5, 6, 7];
  // Karatsuba's three products, and those of the reversed halves, which are their upper 64 bits: unreduced sums.
  const [z0, z1, z2, r0, r1, r2] = [8, 9, 10, 11, 12, 13];
  const add = (to: number, x: Code, y: Code): Code => set(to, xor(get(to), call(LOW_PRODUCT, x, y)));
  const both = (first: number, second: number): Code => xor(get(first), get(second));
  const factors = (first: number, second: number): Code => xor(load(get(factor), first), load(get(factor), second));
  const step = (local: number, by: number): Code => [...get(local), 0x41, by & 0x7f, 0x6a, 0x21, local];
  const loop: Code = [
    ...[0x03, 0x40],
    ...set(low, call(REVERSE_BYTES, load(get(block), 8))),
    ...set(high, call(REVERSE_BYTES, load(get(block), 0))),
    ...set(lowReversed, call(REVERSE_IN_BYTES, load(get(block), 8))),
    ...set(highReversed, call(REVERSE_IN_BYTES, load(get(block), 0))),
    ...add(z0, get(low), load(get(factor), 0)),
    ...add(z1, get(high), load(get(factor), 8)),
    ...add(z2, both(low, high), factors(0, 8)),
    ...add(r0, get(lowReversed), load(get(factor), 16)),
    ...add(r1, get(highReversed), load(get(factor), 24)),
    ...add(r2, both(lowReversed, highReversed), factors(16, 24)),
    ...step(block, 16),
    ...step(factor, -32),
    ...step(count, -1),
    ...[...get(count), 0x0d, 0, 0x0b],
  ];
  const upper = (...locals: readonly number[]): Code =>
    shiftRight(reverse(locals.map(get).reduce((first, other) => xor(first, other))), 1);
  const [v0, v1, v2, v3] = [low, high, lowReversed, highReversed];
  const carry = (local: number, below: number): Code =>
    set(local, or(shiftLeft(get(local), 1), shiftRight(get(below), 63)));
  // The field's polynomial, x^128 + x^7 + x^2 + x + 1, in GHASH's order of bits.
  const fold = (from: number, near: number, far: number): Code => [
    ...set(far, xor(get(far), get(from), shiftRight(get(from), 1), shiftRight(get(from), 2), shiftRight(get(from), 7))),
    ...set(near, xor(get(near), shiftLeft(get(from), 63), shiftLeft(get(from), 62), shiftLeft(get(from), 57))),
  ];
  const addTo = (offset: number, local: number): Code =>
    store(get(result), offset, xor(load(get(result), offset), call(REVERSE_BYTES, get(local))));
  return [
    ...loop,
    ...set(v0, get(z0)),
    ...set(v1, xor(upper(r0), get(z2), get(z0), get(z1))),
    ...set(v2, xor(get(z1), upper(r2, r0, r1))),
    ...set(v3, upper(r1)),
    ...carry(v3, v2),
    ...carry(v2, v1),
    ...carry(v1, v0),
    ...set(v0, shiftLeft(get(v0), 1)),
    ...fold(v0, v1, v2),
    ...fold(v1, v2, v3),
    ...addTo(0, v3),
    ...addTo(8, v2),
  ];
}

const [I32, I64] = [0x7f, 0x7e];

/** WebAssembly's binary format, version 1: types, functions, a memory, exports, code. Every length here is below 2^14. */
function assemble(memoryPages: number): Uint8Array<ArrayBuffer> {
  const length = (value: number): Code => (value < 128 ? [value] : [(value & 0x7f) | 0x80, value >> 7]);
  const vector = (items: readonly Code[]): Code => [...length(items.length), ...items.flat()];
  const section = (id: number, items: readonly Code[]): Code => {
    const body = vector(items);
    return [id, ...length(body.length), ...body];
  };
  const type = (operands: Code, results: Code): Code => [
    0x60,
    operands.length,
    ...operands,
    results.length,
    ...results,
  ];
  const body = (locals: number, code: Code): Code => {
    const bytes = [...(locals === 0 ? [0] : [1, locals, I64]), ...code, 0x0b];
    return [...length(bytes.length), ...bytes];
  };
  const name = (text: string): Code => [text.length, ...new TextEncoder().encode(text)];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [type([I64, I64], [I64]), type([I64], [I64]), type([I32, I32], []), type([I32, I32, I32, I32], [])]),
    ...section(3, [[0], [1], [1], [2], [3]]),
    ...section(5, [[0, ...length(memoryPages)]]),
    ...section(7, [
      [...name("memory"), 2, 0],
      [...name("prepare"), 0, 3],
      [...name("sum"), 0, 4],
    ]),
    ...section(10, [
      body(8, lowProduct()),
      body(0, reverseInBytes()),
      body(0, reverseBytes()),
      body(0, prepare()),
      body(10, sum()),
    ]),
  ]);
}

/** What the memory holds: a sum, the blocks to be added to it, and then the powers of hash keys, a slot for each key. */
const RESULT = 0;
const BLOCKS = 16;
const BLOCKS_AT_ONCE = 8;
const SLOTS = 256;
const POWER_LENGTH = 32;
/** Powers of the hash key that a slot holds. */
export const POWERS = 9;
const SLOT_LENGTH = POWERS * POWER_LENGTH;
const PAGE_LENGTH = 65_536;

type Prepare = (from: number, to: number) => void;
type Sum = (blocks: number, factor: number, count: number, result: number) => void;

/** GHASH for up to `slots` keys at a time, all in one memory. Not re-entrant: what one call leaves is for the next. */
export class Ghash {
  readonly #bytes: Uint8Array;
  readonly #prepare: Prepare;
  readonly #sum: Sum;
  /** The sum so far, to be read and set. */
  readonly result: Uint8Array;
  /** Where the caller puts up to eight blocks to be added. */
  readonly blocks: Uint8Array;

  constructor(slots: number) {
    const pages = Math.ceil((SLOTS + slots * SLOT_LENGTH) / PAGE_LENGTH);
    const { memory, prepare, sum } = new WebAssembly.Instance(new WebAssembly.Module(assemble(pages))).exports;
    this.#prepare = prepare as Prepare;
    this.#sum = sum as Sum;
    const { buffer } = memory as WebAssembly.Memory;
    this.#bytes = new Uint8Array(buffer);
    this.result = new Uint8Array(buffer, RESULT, 16);
    this.blocks = new Uint8Array(buffer, BLOCKS, 16 * BLOCKS_AT_ONCE);
  }

  /** Fills a slot with the powers of a hash key, from the first to the ninth. */
  enter(slot: number, hashKey: Uint8Array): void {
    this.result.set(hashKey);
    for (let power = 1; power <= POWERS; power++) {
      this.#prepare(RESULT, powerOf(slot, power));
      this.blocks.set(this.result);
      this.result.fill(0);
      this.#sum(BLOCKS, powerOf(slot, 1), 1, RESULT);
    }
    this.result.fill(0);
    this.blocks.fill(0);
  }

  /** Adds the first `count` of `blocks`: the first times the hash key to the power of `power`, the next one power less. */
  add(slot: number, power: number, count: number): void {
    this.#sum(BLOCKS, powerOf(slot, power), count, RESULT);
  }

  /** Sets the sum to the whole GHASH of `message`, zeros filling its last block. */
  digest(slot: number, message: Uint8Array): void {
    const { result, blocks } = this;
    result.fill(0);
    for (let offset = 0; offset < message.length; offset += blocks.length) {
      const part = message.subarray(offset, offset + blocks.length);
      blocks.fill(0);
      blocks.set(part);
      for (let index = 0; index < 16; index++) blocks[index]! ^= result[index]!;
      result.fill(0);
      const count = Math.ceil(part.length / 16);
      this.add(slot, count, count);
    }
  }

  wipe(slot: number): void {
    this.#bytes.fill(0, powerOf(slot, 1), powerOf(slot + 1, 1));
  }
}

function powerOf(slot: number, power: number): number {
  return SLOTS + slot * SLOT_LENGTH + (power - 1) * POWER_LENGTH;
}
