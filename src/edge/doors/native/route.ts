/**
 * What a row of the table of routes (routes.ts) says of its operation. Schemas and the forms in bytes are named here and not imported:
 * what checks and reads them is loaded with the app (check-body.ts), and an edge whose callers write the usual forms never needs it.
 */
import type { OperationError } from "../../../base/errors.ts";
import { type AnswerText, answerText } from "../../../base/network/http1/answer-text.ts";
import type { Caller, MaybePromise, Operations, ServiceKeyName, TakeResult } from "../../operations/operations.ts";
import type * as itemReader from "./item-reader.ts";
import type * as octetStream from "./octet-stream.ts";
import type * as schemas from "./schemas.ts";

/** The name of a body's, an item's or an answer's schema in schemas.ts. */
export type SchemaName = keyof typeof schemas.SCHEMAS;

/** What every operation has. */
interface Facts {
  readonly id: string;
  readonly path: string;
  readonly summary: string;
  readonly success: 200 | 201;
  /** Of a batch whose items are judged each by itself: of one item, and of its answer. */
  readonly body: SchemaName;
  readonly answer: SchemaName;
  /** Undefined: as is configured. */
  readonly bodyBytesMax: number | undefined;
  /** Whether it opens one blob, so that the blob's own errors are the call's. */
  readonly opens: boolean;
}

/** One operation on one key or value, in JSON. */
export interface SingleRoute extends Facts {
  readonly kind: "single";
  /** What a body asks for, in the forms that clients write; undefined for every other form, well-formed or not. May change the body. */
  readFast(body: Buffer): unknown;
  /** What a checked body asks for. @throws {OperationError} `invalid_blob`, `invalid_request` */
  read(body: unknown): unknown;
  /** From what is asked for to the answer's text: written where it goes out from, or, where it comes later, a string. */
  run(operations: Operations, caller: Caller, request: unknown): AnswerText | Promise<string>;
}

/** Many under one decision: create-batch. Its body is small, its answer is not. */
export interface ManyRoute extends Facts {
  readonly kind: "many";
}

type Bodies = typeof octetStream.BODIES;
type Answers = typeof octetStream.ANSWERS;
type RequestOf<Reader extends keyof Bodies> = Awaited<ReturnType<Bodies[Reader]>>[number];
type ResultOf<Writer extends keyof Answers> = Exclude<Parameters<Answers[Writer]>[0][number], OperationError>;

/** The operations on many, each judged by itself; those that take such requests and give such results. */
type BatchOperation = "decryptKeys" | "rewrapMany" | "encryptValues" | "decryptValues";
type OperationOn<Request, Result> = {
  [Name in BatchOperation]: Operations[Name] extends (
    caller: Caller,
    requests: readonly Request[],
    take: TakeResult<Result>,
  ) => MaybePromise<void>
    ? Name
    : never;
}[BatchOperation];

/** Many, each judged by itself. */
export interface ItemsRoute extends Facts {
  readonly kind: "items";
  /** Of the text of one item. */
  readonly itemBytesMax: number;
  /** What reads an item in the forms that clients write, by its name in item-reader.ts. */
  readonly readItem: keyof typeof itemReader.ITEM_READERS;
  /** What a checked item asks for. @throws {OperationError} `invalid_request` */
  read(item: unknown): unknown;
  /** What reads a body in bytes, by its name in octet-stream.ts. */
  readonly readBytes: keyof Bodies;
  readonly operation: BatchOperation;
  write(to: AnswerText, result: never, cacheSeconds: (name: ServiceKeyName) => number): void;
  readonly writeBytes: keyof Answers;
  /** How long those of an answer in bytes may be kept; undefined where it holds no plaintext. */
  keptBy(result: object): ServiceKeyName | undefined;
}

export type OperationRoute = SingleRoute | ManyRoute | ItemsRoute;

/** A route in JSON, from its own types. `keptBy`: whose rule says how long the plaintext may be kept; undefined where the answer holds none. */
export function single<Body, Request, Result>(
  facts: Omit<Facts, "opens"> & { readonly opens?: boolean },
  readFast: (body: Buffer) => Request | undefined,
  read: (body: Body) => Request,
  run: (operations: Operations, caller: Caller, request: Request) => MaybePromise<Result>,
  write: (to: AnswerText, result: Result, cacheSeconds: number) => void,
  keptBy: (result: Result, request: Request) => ServiceKeyName | undefined,
): SingleRoute {
  const finish = (operations: Operations, caller: Caller, request: Request, result: Result): AnswerText => {
    const name = keptBy(result, request);
    const cacheSeconds = name === undefined ? 0 : operations.cacheSeconds(caller, name);
    write(answerText.begin(), result, cacheSeconds);
    return answerText;
  };
  return {
    opens: false,
    ...facts,
    kind: "single",
    readFast,
    read: (body) => read(body as Body),
    run(operations, caller, asked) {
      const request = asked as Request;
      const result = run(operations, caller, request);
      return result instanceof Promise
        ? result.then((later) => finish(operations, caller, request, later).take())
        : finish(operations, caller, request, result);
    },
  };
}

/** A route in JSON and in bytes, from its own types. */
export function items<Item, Reader extends keyof Bodies, Writer extends keyof Answers>(
  facts: Omit<Facts, "bodyBytesMax" | "opens"> & { readonly itemBytesMax: number },
  parts: {
    readonly readItem: keyof typeof itemReader.ITEM_READERS;
    readonly read: (item: Item) => RequestOf<Reader>;
    readonly readBytes: Reader;
    readonly operation: OperationOn<RequestOf<Reader>, ResultOf<Writer>>;
    readonly write: (to: AnswerText, result: ResultOf<Writer>, cacheSeconds: (name: ServiceKeyName) => number) => void;
    readonly writeBytes: Writer;
    readonly keptBy?: (result: ResultOf<Writer>) => ServiceKeyName;
  },
): ItemsRoute {
  const { read, keptBy, operation, ...others } = parts;
  return {
    ...facts,
    ...others,
    operation: operation as BatchOperation,
    kind: "items",
    bodyBytesMax: undefined,
    opens: false,
    read: (item) => read(item as Item),
    keptBy: (result) => keptBy?.(result as ResultOf<Writer>),
  };
}
