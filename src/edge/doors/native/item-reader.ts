/** Reads the items of a batch as body-reader.ts reads a body: from their bytes, in the forms that clients' JSON writers give them. */
import type { EncryptValueRequest, OpenRequest } from "../../operations/operations.ts";
import { ENCRYPT, encryptRequest, OPEN, openRequest, readObjectAt } from "./body-reader.ts";
import { isWithinLimit, place } from "./json-cursor.ts";

/** An item that begins at `start` and ends before `end`. Undefined: of another form; else `endOfItem` says where it ends. */
type ReadItem<Request> = (body: Buffer, start: number, end: number) => Request | undefined;

const readOpenItem: ReadItem<OpenRequest> = (body, start, end) =>
  readObjectAt(body, start, end, OPEN, openRequest, isWithinLimit);
const readEncryptItem: ReadItem<EncryptValueRequest> = (body, start, end) =>
  readObjectAt(body, start, end, ENCRYPT, encryptRequest, isWithinLimit);

/** What a row of the table of routes names. */
export const ITEM_READERS = { readOpenItem, readEncryptItem };

/** Right after an item was read. */
export function endOfItem(): number {
  return place;
}
