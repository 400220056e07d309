/** One operation of the API over HTTP: from a body, in JSON or in bytes, to an answer. */
import { OperationError } from "../../../base/errors.ts";
import { JsonError, parseJson } from "../../../base/json/parse.ts";
import { readJsonList, readListStart } from "../../../base/json/read-list.ts";
import { runInTurns } from "../../../base/time/run-in-turns.ts";
import { turnFor, yieldToEventLoop } from "../../../base/time/turns.ts";
import { BATCH_MAX } from "../../operations/kinds.ts";
import { listResults } from "../../operations/list-results.ts";
import type {
  Caller,
  CreateKeyRequest,
  MaybePromise,
  Operations,
  ServiceKeyName,
  TakeKey,
  TakeResult,
} from "../../operations/operations.ts";
import type { DoorAnswer, DoorRequest, DoorRequestHead } from "../door.ts";
import { writeCreated } from "./answers.ts";
import { BatchText, writeItsProblem } from "./batch-text.ts";
import { checkBody, readItem } from "./check-body.ts";
import { endOfItem, ITEM_READERS } from "./item-reader.ts";
import { ANSWERS, BODIES, CreatedKeysWriter, OCTET_STREAM, readCreateBatch } from "./octet-stream.ts";
import type { ItemsRoute, ManyRoute, OperationRoute } from "./route.ts";
import type { CreateBatchBody } from "./schemas.ts";
import { answered, JSON_HEADERS, JSON_TYPE } from "./serve-fast.ts";

/** What an answer takes for each key, value or blob, beside their own bytes: for the caller's share. */
const ANSWER_BYTES_EACH = 480;
/** Keys of a batch for which one look at how long they may be kept is enough: a tenth of a millisecond. */
const KEYS_KEPT_ALIKE = 256;
/** Keys that are made in a slice of a turn of the event loop. */
const SLICE_KEYS = 500;
/** What is read of a body in one. */
const SLICE_BODY_BYTES = 32_768;

/** Whatever body came. @throws {OperationError} or rejects with it */
export function serveOperation(
  route: OperationRoute,
  operations: Operations,
  request: DoorRequest,
  caller: Caller,
): MaybePromise<DoorAnswer> {
  const type = contentTypeOf(request);
  if (type === OCTET_STREAM && route.kind !== "single") return serveBytes(route, operations, request, caller);
  if (type !== JSON_TYPE) throw unsupported(route);
  switch (route.kind) {
    case "single": {
      const body = parse(request.body);
      checkBody(route, body);
      const text = route.run(operations, caller, route.read(body));
      // It is not sent at once.
      return text instanceof Promise ? text.then((later) => answered(route, later)) : answered(route, text.take());
    }
    case "many":
      return createMany(route, operations, request, caller);
    case "items":
      return serveItems(route, operations, request, caller);
  }
}

async function createMany(
  route: ManyRoute,
  operations: Operations,
  request: DoorRequest,
  caller: Caller,
): Promise<DoorAnswer> {
  const body = parse(request.body);
  checkBody(route, body);
  const { count, tenant, service = "default", context, length, plaintext } = body as CreateBatchBody;
  reserve(request, count * ANSWER_BYTES_EACH);
  await turnFor(partOfKeys(count));
  const text = new BatchText("keys", count);
  let cacheSeconds = 0;
  const take: TakeKey = (wrapped, key, version) => {
    if (key !== undefined && text.written % KEYS_KEPT_ALIKE === 0) {
      cacheSeconds = operations.cacheSeconds(caller, { tenant, service });
    }
    writeCreated(text.next(), { wrapped, version, plaintext: key }, cacheSeconds);
  };
  try {
    await operations.createKeys(caller, { tenant, service, context, length, plaintext, take }, count);
  } catch (error) {
    text.discard();
    throw error;
  }
  return { status: route.success, headers: JSON_HEADERS, body: await text.end(), lent: true };
}

/** What is wrong with a batch, whatever comes after the start of its body. */
export function mistakeAtStart(
  route: ItemsRoute,
  head: DoorRequestHead,
  start: Uint8Array,
): OperationError | undefined {
  if (contentTypeOf(head) !== JSON_TYPE) return undefined;
  try {
    readListStart(start, limitsOf(route), (item) => readItem(route, item, 0));
    return undefined;
  } catch (error) {
    const mistake = toldAsMistake(error);
    if (mistake instanceof OperationError) return mistake;
    throw mistake;
  }
}

const limitsOf = ({ itemBytesMax }: ItemsRoute) => ({ name: "items", itemsMax: BATCH_MAX, itemBytesMax });

async function serveItems(
  route: ItemsRoute,
  operations: Operations,
  request: DoorRequest,
  caller: Caller,
): Promise<DoorAnswer> {
  const readFast = ITEM_READERS[route.readItem];
  let requests: unknown[];
  await turnFor(partOfBody(request.body));
  try {
    requests = await readJsonList(
      request.body,
      limitsOf(route),
      {
        read: (item, index) => readItem(route, item, index),
        readFast: (bytes, start, end) => readFast(bytes as Buffer, start, end),
        end: endOfItem,
      },
      yieldToEventLoop,
    );
  } catch (error) {
    throw toldAsMistake(error);
  }
  if (requests.length === 0) throw invalid('"items" is empty: give one at least. /openapi.json has the schema.');
  reserve(request, request.body.length + requests.length * ANSWER_BYTES_EACH);
  const cacheSeconds = (name: ServiceKeyName): number => operations.cacheSeconds(caller, name);
  const text = new BatchText("results", requests.length);
  const take: TakeResult<object> = (result) => {
    if (result instanceof OperationError) writeItsProblem(text.next(), result);
    else route.write(text.next(), result as never, cacheSeconds);
  };
  try {
    await operations[route.operation](caller, requests as never, take);
  } catch (error) {
    text.discard();
    throw error;
  }
  return { status: route.success, headers: JSON_HEADERS, body: await text.end(), lent: true };
}

async function serveBytes(
  route: ManyRoute | ItemsRoute,
  operations: Operations,
  request: DoorRequest,
  caller: Caller,
): Promise<DoorAnswer> {
  const answer = (body: Buffer, cacheSeconds: number | undefined): DoorAnswer => ({
    status: route.success,
    headers: {
      "Content-Type": OCTET_STREAM,
      ...(cacheSeconds === undefined ? {} : { "Cache-Seconds": String(cacheSeconds) }),
    },
    body,
    lent: true,
  });
  if (route.kind === "many") {
    const { request: asked, count } = readCreateBatch(request.body);
    reserve(request, count * ANSWER_BYTES_EACH);
    await turnFor(partOfKeys(count));
    const writer = new CreatedKeysWriter(count);
    try {
      await operations.createKeys(caller, { ...asked, take: writer.take }, count);
    } catch (error) {
      writer.discard();
      throw error;
    }
    return answer(writer.bytes, keptFor(operations, caller, asked));
  }
  await turnFor(partOfBody(request.body));
  const requests = await BODIES[route.readBytes](request.body);
  reserve(request, request.body.length + requests.length * ANSWER_BYTES_EACH);
  const results = await listResults<object>((take) => operations[route.operation](caller, requests as never, take));
  let cacheSeconds: number | undefined;
  // Of many service keys, each may have to be decided anew.
  await runInTurns(results.length, (index) => {
    const result = results[index]!;
    const name = result instanceof OperationError || cacheSeconds === 0 ? undefined : route.keptBy(result);
    if (name !== undefined) {
      cacheSeconds = Math.min(cacheSeconds ?? Number.POSITIVE_INFINITY, operations.cacheSeconds(caller, name));
    }
    return 0;
  });
  return answer(await ANSWERS[route.writeBytes](results as never), cacheSeconds);
}

function keptFor(operations: Operations, caller: Caller, { plaintext, ...name }: CreateKeyRequest): number | undefined {
  return plaintext === true ? operations.cacheSeconds(caller, name) : undefined;
}

/** Of a slice of a turn of the event loop, which the first slice of a batch is too. */
const partOfKeys = (count: number): number => Math.min(1, count / SLICE_KEYS);
const partOfBody = ({ length }: Uint8Array): number => Math.min(1, length / SLICE_BODY_BYTES);

/** Work and memory of this size count against the caller before they are spent. */
function reserve(request: DoorRequest, bytes: number): void {
  const refused = request.reserve(bytes);
  if (refused !== undefined) throw refused;
}

/** The media type alone, where the charset is none other than UTF-8. */
function contentTypeOf({ headers }: DoorRequestHead): string | undefined {
  const header = headers.get("content-type");
  if (header === undefined || header === JSON_TYPE || header === OCTET_STREAM) return header;
  const [type = "", ...parameters] = header.toLowerCase().split(";");
  const isUtf8 = parameters.every((parameter) => {
    const [name = "", value = ""] = parameter.split("=");
    return name.trim() !== "charset" || /^"?utf-?8"?$/.test(value.trim());
  });
  return isUtf8 ? type.trim() : undefined;
}

function unsupported(route: OperationRoute): OperationError {
  const bytes = route.kind === "single" ? "" : `, or ${OCTET_STREAM} for a batch as bytes`;
  return new OperationError(
    "unsupported_media_type",
    `The body has no content-type that is taken here. Send JSON with content-type: ${JSON_TYPE}${bytes}.`,
  );
}

/** @throws {OperationError} `invalid_request` */
function parse(body: Uint8Array): unknown {
  try {
    return parseJson(body);
  } catch (error) {
    throw toldAsMistake(error);
  }
}

/** What reading a body threw: of what is no JSON the caller's error, anything else as it is. */
function toldAsMistake(error: unknown): unknown {
  return error instanceof JsonError ? invalid(`The body is not JSON that is taken here: ${error.message}.`) : error;
}

function invalid(sentence: string): OperationError {
  return new OperationError("invalid_request", sentence);
}
