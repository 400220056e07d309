/**
 * The one table of the API's operations. From it come the Elysia app, the way that a well-formed request takes, the OpenAPI document and
 * `Allow`; its bodies and answers (schemas.ts) are the types of the client, too.
 */
import { fromBase64url } from "../../../base/base64url.ts";
import { OperationError } from "../../../base/errors.ts";
import type {
  CreateKeyRequest,
  EncryptValueRequest,
  OpenRequest,
  ServiceKeyName,
} from "../../operations/operations.ts";
import { writeCreated, writeDecrypted, writeDecryptedValue, writeEncrypted, writeRewrapped } from "./answers.ts";
import { readCreate, readEncrypt, readOpen } from "./body-reader.ts";
import { items, type OperationRoute, single } from "./route.ts";
import type * as schemas from "./schemas.ts";

/** The longest body of one operation on a key, and on a value, which may take a value in; a batch may be as long as is configured. */
const KEY_BODY_MAX = 65_536;
const VALUE_BODY_MAX = 131_072;

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
  throw new OperationError(
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
  throw new OperationError("invalid_request", '"value" is not base64url without padding.');
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
      readItem: "readOpenItem",
      read: openingItem,
      readBytes: "readKeys",
      operation: "decryptKeys",
      write: (to, result, cacheSeconds) => writeDecrypted(to, result, cacheSeconds(result)),
      writeBytes: "writeOpenedKeys",
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
      readItem: "readOpenItem",
      read: openingItem,
      readBytes: "readBlobs",
      operation: "rewrapMany",
      write: writeRewrapped,
      writeBytes: "writeRewrappedMany",
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
      readItem: "readEncryptItem",
      read: encrypting,
      readBytes: "readValues",
      operation: "encryptValues",
      write: writeEncrypted,
      writeBytes: "writeEncryptedValues",
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
      readItem: "readOpenItem",
      read: openingItem,
      readBytes: "readBlobs",
      operation: "decryptValues",
      write: (to, result, cacheSeconds) => writeDecryptedValue(to, result, cacheSeconds(result)),
      writeBytes: "writeOpenedValues",
      keptBy: ofResult,
    },
  ),
] as const satisfies readonly OperationRoute[];
