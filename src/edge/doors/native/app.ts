/**
 * The Elysia app that declares and serves every route of the API. One for all listeners of an edge: who calls, and what was read, comes with
 * the request.
 */
import { Elysia } from "elysia";
import type { Caller, Operations } from "../../operations/operations.ts";
import type { DoorAnswer, DoorRequest } from "../door.ts";
import { openApiDocument } from "./openapi.ts";
import { type RevocationFeed, revocationStream } from "./revocations.ts";
import { LOOKS, ROUTES } from "./routes.ts";
import { serveOperation } from "./serve.ts";

export interface AppParts {
  readonly operations: Operations;
  /** What a probe is told. */
  readonly readiness: () => { readonly ready: boolean };
  /** What `/v1/status` tells. */
  readonly status: () => unknown;
  /** The text of `/metrics`. */
  readonly metrics: () => Promise<string>;
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
export class NativeRequest extends Request {
  readonly call: NativeCall;

  constructor(call: NativeCall) {
    const { method, path, query } = call.request;
    super(`http://edge${path}${query === "" ? "" : `?${query}`}`, { method });
    this.call = call;
  }
}

export function createApp({ operations, readiness, status, metrics, revocations }: AppParts): Elysia {
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
  const looks: Record<(typeof LOOKS)[number]["id"], (call: NativeCall) => Response | Promise<Response>> = {
    livez: () => Response.json({ status: "live" }),
    readyz: () => {
      const told = readiness();
      return Response.json(told, { status: told.ready ? 200 : 503 });
    },
    status: async () => Response.json(await status()),
    metrics: async () => new Response(await metrics(), { headers: { "content-type": METRICS_TYPE } }),
    openapi: () => Response.json(document),
    revocations: ({ caller }) =>
      new Response(revocationStream(revocations, caller), {
        headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
      }),
  };
  for (const { id, path, summary } of LOOKS) {
    app.get(
      path,
      async ({ request }) => {
        const { call } = request as NativeRequest;
        try {
          return await looks[id](call);
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

export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";
