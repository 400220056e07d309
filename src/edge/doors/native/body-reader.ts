/**
 * Reads the bodies of the native API from their bytes, in the forms that clients' JSON writers give them: no text, no object beside
 * the request itself, and base64url decoded where it stands. Whatever has another form (an escape, a letter beyond ASCII, a member
 * twice, a number with a point, a mistake) is not read here but by `JSON.parse` and the schema, which say what is wrong;
 * test/edge/doors/native/body-reader.test.ts holds the two to the same requests.
 *
 * Nothing here waits, so one cursor serves every body.
 */
import { BLOB_LENGTH_MAX, isDataKeyLength } from "../../cipher/blob.ts";
import { CONTEXT_ENTRIES_MAX, type EncryptionContext } from "../../cipher/context.ts";
import { BATCH_MAX } from "../../operations/kinds.ts";
import type {
  CreateKeyRequest,
  DataKeyLength,
  EncryptValueRequest,
  OpenRequest,
  ServiceKeyName,
} from "../../operations/operations.ts";

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

const NAME_LENGTH_MAX = 128;
const SERVICE_DEFAULT = "default";
/** Of base64url, as the schema has it: the longest blob. */
const DATA_TEXT_MAX = Math.ceil((BLOB_LENGTH_MAX * 4) / 3);

/** Of each byte: 1 in a string as it stands, 2 also after the first of a name, 4 also its first. */
const IN_STRING = 1;
const IN_NAME = 2;
const FIRST_OF_NAME = 4;
const KIND = new Uint8Array(256);
/** Of each byte its six bits in base64url; 255: none. */
const SIX_BITS = new Uint8Array(256).fill(255);
for (let byte = 0x20; byte < 0x7f; byte++) if (byte !== QUOTE && byte !== 0x5c) KIND[byte] = IN_STRING;
for (const letter of "._:-") KIND[letter.charCodeAt(0)]! |= IN_NAME;
[..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"].forEach((letter, bits) => {
  const byte = letter.charCodeAt(0);
  SIX_BITS[byte] = bits;
  if (bits < 62) KIND[byte]! |= IN_NAME | FIRST_OF_NAME;
});

/** What is not of the forms read here. Thrown and caught inside, made once: it has no stack to show. */
const OTHER_FORM = new Error("another form");

const NOTHING = Buffer.alloc(0);
const OWN_BYTES_MAX = 1_000;
let bytes: Buffer = NOTHING;
let at = 0;

/** What the members of a body or item have given so far. */
let tenant: string | undefined;
let service: string | undefined;
let context: EncryptionContext | undefined;
let length: DataKeyLength | undefined;
let plaintext: boolean | undefined;
let count: number | undefined;
/** Where the base64url text of `wrapped` or `value` starts and ends. */
let dataStart = -1;
let dataEnd = -1;

/** The members of each body; each may come once. */
type Member = "tenant" | "service" | "context" | "length" | "plaintext" | "count" | "wrapped" | "value";
const CREATE: readonly Member[] = ["tenant", "service", "context", "length", "plaintext"];
const CREATE_BATCH: readonly Member[] = [...CREATE, "count"];
const OPEN: readonly Member[] = ["wrapped", "context"];
const ENCRYPT: readonly Member[] = ["tenant", "service", "value", "context"];

/** Of `/v1/keys/create`. Undefined, here and below: of another form. */
export function readCreate(body: Buffer): CreateKeyRequest | undefined {
  return read(body, CREATE, createRequest);
}

/** Of `/v1/keys/create-batch`. */
export function readCreateBatch(body: Buffer): { request: CreateKeyRequest; count: number } | undefined {
  return read(body, CREATE_BATCH, () => {
    if (count === undefined || count < 1 || count > BATCH_MAX) throw OTHER_FORM;
    return { request: createRequest(), count };
  });
}

/** Of the operations that open a blob. A long blob is a view of `body`, which it is decoded into. */
export function readOpen(body: Buffer): OpenRequest | undefined {
  return read(body, OPEN, openRequest);
}

/** Of `/v1/values/encrypt`. A long value is a view of `body`, which it is decoded into. */
export function readEncrypt(body: Buffer): EncryptValueRequest | undefined {
  return read(body, ENCRYPT, encryptRequest);
}

/** Of the batches of operations that open blobs. */
export function readOpenBatch(body: Buffer): OpenRequest[] | undefined {
  return readItems(body, OPEN, () => [dataStart, dataEnd, context] as const)?.map(([start, end, itsContext]) => ({
    wrapped: decode(body, start, end),
    context: itsContext,
  }));
}

/** Of `/v1/values/encrypt-batch`. */
export function readEncryptBatch(body: Buffer): EncryptValueRequest[] | undefined {
  return readItems(body, ENCRYPT, () => [dataStart, dataEnd, keyName(), context] as const)?.map(
    ([start, end, name, itsContext]) => ({ ...name, value: decode(body, start, end), context: itsContext }),
  );
}

function createRequest(): CreateKeyRequest {
  if (tenant === undefined) throw OTHER_FORM;
  return { tenant, service: service ?? SERVICE_DEFAULT, context, length, plaintext };
}

function openRequest(): OpenRequest {
  if (dataStart < 0) throw OTHER_FORM;
  return { wrapped: decode(bytes, dataStart, dataEnd), context };
}

function encryptRequest(): EncryptValueRequest {
  if (dataStart < 0 || tenant === undefined) throw OTHER_FORM;
  const value = decode(bytes, dataStart, dataEnd);
  return { tenant, service: service ?? SERVICE_DEFAULT, value, context };
}

function keyName(): ServiceKeyName {
  if (tenant === undefined) throw OTHER_FORM;
  return { tenant, service: service ?? SERVICE_DEFAULT };
}

/** `make` is called once all of the body is known to be of the form: until then nothing of it is changed. */
function read<Request>(body: Buffer, members: readonly Member[], make: () => Request): Request | undefined {
  bytes = body;
  at = 0;
  try {
    readObject(members);
    skipSpace();
    if (at !== body.length) return undefined;
    return make();
  } catch (error) {
    if (error === OTHER_FORM) return undefined;
    throw error;
  } finally {
    forget();
  }
}

function readItems<Item>(body: Buffer, members: readonly Member[], item: () => Item): Item[] | undefined {
  bytes = body;
  at = 0;
  try {
    expect(OPEN_BRACE);
    if (!isMember("items")) return undefined;
    expect(COLON);
    expect(OPEN_BRACKET);
    const items: Item[] = [];
    do {
      readObject(members);
      if (dataStart < 0 || items.length === BATCH_MAX) return undefined;
      items.push(item());
    } while (isNext(COMMA));
    expect(CLOSE_BRACKET);
    expect(CLOSE_BRACE);
    skipSpace();
    return at === body.length ? items : undefined;
  } catch (error) {
    if (error === OTHER_FORM) return undefined;
    throw error;
  } finally {
    forget();
  }
}

/** A body may hold a value that a caller chose: nothing of it stays referred to. */
function forget(): void {
  bytes = NOTHING;
  tenant = service = context = undefined;
}

function readObject(members: readonly Member[]): void {
  tenant = service = context = length = plaintext = count = undefined;
  dataStart = dataEnd = -1;
  expect(OPEN_BRACE);
  do {
    readMember(memberOf(members));
  } while (isNext(COMMA));
  expect(CLOSE_BRACE);
}

/** The member whose name comes, with the colon after it. */
function memberOf(members: readonly Member[]): Member {
  for (const member of members) {
    if (!isMember(member)) continue;
    expect(COLON);
    return member;
  }
  throw OTHER_FORM;
}

function isMember(name: string): boolean {
  skipSpace();
  const end = at + name.length + 1;
  if (bytes[at] !== QUOTE || bytes[end] !== QUOTE) return false;
  for (let index = 0; index < name.length; index++) {
    if (bytes[at + 1 + index] !== name.charCodeAt(index)) return false;
  }
  at = end + 1;
  return true;
}

function readMember(member: Member): void {
  switch (member) {
    case "tenant":
      if (tenant !== undefined) throw OTHER_FORM;
      tenant = readName();
      break;
    case "service":
      if (service !== undefined) throw OTHER_FORM;
      service = readName();
      break;
    case "context":
      if (context !== undefined) throw OTHER_FORM;
      context = readContext();
      break;
    case "length": {
      const read = readUnsigned();
      if (length !== undefined || !isDataKeyLength(read)) throw OTHER_FORM;
      length = read;
      break;
    }
    case "plaintext":
      if (plaintext !== undefined) throw OTHER_FORM;
      plaintext = readBoolean();
      break;
    case "count":
      if (count !== undefined) throw OTHER_FORM;
      count = readUnsigned();
      break;
    default:
      if (dataStart >= 0) throw OTHER_FORM;
      readBase64url();
  }
}

function readName(): string {
  const start = beginString();
  let end = start;
  if ((KIND[bytes[end]!]! & FIRST_OF_NAME) === 0) throw OTHER_FORM;
  while ((KIND[bytes[end]!]! & IN_NAME) !== 0) end++;
  if (bytes[end] !== QUOTE || end - start > NAME_LENGTH_MAX) throw OTHER_FORM;
  at = end + 1;
  return bytes.toString("latin1", start, end);
}

function readString(): string {
  const start = beginString();
  let end = start;
  while (KIND[bytes[end]!]! !== 0 && end < bytes.length) end++;
  if (bytes[end] !== QUOTE) throw OTHER_FORM;
  at = end + 1;
  return bytes.toString("latin1", start, end);
}

function readContext(): EncryptionContext {
  expect(OPEN_BRACE);
  const made: Record<string, string> = {};
  let entries = 0;
  if (isNext(CLOSE_BRACE)) return made;
  do {
    const key = readString();
    expect(COLON);
    if (key === "" || key === "__proto__" || Object.hasOwn(made, key) || ++entries > CONTEXT_ENTRIES_MAX) {
      throw OTHER_FORM;
    }
    made[key] = readString();
  } while (isNext(COMMA));
  expect(CLOSE_BRACE);
  return made;
}

/** Finds where the text stands, and that it is base64url as an encoder gives it: no padding, no bit left over. */
function readBase64url(): void {
  const start = beginString();
  let end = start;
  const limit = Math.min(bytes.length, start + DATA_TEXT_MAX);
  while (end < limit && SIX_BITS[bytes[end]!]! !== 255) end++;
  if (bytes[end] !== QUOTE) throw OTHER_FORM;
  const rest = (end - start) & 3;
  const last = end === start ? 0 : SIX_BITS[bytes[end - 1]!]!;
  if (rest === 1 || (rest === 2 && (last & 15) !== 0) || (rest === 3 && (last & 3) !== 0)) throw OTHER_FORM;
  dataStart = start;
  dataEnd = end;
  at = end + 1;
}

/** Digits without a leading zero, at most five of them. */
function readUnsigned(): number {
  skipSpace();
  let value = 0;
  const start = at;
  for (let byte = bytes[at]!; byte >= 0x30 && byte <= 0x39; byte = bytes[++at]!) value = value * 10 + byte - 0x30;
  if (at === start || at - start > 5 || bytes[start] === 0x30) throw OTHER_FORM;
  return value;
}

function readBoolean(): boolean {
  skipSpace();
  const word = bytes[at] === 0x74 ? "true" : "false";
  for (let index = 0; index < word.length; index++) {
    if (bytes[at + index] !== word.charCodeAt(index)) throw OTHER_FORM;
  }
  at += word.length;
  return word === "true";
}

/** Where a string's first byte stands. */
function beginString(): number {
  expect(QUOTE);
  return at;
}

function expect(byte: number): void {
  skipSpace();
  if (bytes[at] !== byte) throw OTHER_FORM;
  at++;
}

function isNext(byte: number): boolean {
  skipSpace();
  if (bytes[at] !== byte) return false;
  at++;
  return true;
}

function skipSpace(): void {
  for (let byte = bytes[at]; byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09; byte = bytes[at]) at++;
}

/**
 * Decodes base64url that was found to be well-formed: into bytes of its own where they are few, else over itself, since what it stands for
 * is shorter. A view of few bytes would cost more than they do (COPIED_MAX of base/network/http1/connection.ts).
 */
function decode(buffer: Buffer, start: number, end: number): Buffer {
  const length = Math.floor(((end - start) * 3) / 4);
  const isShort = length <= OWN_BYTES_MAX;
  const decoded = isShort ? Buffer.allocUnsafeSlow(length) : buffer;
  let to = isShort ? 0 : start;
  let from = start;
  for (; from + 4 <= end; from += 4) {
    const bits =
      (SIX_BITS[buffer[from]!]! << 18) |
      (SIX_BITS[buffer[from + 1]!]! << 12) |
      (SIX_BITS[buffer[from + 2]!]! << 6) |
      SIX_BITS[buffer[from + 3]!]!;
    decoded[to++] = bits >> 16;
    decoded[to++] = bits >> 8;
    decoded[to++] = bits;
  }
  if (end - from >= 2) {
    const bits =
      (SIX_BITS[buffer[from]!]! << 18) |
      (SIX_BITS[buffer[from + 1]!]! << 12) |
      (end - from === 3 ? SIX_BITS[buffer[from + 2]!]! << 6 : 0);
    decoded[to++] = bits >> 16;
    if (end - from === 3) decoded[to++] = bits >> 8;
  }
  return isShort ? decoded : buffer.subarray(start, to);
}
