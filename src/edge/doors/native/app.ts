/**
 * The Elysia app that declares and serves every route of the API. One for all listeners of an edge: who calls, and what was read, comes with
 * the request.
 */
import { Elysia } from "elysia";
import type { Caller, Operations } from "../../operations/operations.ts";
import type { DoorAnswer, DoorRequest } from "../door.ts";
import { GET_ROUTES } from "./get-routes.ts";
import { INTROSPECTION, type IntrospectionParts } from "./introspection.ts";
import { openApiDocument } from "./openapi.ts";
import { type RevocationFeed, revocationStream } from "./revocations.ts";
import { ROUTES } from "./routes.ts";
import { serveOperation } from "./serve.ts";

export interface AppParts extends IntrospectionParts {
  readonly operations: Operations;
  readonly revocations: RevocationFeed;
}

/** What a request brings through the app. */
export interface NativeCall {
  readonly request: DoorRequest;
  readonly caller: Caller;
  /** What an operation answered: bytes and text that a `Response` would only copy. */
  answer: DoorAnswer | undefined;
  /** What it threw: errors are written in one place for both ways. */
  failure: { readonly error: unknown } | undefined;
}

/** A request without its body, which the listener has read. */
class NativeRequest extends Request {
  readonly call: NativeCall;

  constructor(call: NativeCall) {
    const { method, path, query } = call.request;
    super(`http://edge${path}${query === "" ? "" : `?${query}`}`, { method });
    this.call = call;
  }
}

export function createApp(parts: AppParts): Elysia {
  const { operations, revocations } = parts;
  const document = openApiDocument();
  const app = new Elysia({ normalize: false });
  for (const route of ROUTES) {
    app.post(
      route.path,
      async ({ request }) => {
        const { call } = request as NativeRequest;
        try {
          call.answer = await serveOperation(route, operations, call.request, call.caller);
        } catch (error) {
          call.failure = { error };
        }
        return new Response(null);
      },
      // The body was read by the listener; its schema is checked where it is parsed, once.
      { parse: "none", detail: { operationId: route.id, summary: route.summary } },
    );
  }
  const others: Readonly<Record<string, (call: NativeCall) => Response>> = {
    openapi: () => Response.json(document),
    revocations: ({ caller }) =>
      new Response(revocationStream(revocations, caller), {
        headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
      }),
  };
  for (const { id, path, summary } of GET_ROUTES) {
    app.get(
      path,
      async ({ request }) => {
        const { call } = request as NativeRequest;
        try {
          const light = INTROSPECTION[id];
          if (light === undefined) return others[id]!(call);
          call.answer = await light(parts, call.request);
          return new Response(null);
        } catch (error) {
          call.failure = { error };
          return new Response(null);
        }
      },
      { detail: { operationId: id, summary } },
    );
  }
  return app.compile() as unknown as Elysia;
}

/** Answers one request by the app. */
export async function answerByApp(app: Elysia, call: NativeCall): Promise<DoorAnswer> {
  const response = await app.handle(new NativeRequest(call));
  return call.answer ?? answerOf(response);
}

async function answerOf(response: Response): Promise<DoorAnswer> {
  const { status, body } = response;
  const headers: Record<string, string> = {};
  response.headers.forEach((value, name) => {
    headers[name.replace(/\b[a-z]/g, (letter) => letter.toUpperCase())] = value;
  });
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") === true;
  if (isStream && body !== null) return { status, headers, body };
  return { status, headers, body: new Uint8Array(await response.arrayBuffer()) };
}
