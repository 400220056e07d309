import { dump, type Piece } from "./process-memory.ts";

/** A key to look for. */
export interface Sought {
  readonly name: string;
  readonly key: Uint8Array;
}

/** A key found in memory: whole or but for a quarter, as it is or in one of the forms that programs and libraries give keys. */
export interface Found {
  readonly name: string;
  readonly form: string;
  readonly address: string;
  readonly mapping: string;
}

/** Searches all memory of a process for keys, in every form of `formsOf`. */
export function searchProcess(pid: number, sought: readonly Sought[]): Found[] {
  return searchPieces(dump(pid), sought);
}

/** The same in memory that was read before. */
export function searchPieces(pieces: Iterable<Piece>, sought: readonly Sought[]): Found[] {
  const needles = sought.flatMap(({ name, key }) => formsOf(key).map((form) => ({ name, ...form })));
  const search = searcher(needles);
  const found: Found[] = [];
  for (const { address, bytes, mapping } of pieces) {
    search(bytes, (needle, offset) => {
      const { name, form } = needle;
      const kind = mapping.path === "" ? "anonymous" : mapping.path;
      found.push({ name, form, address: (address + offset).toString(16), mapping: kind });
    });
  }
  return found;
}

interface Form {
  readonly form: string;
  readonly bytes: Uint8Array;
}

/**
 * The first three quarters of the key, and the last, so that a copy with an end overwritten is found too: as it is, as 32-bit words in the
 * other byte order and as an HMAC's inner and outer key (how hash functions hold it); and as hex, base64 and base64url at
 * each alignment, in strings of 8 and of 16 bits a character.
 */
export function formsOf(key: Uint8Array): Form[] {
  const quarter = key.length / 4;
  const parts = [
    ["start", key.subarray(0, 3 * quarter)],
    ["end", key.subarray(quarter)],
  ] as const;
  return parts.flatMap(([part, bytes]) => [
    { form: `${part}, binary`, bytes },
    { form: `${part}, binary, swapped words`, bytes: swapped(bytes) },
    { form: `${part}, HMAC inner key`, bytes: bytes.map((byte) => byte ^ 0x36) },
    { form: `${part}, HMAC outer key`, bytes: bytes.map((byte) => byte ^ 0x5c) },
    ...textsOf(bytes).flatMap(([encoding, text]) => [
      { form: `${part}, ${encoding}`, bytes: new Uint8Array(Buffer.from(text, "latin1")) },
      { form: `${part}, ${encoding}, UTF-16`, bytes: new Uint8Array(Buffer.from(text, "utf16le")) },
    ]),
  ]);
}

function textsOf(bytes: Uint8Array): [encoding: string, text: string][] {
  const hex = Buffer.from(bytes).toString("hex");
  const texts: [string, string][] = [
    ["hex", hex],
    ["HEX", hex.toUpperCase()],
  ];
  for (const encoding of ["base64", "base64url"] as const) {
    for (const before of [0, 1, 2]) {
      // What stands before and after in the same string changes the first and last characters: they are left out.
      const padded = Buffer.concat([Buffer.alloc(before), bytes]);
      const whole = Math.floor((padded.length * 8) / 6);
      const text = padded.toString(encoding).slice(Math.ceil((before * 8) / 6), whole);
      texts.push([`${encoding} at ${before}`, text]);
    }
  }
  return texts;
}

function swapped(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(bytes, (_, index) => bytes[index ^ 3]!);
}

/** Finds many needles in one pass: most places are dismissed by their first two bytes. */
function searcher<Needle extends { readonly bytes: Uint8Array }>(needles: readonly Needle[]) {
  const byStart = new Map<number, Needle[]>();
  const starts = new Uint8Array(65_536);
  for (const needle of needles) {
    const start = (needle.bytes[0]! << 8) | needle.bytes[1]!;
    starts[start] = 1;
    byStart.set(start, [...(byStart.get(start) ?? []), needle]);
  }
  return (bytes: Uint8Array, report: (needle: Needle, offset: number) => void): void => {
    let start = bytes[0]!;
    for (let index = 1; index < bytes.length; index++) {
      start = ((start << 8) | bytes[index]!) & 0xffff;
      if (starts[start] === 0) continue;
      for (const needle of byStart.get(start)!) {
        if (startsWith(bytes, index - 1, needle.bytes)) report(needle, index - 1);
      }
    }
  };
}

function startsWith(bytes: Uint8Array, offset: number, needle: Uint8Array): boolean {
  for (let index = 2; index < needle.length; index++) {
    if (bytes[offset + index] !== needle[index]) return false;
  }
  return true;
}
