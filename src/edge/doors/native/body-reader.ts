/**
 * Reads the bodies of the native API from their bytes (json-cursor.ts): no text, no object beside the request itself. Whatever has another
 * form (an escape, a letter beyond ASCII, a member twice, a number with a point, a mistake) is not read here but by `JSON.parse` and the
 * schema, which say what is wrong; test/edge/doors/native/body-reader.test.ts holds the two to the same requests.
 */
import { isDataKeyLength } from "../../cipher/blob.ts";
import type { EncryptionContext } from "../../cipher/context.ts";
import type { CreateKeyRequest, DataKeyLength, EncryptValueRequest, OpenRequest } from "../../operations/operations.ts";
import {
  beginReading,
  CLOSE_BRACE,
  COLON,
  COMMA,
  decode,
  endOfBase64url,
  endReading,
  expect,
  isAtEnd,
  isMember,
  isNext,
  OPEN_BRACE,
  OTHER_FORM,
  readBase64url,
  readBoolean,
  readContext,
  readName,
  readUnsigned,
} from "./json-cursor.ts";

const SERVICE_DEFAULT = "default";

/** What the members of a body have given so far. */
let tenant: string | undefined;
let service: string | undefined;
let context: EncryptionContext | undefined;
let length: DataKeyLength | undefined;
let plaintext: boolean | undefined;
/** Where the base64url text of `wrapped` or `value` starts and ends. */
let dataStart = -1;
let dataEnd = -1;

/** The members of each body; each may come once. */
type Member = "tenant" | "service" | "context" | "length" | "plaintext" | "wrapped" | "value";
const CREATE: readonly Member[] = ["tenant", "service", "context", "length", "plaintext"];
export const OPEN: readonly Member[] = ["wrapped", "context"];
export const ENCRYPT: readonly Member[] = ["tenant", "service", "value", "context"];

/** Of `/v1/keys/create`. Undefined, here and below: of another form. */
export function readCreate(body: Buffer): CreateKeyRequest | undefined {
  return read(body, CREATE, createRequest);
}

/** Of the operations that open a blob. A long blob is a view of `body`, which it is decoded into. */
export function readOpen(body: Buffer): OpenRequest | undefined {
  return read(body, OPEN, openRequest);
}

/** Of `/v1/values/encrypt`. A long value is a view of `body`, which it is decoded into. */
export function readEncrypt(body: Buffer): EncryptValueRequest | undefined {
  return read(body, ENCRYPT, encryptRequest);
}

function createRequest(): CreateKeyRequest {
  if (tenant === undefined) throw OTHER_FORM;
  return { tenant, service: service ?? SERVICE_DEFAULT, context, length, plaintext };
}

export function openRequest(body: Buffer): OpenRequest {
  if (dataStart < 0) throw OTHER_FORM;
  return { wrapped: decode(body, dataStart, dataEnd), context };
}

export function encryptRequest(body: Buffer): EncryptValueRequest {
  if (dataStart < 0 || tenant === undefined) throw OTHER_FORM;
  const value = decode(body, dataStart, dataEnd);
  return { tenant, service: service ?? SERVICE_DEFAULT, value, context };
}

function read<Request>(body: Buffer, members: readonly Member[], make: (body: Buffer) => Request): Request | undefined {
  return readObjectAt(body, 0, body.length, members, make, isAtEnd);
}

/**
 * The object that begins at `start`, of the form that a request has. `isItsEnd` is asked behind it. `make` is called once all of it is
 * known to be of the form: until then nothing of it is changed.
 */
export function readObjectAt<Request>(
  body: Buffer,
  start: number,
  end: number,
  members: readonly Member[],
  make: (body: Buffer) => Request,
  isItsEnd: () => boolean,
): Request | undefined {
  beginReading(body, start, end);
  try {
    readObject(members);
    return isItsEnd() ? make(body) : undefined;
  } catch (error) {
    if (error === OTHER_FORM) return undefined;
    throw error;
  } finally {
    forget();
  }
}

/** A body may hold a value that a caller chose: nothing of it stays referred to. */
function forget(): void {
  endReading();
  tenant = service = context = undefined;
}

function readObject(members: readonly Member[]): void {
  tenant = service = context = length = plaintext = undefined;
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
    default:
      if (dataStart >= 0) throw OTHER_FORM;
      dataStart = readBase64url();
      dataEnd = endOfBase64url();
  }
}
