/**
 * The front door `vault-transit`: the Transit secrets engine of Vault and OpenBao (docs/door-vault-transit.md).
 *
 * @example
 * VAULT_ADDR=http://127.0.0.1:7402 VAULT_NAMESPACE=tenant-a vault write transit/datakey/plaintext/billing bits=256
 */
import { OperationError } from "../../../base/errors.ts";
import type { Caller, MaybePromise, Operations } from "../../operations/operations.ts";
import { after } from "../after.ts";
import type { DoorAnswer, DoorContext, DoorFactory, DoorIdentity, DoorRequest, DoorRoute, HttpDoor } from "../door.ts";
import { type JsonObject, readJsonBody, SHORT_BODY_BYTES_MAX } from "../json-body.ts";
import { envelope, invalid, json, requestIdOf, VaultError, writeVaultError } from "./answers.ts";
import { BATCH_MAX, type BatchAnswer, batchOf, decryptBatch, encryptBatch, rewrapBatch } from "./batch.ts";
import type { VaultTransitConfiguration } from "./configuration.ts";
import { denied, health, leader, loggedIn, lookupSelf, sealStatus } from "./system.ts";
import { readTarget, type Target, TransitKeys } from "./target.ts";
import { dataKey, decrypt, encrypt, ensureKey, readKey, rewrap, type TransitCall } from "./transit.ts";
import { isFromVaultClient, tokenOf } from "./who-calls.ts";

/** Vault's own limit, which listeners may have lower. */
const BODY_BYTES_MAX = 33_554_432;
const WRITES = ["POST", "PUT"];
const ALL_METHODS = ["GET", "LIST", "POST", "PUT", "PATCH", "DELETE"];
const EMPTY: JsonObject = {};
/** The longest value, in base64, and room for what is bound to it. */
const ITEM_BYTES_MAX = 262_144;
const READING = {
  limits: {
    list: { name: "batch_input", itemsMax: BATCH_MAX, itemBytesMax: ITEM_BYTES_MAX },
    membersMax: 64,
    stringBytesMax: ITEM_BYTES_MAX,
    valueBytesMax: 16_384,
  },
  notObject: (reason: string) => invalid(`failed to parse JSON input: ${reason}`),
};
/** What a certificate is answered with: it means nothing without the certificate. */
const CERTIFICATE_TOKEN = "crypto-edge.by-certificate";

type Handle = DoorRoute["handle"];

export const door: DoorFactory<VaultTransitConfiguration> = {
  create: (section, context) => createVaultTransitDoor(section, context),
};

function createVaultTransitDoor(section: VaultTransitConfiguration, context: DoorContext): HttpDoor {
  const { operations, log, now } = context;
  const keys = new TransitKeys(section);

  /** Answers whatever a handler throws in Vault's words. */
  function guarded(handle: Handle): Handle {
    return (request, caller, parameters) => {
      const failed = (error: unknown): DoorAnswer => {
        if (!(error instanceof OperationError)) {
          log.error({ err: error, request_id: requestIdOf(caller) }, "a Vault request failed by a defect");
        }
        return writeVaultError(error);
      };
      try {
        const answer = handle(request, caller, parameters);
        return answer instanceof Promise ? answer.catch(failed) : answer;
      } catch (error) {
        return failed(error);
      }
    };
  }

  const transit: Handle = (request, caller, parameters) => {
    refuseStrangers(request);
    const target = readTarget(parameters.rest ?? "", parameters.namespace, request.headers.get("x-vault-namespace"));
    if (target.name === "") return listKeys(request, caller, target);
    const isWrite = request.method === "POST" || request.method === "PUT";
    if (target.operation === "keys") {
      if (request.method !== "GET" && !isWrite) return denied();
    } else if (!isWrite) {
      throw new VaultError(405, "unsupported operation");
    }
    const key = keys.resolve(target);
    return after(isWrite ? bodyOf(request) : EMPTY, (body) =>
      run(target, { operations, caller, key, body }, request.method),
    );
  };

  const listKeys = (request: DoorRequest, caller: Caller, target: Target): MaybePromise<DoorAnswer> => {
    const isList =
      request.method === "LIST" || (request.method === "GET" && /(^|&)list=(true|1)(&|$)/.test(request.query));
    if (target.operation !== "keys" || !isList) throw new VaultError(405, "unsupported operation");
    return listNames(operations, keys, caller, target.namespace).then((names) =>
      envelope(requestIdOf(caller), JSON.stringify({ keys: names })),
    );
  };

  const lookup: Handle = (request, caller) => {
    refuseStrangers(request);
    return lookupSelf(request, caller.principal, requestIdOf(caller), now.wallMs());
  };

  /** Verified as each later request will be; `role` gives nothing. The token stays the caller's proof: none is made here. */
  const login: Handle = (request, caller) => {
    const { connection } = request;
    return after(bodyOf(request), ({ jwt }) => {
      if (typeof jwt !== "string" || jwt === "") return denied();
      const answer = (): DoorAnswer => loggedIn(jwt, requestIdOf(caller), now.wallMs());
      // The listener's own principal, or the certificate's, whatever the token says.
      if (connection.principal !== undefined) return answer();
      return connection.verifyToken === undefined ? denied() : after(connection.verifyToken(jwt), answer);
    });
  };

  const certificateLogin: Handle = ({ connection }, caller) =>
    connection.principal === undefined ? denied() : loggedIn(CERTIFICATE_TOKEN, requestIdOf(caller), now.wallMs());

  const routes: [methods: readonly string[], path: string, handle: Handle, options?: { open: true }][] = [
    [["GET"], "/v1/sys/health", (request) => health(request, context), { open: true }],
    [["GET"], "/v1/sys/seal-status", () => sealStatus(context), { open: true }],
    [["GET"], "/v1/sys/init", () => json(200, '{"initialized":true}'), { open: true }],
    [["GET"], "/v1/sys/leader", () => leader(), { open: true }],
    [["GET"], "/v1/auth/token/lookup-self", lookup],
    [WRITES, "/v1/auth/token/renew-self", () => writeVaultError(invalid("lease is not renewable"))],
    [WRITES, "/v1/auth/token/revoke-self", () => json(204, "")],
    [WRITES, "/v1/auth/cert/login", certificateLogin, { open: true }],
    // The methods jwt, oidc and kubernetes, wherever they are mounted.
    [WRITES, "/v1/auth/:mount/login", login, { open: true }],
    [ALL_METHODS, "/v1/auth/*rest", () => denied(), { open: true }],
    [ALL_METHODS, `/v1/${section.mount}/*rest`, transit],
    [ALL_METHODS, `/v1/:namespace/${section.mount}/*rest`, transit],
  ];

  return {
    name: "vault-transit",
    transport: "http",
    routes: routes.map(([methods, path, handle, options]) => ({
      methods,
      path,
      bodyBytesMax: handle === transit ? BODY_BYTES_MAX : SHORT_BODY_BYTES_MAX,
      handle: guarded(handle),
      ...options,
    })),
    identify(head): DoorIdentity {
      const token = tokenOf(head);
      return token === undefined ? { kind: "none" } : { kind: "token", token };
    },
    refuse: writeVaultError,
  };
}

/** What the caller's policies name literally, and what the table names and the caller may use: nothing that a pattern allows. */
async function listNames(
  operations: Operations,
  keys: TransitKeys,
  caller: Caller,
  namespace: string | undefined,
): Promise<string[]> {
  const tenant = keys.tenantOf(namespace);
  const names = new Set(tenant === undefined ? [] : operations.namedServices(caller, tenant));
  for (const [name, key] of keys.namesIn(namespace)) {
    try {
      await operations.describeKey(caller, key);
      names.add(name);
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
    }
  }
  return [...names].sort();
}

function run({ operation, variant, name }: Target, call: TransitCall, method: string): MaybePromise<DoorAnswer> {
  const requestId = requestIdOf(call.caller);
  const answer = (data: string): DoorAnswer => envelope(requestId, data);
  const finish = (data: MaybePromise<string>): MaybePromise<DoorAnswer> =>
    data instanceof Promise ? data.then(answer) : answer(data);
  if (operation === "datakey") return finish(dataKey(call, variant === "plaintext"));
  if (operation === "keys") {
    if (method === "GET") return finish(readKey(call, name));
    const warnings = JSON.stringify([`key ${name} already existed`]);
    const ensured = (data: string): DoorAnswer => envelope(requestId, data, { warnings });
    const made = ensureKey(call, name);
    return made instanceof Promise ? made.then(ensured) : ensured(made);
  }
  const items = batchOf(call.body);
  if (items === undefined) {
    return finish(operation === "encrypt" ? encrypt(call) : operation === "decrypt" ? decrypt(call) : rewrap(call));
  }
  const batch = operation === "encrypt" ? encryptBatch : operation === "decrypt" ? decryptBatch : rewrapBatch;
  const made = batch(call, items);
  const finishBatch = ({ body, status }: BatchAnswer): DoorAnswer => json(status, body);
  return made instanceof Promise ? made.then(finishBatch) : finishBatch(made);
}

/** Empty and `null` are what clients send who have nothing to say. */
function bodyOf({ body }: DoorRequest): MaybePromise<JsonObject> {
  if (body.length === 0) return EMPTY;
  if (body.length < 16 && Buffer.from(body).toString("latin1").trim() === "null") return EMPTY;
  return readJsonBody(body, READING);
}

function refuseStrangers(request: DoorRequest): void {
  if (!isFromVaultClient(request)) {
    throw new VaultError(403, "permission denied: send X-Vault-Token or X-Vault-Request: true, as Vault's clients do");
  }
  const wrapTtl = request.headers.get("x-vault-wrap-ttl");
  if (wrapTtl !== undefined && wrapTtl !== "" && wrapTtl !== "0") {
    throw invalid("response wrapping (X-Vault-Wrap-TTL) is not supported by this edge");
  }
}
