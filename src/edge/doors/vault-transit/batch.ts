/** `batch_input`: each item judged by itself, in order, its `reference` given back. */
import { toBase64 } from "../../../base/base64.ts";
import { OperationError } from "../../../base/errors.ts";
import { writeJsonList } from "../../../base/json/write-list.ts";
import { mapInTurns } from "../../../base/time/run-in-turns.ts";
import { yieldToEventLoop } from "../../../base/time/turns.ts";
import { wipe } from "../../../base/wipe.ts";
import { suiteOf } from "../../cipher/blob-header.ts";
import { listResults } from "../../operations/list-results.ts";
import type {
  EncryptedValue,
  EncryptValueRequest,
  MaybePromise,
  Opened,
  OpenRequest,
  Rewrapped,
} from "../../operations/operations.ts";
import { after, usingSecrets } from "../after.ts";
import { isJsonObject, type JsonObject } from "../json-body.ts";
import { around, errorText, invalid, isTemporary, requestIdOf } from "./answers.ts";
import {
  readCiphertext,
  readContext,
  readPlaintext,
  readVersion,
  refuseUnserved,
  writeCiphertext,
} from "./ciphertext.ts";
import { demandActive, isOfKey, otherKey, type TransitCall } from "./transit.ts";

/** Items of a batch. */
export const BATCH_MAX = 10_000;

export interface BatchAnswer {
  /** The whole body. */
  readonly body: Uint8Array;
  /** 200, or what a batch with failures is answered with. */
  readonly status: number;
}

/** The items, where the request is a batch. @throws {OperationError} */
export function batchOf(body: JsonObject): readonly unknown[] | undefined {
  const items = body.batch_input;
  if (items === undefined || items === null) return undefined;
  if (!Array.isArray(items)) throw invalid("batch_input is a list");
  if (items.length === 0) throw invalid("missing batch input to process");
  partialStatusOf(body);
  if (items.length > BATCH_MAX) throw invalid(`batch_input has more than ${BATCH_MAX} items: split it`);
  return items;
}

export function encryptBatch(call: TransitCall, items: readonly unknown[]): MaybePromise<BatchAnswer> {
  const { operations, caller, key } = call;
  const read = (item: unknown): EncryptValueRequest | OperationError =>
    attempt(() => {
      const body = itemOf(item);
      return { tenant: key.tenant, service: key.service, value: readPlaintext(body), context: readContext(body) };
    });
  return after(mapInTurns(items, read, lengthOf), (requests) => {
    const values = requests.flatMap((request) => (request instanceof OperationError ? [] : [request.value]));
    return usingSecrets(values, () =>
      after(demandVersions(call, items), () =>
        after(
          runValid(requests, (valid) =>
            listResults<EncryptedValue>((take) => operations.encryptValues(caller, valid, take)),
          ),
          (results) => writeBatch(call, items, results, writeWrapped),
        ),
      ),
    );
  });
}

export function rewrapBatch(call: TransitCall, items: readonly unknown[]): MaybePromise<BatchAnswer> {
  return after(
    after(demandVersions(call, items), () => readBlobs(call, items)),
    (requests) =>
      after(
        runValid(requests, (valid) =>
          listResults<Rewrapped>((take) => call.operations.rewrapMany(call.caller, valid, take)),
        ),
        (results) => writeBatch(call, items, results, writeWrapped),
      ),
  );
}

export function decryptBatch(call: TransitCall, items: readonly unknown[]): MaybePromise<BatchAnswer> {
  return after(readBlobs(call, items), (requests) =>
    after(
      runValid(requests, (valid) => openMany(call, valid)),
      (results) =>
        writeBatch(call, items, results, ({ plaintext }) => {
          const text = `"plaintext":"${toBase64(plaintext)}"`;
          wipe(plaintext);
          return text;
        }),
    ),
  );
}

/** Blobs of both suites: each suite has an operation of its own. */
function openMany(
  { operations, caller }: TransitCall,
  requests: readonly OpenRequest[],
): MaybePromise<(Opened | OperationError)[]> {
  const isKey = ({ wrapped }: OpenRequest): boolean => suiteOf(wrapped) === 1;
  const keys = requests.filter(isKey);
  const openKeys = (some: readonly OpenRequest[]) =>
    listResults<Opened>((take) => operations.decryptKeys(caller, some, take));
  const openValues = (some: readonly OpenRequest[]) =>
    listResults<Opened>((take) => operations.decryptValues(caller, some, take));
  if (keys.length === 0) return openValues(requests);
  if (keys.length === requests.length) return openKeys(requests);
  const values = requests.filter((request) => !isKey(request));
  return after(openKeys(keys), (openedKeys) =>
    after(openValues(values), (openedValues) => {
      let [nextKey, nextValue] = [0, 0];
      return requests.map((request) => (isKey(request) ? openedKeys[nextKey++]! : openedValues[nextValue++]!));
    }),
  );
}

/** The blobs of the items. Where one is of another key, the caller must be someone who may use the path's key at all. */
function readBlobs(call: TransitCall, items: readonly unknown[]): MaybePromise<(OpenRequest | OperationError)[]> {
  let others = false;
  const read = (item: unknown): OpenRequest | OperationError =>
    attempt(() => {
      const body = itemOf(item);
      const wrapped = readCiphertext(body.ciphertext);
      if (!isOfKey(call.key, wrapped)) {
        others = true;
        throw otherKey();
      }
      return { wrapped, context: readContext(body) };
    });
  return after(mapInTurns(items, read, lengthOf), (requests) =>
    others ? after(call.operations.describeKey(call.caller, call.key), () => requests) : requests,
  );
}

/** Of what has to be decoded of an item. */
function lengthOf(item: unknown): number {
  if (!isJsonObject(item)) return 0;
  const { plaintext, ciphertext, context, associated_data: associated } = item;
  let length = 0;
  for (const text of [plaintext, ciphertext, context, associated]) if (typeof text === "string") length += text.length;
  return length;
}

function itemOf(item: unknown): JsonObject {
  if (!isJsonObject(item)) throw invalid("an item of batch_input is no object");
  refuseUnserved(item);
  return item;
}

/** Items may ask for the active version by its number. */
function demandVersions(call: TransitCall, items: readonly unknown[]): MaybePromise<void> {
  let demanded = 0;
  for (const item of items) {
    const version = isJsonObject(item) ? readVersion(item.key_version) : 0;
    if (version === 0) continue;
    if (demanded !== 0 && demanded !== version) throw invalid("the items ask for different versions of the key");
    demanded = version;
  }
  return demanded === 0 ? undefined : demandActive(call, demanded);
}

/** Runs those that can be read; the others keep their place and their error. */
function runValid<Request extends object, Result>(
  requests: readonly (Request | OperationError)[],
  run: (valid: readonly Request[]) => MaybePromise<(Result | OperationError)[]>,
): MaybePromise<(Result | OperationError)[]> {
  const valid = requests.filter((request): request is Request => !(request instanceof OperationError));
  if (valid.length === requests.length) return run(valid);
  if (valid.length === 0) return requests as OperationError[];
  return after(run(valid), (results) => {
    let next = 0;
    return requests.map((request) => (request instanceof OperationError ? request : results[next++]!));
  });
}

function attempt<T>(read: () => T): T | OperationError {
  try {
    return read();
  } catch (error) {
    if (error instanceof OperationError) return error;
    throw error;
  }
}

function writeWrapped({ wrapped, version }: { readonly wrapped: Uint8Array; readonly version: number }): string {
  return `"ciphertext":"${writeCiphertext(wrapped, version)}","key_version":${version}`;
}

function writeBatch<Result extends object>(
  { body, caller }: TransitCall,
  items: readonly unknown[],
  results: readonly (Result | OperationError)[],
  write: (result: Result) => string,
): MaybePromise<BatchAnswer> {
  const partial = partialStatusOf(body);
  const failures = results.filter((result) => result instanceof OperationError);
  const isPartial = partial !== undefined && failures.length < results.length;
  // Asking again can help: then it is no verdict about the items.
  const temporary = failures.find(isTemporary);
  if (temporary !== undefined && !isPartial) throw temporary;
  const writeOne = (result: Result | OperationError, index: number): string => {
    const text = result instanceof OperationError ? `"error":${JSON.stringify(errorText(result))}` : write(result);
    const reference = (items[index] as JsonObject | null)?.reference;
    return typeof reference === "string" && reference !== ""
      ? `{${text},"reference":${JSON.stringify(reference)}}`
      : `{${text}}`;
  };
  const status = failures.length === 0 ? 200 : isPartial ? partial : 400;
  const written = writeJsonList("batch_results", results, writeOne, yieldToEventLoop, around(requestIdOf(caller)));
  return after(written, (text) => ({ body: text, status }));
}

/** What a batch that succeeded in part is answered with, where its caller says so. */
function partialStatusOf({ partial_failure_response_code: code }: JsonObject): number | undefined {
  if (code === undefined || code === null || code === 0) return undefined;
  const status = typeof code === "string" && /^\d{3}$/.test(code) ? Number(code) : code;
  if (
    typeof status !== "number" ||
    !Number.isInteger(status) ||
    status < 200 ||
    status > 499 ||
    status === 204 ||
    status === 304
  ) {
    throw invalid("partial_failure_response_code is a status from 200 to 499");
  }
  return status;
}
