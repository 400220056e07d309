/**
 * The one table of the API's routes. From it come the Elysia app, the way that a well-formed request takes, the OpenAPI document and
 * `Allow`; its bodies and answers (schemas.ts) are the types of the client, too. Schemas are named here and not imported: what checks them is loaded with the app (check-body.ts),
 * and an edge whose callers write the usual forms never needs it.
 */
import { fromBase64url } from "../../../base/base64url.ts";
import { CryptoEdgeError } from "../../../base/errors.ts";
import { type AnswerText, answerText } from "../../../base/network/http1/answer-text.ts";
import type {
  Caller,
  CreateKeyRequest,
  EncryptValueRequest,
  MaybePromise,
  OpenRequest,
  Operations,
  ServiceKeyName,
} from "../../operations/operations.ts";
import { writeCreated, writeDecrypted, writeDecryptedValue, writeEncrypted, writeRewrapped } from "./answers.ts";
import { readCreate, readEncrypt, readOpen } from "./body-reader.ts";
import * as bytes from "./octet-stream.ts";
import type * as schemas from "./schemas.ts";

/** The longest body of one operation on a key, and on a value, which may take a value in; a batch may be as long as is configured. */
const KEY_BODY_MAX = 65_536;
const VALUE_BODY_MAX = 131_072;

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
  /** What a checked body asks for. @throws {CryptoEdgeError} `invalid_blob`, `invalid_request` */
  read(body: unknown): unknown;
  /** From what is asked for to the answer's text: written where it goes out from, or, where it comes later, a string. */
  run(operations: Operations, caller: Caller, request: unknown): AnswerText | Promise<string>;
}

/** Many under one decision: create-batch. Its body is small, its answer is not. */
export interface ManyRoute extends Facts {
  readonly kind: "many";
}

/** Many, each judged by itself. */
export interface ItemsRoute extends Facts {
  readonly kind: "items";
  /** Of the text of one item. */
  readonly itemBytesMax: number;
  /** What a checked item asks for. @throws {CryptoEdgeError} `invalid_request` */
  read(item: unknown): unknown;
  readBytes(body: Uint8Array): Promise<unknown[]>;
  run(operations: Operations, caller: Caller, requests: never): MaybePromise<(object | CryptoEdgeError)[]>;
  write(to: AnswerText, result: never, cacheSeconds: (name: ServiceKeyName) => number): void;
  writeBytes(results: never): Uint8Array;
  /** How long those of an answer in bytes may be kept; undefined where it holds no plaintext. */
  keptBy(result: object): ServiceKeyName | undefined;
}

export type OperationRoute = SingleRoute | ManyRoute | ItemsRoute;

function single<Body, Request, Result>(
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

function items<Item, Request, Result extends object>(
  facts: Omit<Facts, "bodyBytesMax" | "opens"> & { readonly itemBytesMax: number },
  parts: {
    readonly read: (item: Item) => Request;
    readonly readBytes: (body: Uint8Array) => Promise<Request[]>;
    readonly run: (
      operations: Operations,
      caller: Caller,
      requests: readonly Request[],
    ) => MaybePromise<(Result | CryptoEdgeError)[]>;
    readonly write: (to: AnswerText, result: Result, cacheSeconds: (name: ServiceKeyName) => number) => void;
    readonly writeBytes: (results: readonly (Result | CryptoEdgeError)[]) => Uint8Array;
    readonly keptBy?: (result: Result) => ServiceKeyName;
  },
): ItemsRoute {
  const { read, keptBy, ...others } = parts;
  return {
    ...facts,
    ...others,
    kind: "items",
    bodyBytesMax: undefined,
    opens: false,
    read: (item) => read(item as Item),
    keptBy: (result) => keptBy?.(result as Result),
  };
}

const created = ({
  tenant,
  service = "default",
  context,
  length,
  plaintext,
}: schemas.CreateBody): CreateKeyRequest => ({
  tenant,
  service,
  context,
  length,
  plaintext,
});

function opening({ wrapped, context }: schemas.WrappedBody): OpenRequest {
  const read = fromBase64url(wrapped);
  if (read !== undefined) return { wrapped: read, context };
  throw new CryptoEdgeError(
    "invalid_blob",
    '"wrapped" is not base64url without padding. Pass it exactly as it was returned.',
  );
}

/** A text that is no base64url is that item's own error, like a malformed blob. */
const openingItem = ({ wrapped, context }: schemas.WrappedBody): OpenRequest => ({
  wrapped: fromBase64url(wrapped) ?? new Uint8Array(0),
  context,
});

function encrypting({ tenant, service = "default", value, context }: schemas.EncryptValueBody): EncryptValueRequest {
  const read = fromBase64url(value);
  if (read !== undefined) return { tenant, service, value: read, context };
  throw new CryptoEdgeError("invalid_request", '"value" is not base64url without padding.');
}

const ofResult = <Result extends ServiceKeyName>(result: Result): ServiceKeyName => result;
const ofNobody = (): undefined => undefined;

export const ROUTES = [
  single(
    {
      id: "createKey",
      path: "/v1/keys/create",
      summary: "Make a data key and wrap it",
      body: "CreateBody",
      success: 201,
      answer: "Created",
      bodyBytesMax: KEY_BODY_MAX,
    },
    readCreate,
    created,
    (operations, caller, request) => operations.createKey(caller, request),
    writeCreated,
    ({ plaintext }, request) => (plaintext === undefined ? undefined : request),
  ),
  single(
    {
      id: "decryptKey",
      path: "/v1/keys/decrypt",
      summary: "Open a wrapped key",
      body: "DecryptBody",
      success: 200,
      answer: "Decrypted",
      bodyBytesMax: KEY_BODY_MAX,
      opens: true,
    },
    readOpen,
    opening,
    (operations, caller, request) => operations.decryptKey(caller, request),
    writeDecrypted,
    ofResult,
  ),
  single(
    {
      id: "rewrapKey",
      path: "/v1/keys/rewrap",
      summary: "Wrap the same data key, or encrypt the same value, under the active version",
      body: "RewrapBody",
      success: 200,
      answer: "Rewrapped",
      bodyBytesMax: VALUE_BODY_MAX,
      opens: true,
    },
    readOpen,
    opening,
    (operations, caller, request) => operations.rewrap(caller, request),
    writeRewrapped,
    ofNobody,
  ),
  {
    kind: "many",
    id: "createKeys",
    path: "/v1/keys/create-batch",
    summary: "Make many data keys",
    body: "CreateBatchBody",
    success: 201,
    answer: "CreatedBatch",
    bodyBytesMax: KEY_BODY_MAX,
    opens: false,
  },
  items(
    {
      id: "decryptKeys",
      path: "/v1/keys/decrypt-batch",
      summary: "Open many wrapped keys",
      body: "DecryptBody",
      success: 200,
      answer: "Decrypted",
      itemBytesMax: KEY_BODY_MAX,
    },
    {
      read: openingItem,
      readBytes: bytes.readKeys,
      run: (operations, caller, requests) => operations.decryptKeys(caller, requests),
      write: (to, result, cacheSeconds) => writeDecrypted(to, result, cacheSeconds(result)),
      writeBytes: bytes.writeOpenedKeys,
      keptBy: ofResult,
    },
  ),
  items(
    {
      id: "rewrapKeys",
      path: "/v1/keys/rewrap-batch",
      summary: "Wrap many under the active versions",
      body: "RewrapBody",
      success: 200,
      answer: "Rewrapped",
      itemBytesMax: VALUE_BODY_MAX,
    },
    {
      read: openingItem,
      readBytes: bytes.readBlobs,
      run: (operations, caller, requests) => operations.rewrapMany(caller, requests),
      write: writeRewrapped,
      writeBytes: bytes.writeRewrappedMany,
    },
  ),
  single(
    {
      id: "encryptValue",
      path: "/v1/values/encrypt",
      summary: "Encrypt a value of the caller's",
      body: "EncryptValueBody",
      success: 201,
      answer: "EncryptedValue",
      bodyBytesMax: VALUE_BODY_MAX,
    },
    readEncrypt,
    encrypting,
    (operations, caller, request) => operations.encryptValue(caller, request),
    writeEncrypted,
    ofNobody,
  ),
  single(
    {
      id: "decryptValue",
      path: "/v1/values/decrypt",
      summary: "Open an encrypted value",
      body: "DecryptValueBody",
      success: 200,
      answer: "DecryptedValue",
      bodyBytesMax: VALUE_BODY_MAX,
      opens: true,
    },
    readOpen,
    opening,
    (operations, caller, request) => operations.decryptValue(caller, request),
    writeDecryptedValue,
    ofResult,
  ),
  items(
    {
      id: "encryptValues",
      path: "/v1/values/encrypt-batch",
      summary: "Encrypt many values",
      body: "EncryptValueBody",
      success: 201,
      answer: "EncryptedValue",
      itemBytesMax: VALUE_BODY_MAX,
    },
    {
      read: encrypting,
      readBytes: bytes.readValues,
      run: (operations, caller, requests) => operations.encryptValues(caller, requests),
      write: writeEncrypted,
      writeBytes: bytes.writeEncryptedValues,
    },
  ),
  items(
    {
      id: "decryptValues",
      path: "/v1/values/decrypt-batch",
      summary: "Open many encrypted values",
      body: "DecryptValueBody",
      success: 200,
      answer: "DecryptedValue",
      itemBytesMax: VALUE_BODY_MAX,
    },
    {
      read: openingItem,
      readBytes: bytes.readBlobs,
      run: (operations, caller, requests) => operations.decryptValues(caller, requests),
      write: (to, result, cacheSeconds) => writeDecryptedValue(to, result, cacheSeconds(result)),
      writeBytes: bytes.writeOpenedValues,
      keptBy: ofResult,
    },
  ),
] as const satisfies readonly OperationRoute[];

/** What is asked with GET. */
export interface LookRoute {
  readonly id: string;
  readonly path: string;
  readonly summary: string;
  readonly content: "json" | "text" | "events";
  /** `probe`: answered to anyone, counted in no share; `open`: to anyone; `caller`: to whoever is known. */
  readonly for: "probe" | "open" | "caller";
  /** Served where `status` is true alone. */
  readonly administration: boolean;
}

export const LOOKS = [
  {
    id: "livez",
    path: "/livez",
    summary: "Whether the process runs",
    content: "json",
    for: "probe",
    administration: false,
  },
  {
    id: "readyz",
    path: "/readyz",
    summary: "Whether the edge can serve",
    content: "json",
    for: "probe",
    administration: false,
  },
  {
    id: "status",
    path: "/v1/status",
    summary: "What the edge holds and how it is",
    content: "json",
    for: "open",
    administration: true,
  },
  {
    id: "metrics",
    path: "/metrics",
    summary: "Figures for Prometheus",
    content: "text",
    for: "open",
    administration: true,
  },
  {
    id: "openapi",
    path: "/openapi.json",
    summary: "This document",
    content: "json",
    for: "open",
    administration: false,
  },
  {
    id: "revocations",
    path: "/v1/revocations",
    summary: "Revocations of what this caller may use, as they come",
    content: "events",
    for: "caller",
    administration: false,
  },
] as const satisfies readonly LookRoute[];
