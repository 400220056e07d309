/** The API of KES, the part of it that needs no state (docs/door-kes.md): what MinIO asks of its key server. */
import { wipe } from "../../../base/wipe.ts";
import { parseBlob } from "../../cipher/blob.ts";
import type { Caller, MaybePromise, ServiceKeyName } from "../../operations/operations.ts";
import type { DoorAnswer, DoorContext, DoorFactory, DoorRequest, DoorRoute, HttpDoor } from "../door.ts";
import { answerError, answerJson, answerNothing, badRequest, KesError, notAllowed, notAuthentic } from "./answers.ts";
import type { KesConfiguration } from "./configuration.ts";
import { identify } from "./identity.ts";
import { describeKey, describeSelf, describeServer, listKeys } from "./information.ts";
import { KeyTable } from "./key-table.ts";
import { BODY_LENGTH_MAX, bytesOf, contextOf, readBody } from "./request-body.ts";

export const door: DoorFactory<KesConfiguration> = { create: createKesDoor };

type Handle = (request: DoorRequest, caller: Caller, name: string | undefined) => MaybePromise<DoorAnswer>;

/** KES says PUT, its clients send POST. */
const WRITE = ["PUT", "POST"];
/** The longest value of an operation (blob-format.md, suite 2). */
const PLAINTEXT_LENGTH_MAX = 65_536;

/** @throws {Error} for a section that can't work */
export function createKesDoor(section: KesConfiguration, context: DoorContext): HttpDoor {
  const { operations, log, readiness, version, now } = context;
  const keys = new KeyTable(section);
  const startedMs = now.monotonicMs();

  /** A route under `/v1/key/…/NAME`, or another; what its handler throws is answered in KES's words. */
  const route = (
    methods: readonly string[],
    path: string,
    handle: Handle,
    more: Partial<DoorRoute> = {},
  ): DoorRoute => ({
    methods,
    path,
    bodyBytesMax: 0,
    ...more,
    async handle(request, caller, { name }) {
      try {
        return await handle(request, caller, name);
      } catch (error) {
        const answer = answerError(error);
        if (answer.status === 500) log.error({ err: error }, "a KES request failed by a defect of the edge");
        return answer;
      }
    },
  });
  const withBody = { bodyBytesMax: BODY_LENGTH_MAX };
  const open = { open: true };

  const generate: Handle = async (request, caller, name) => {
    const { key } = keys.find(name);
    const made = await operations.createKey(caller, {
      ...key,
      plaintext: true,
      context: contextOf(await readBody(request)),
    });
    const plaintext = made.plaintext!;
    const answer = { plaintext: base64(plaintext), ciphertext: base64(made.wrapped) };
    wipe(plaintext);
    return answerJson(answer);
  };

  const encrypt: Handle = async (request, caller, name) => {
    const { key } = keys.find(name);
    const body = await readBody(request);
    const value = bytesOf(body, "plaintext");
    if (value.length < 1 || value.length > PLAINTEXT_LENGTH_MAX) {
      throw badRequest(`the plaintext must have 1 to ${PLAINTEXT_LENGTH_MAX} bytes`);
    }
    const { wrapped } = await operations.encryptValue(caller, { ...key, value, context: contextOf(body) });
    wipe(value);
    return answerJson({ ciphertext: base64(wrapped) });
  };

  const decrypt: Handle = async (request, caller, name) => {
    const { key } = keys.find(name);
    const body = await readBody(request);
    const wrapped = bytesOf(body, "ciphertext");
    if (!isUnder(key, wrapped)) throw notAuthentic();
    const { plaintext } = await operations.open(caller, { wrapped, context: contextOf(body) });
    const answer = { plaintext: base64(plaintext) };
    wipe(plaintext);
    return answerJson(answer);
  };

  const refused: Handle = () => {
    throw notAllowed();
  };

  return {
    name: "kes",
    transport: "http",
    routes: [
      route(["GET"], "/version", () => answerJson({ version }), open),
      route(["GET"], "/v1/ready", () => answerReady(readiness()), open),
      route(["GET"], "/v1/status", () => describeServer(context, startedMs)),
      route(["GET"], "/v1/identity/self/describe", describeSelf),
      route(WRITE, "/v1/key/generate/:name", generate, withBody),
      route(WRITE, "/v1/key/encrypt/:name", encrypt, withBody),
      route(WRITE, "/v1/key/decrypt/:name", decrypt, withBody),
      route(["GET"], "/v1/key/describe/:name", (_request, caller, name) => describeKey(keys, operations, caller, name)),
      route(["GET"], "/v1/key/list", (_request, caller) => listKeys(keys, operations, caller, "")),
      route(["GET"], "/v1/key/list/*name", (_request, caller, name) => listKeys(keys, operations, caller, name)),
      // These would need state: service keys are made, imported and revoked at the Core.
      route(WRITE, "/v1/key/create/:name", refused, withBody),
      route(WRITE, "/v1/key/import/:name", refused, withBody),
      route(["DELETE"], "/v1/key/delete/:name", refused, withBody),
      route(
        WRITE,
        "/v1/key/hmac/:name",
        () => {
          throw new KesError(501, "hmac is not supported");
        },
        withBody,
      ),
    ],
    identify: ({ connection }) => identify(connection),
    refuse: answerError,
  };
}

function answerReady({ ready, reason }: { readonly ready: boolean; readonly reason?: string }): DoorAnswer {
  if (ready) return answerNothing();
  throw new KesError(503, `not ready: ${reason ?? "no key can be had"}`);
}

/** A ciphertext belongs to the name in the path. One that can't be read is left to the operation, which records it. */
function isUnder(key: ServiceKeyName, wrapped: Uint8Array): boolean {
  try {
    const { tenant, service } = parseBlob(wrapped);
    return tenant === key.tenant && service === key.service;
  } catch {
    return true;
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}
