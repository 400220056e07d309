/** The HTTP API: an Elysia app over the operations, one for each listener, since a listener knows who calls. */
import type { Static, TSchema } from "@sinclair/typebox";
import { TypeCompiler, type ValueError } from "@sinclair/typebox/compiler";
import { Elysia } from "elysia";
import { CryptoEdgeError } from "../../../base/errors.ts";
import { problem, responseOf, type WrittenAnswer, writeError, writeProblem } from "../../../base/network/problem.ts";
import { RequestTrace } from "../../../base/network/trace-context.ts";
import type { Principal } from "../../access/principal.ts";
import type { QuickHandler } from "../../listeners/listener.ts";
import type { Caller, MaybePromise, Operations } from "../../operations/operations.ts";
import { createApi } from "./api.ts";
import { hotPath, nativeCaller, pathOf } from "./hot-path.ts";
import {
  OCTET_STREAM,
  readCreateBatch,
  readDecryptBatch,
  writeCreateBatch,
  writeDecryptBatch,
} from "./octet-stream.ts";
import { openApiDocument } from "./openapi.ts";
import { CreateBatchBody, CreateBody, DecryptBatchBody, WrappedBody } from "./schemas.ts";
import { metricsResponse } from "./watch.ts";

/** What a probe asks: whether this edge can serve, and why not. */
export type Readiness = Readonly<{ ready: boolean }>;

export interface AppParts {
  readonly operations: Operations;
  /** Who sent a request. @throws {CryptoEdgeError} `unauthenticated` */
  readonly identify: (request: Request) => Principal;
  readonly readiness: () => Readiness;
  /** What `/v1/status` tells; undefined where it is not served, since it tells the names of tenants. */
  readonly status: (() => unknown) | undefined;
  /** The text of `/metrics`; undefined where it is not served. */
  readonly metrics: (() => Promise<string>) | undefined;
  /** Told of every request that was not answered as asked: an expected error, or a defect (anything else). */
  readonly onFailure: (error: unknown, trace: RequestTrace) => void;
}

export interface App {
  handle(request: Request): MaybePromise<Response>;
  /** The hot path for listeners without a `Request`; undefined: it must be made and handed to `handle`. */
  readonly quick: QuickHandler;
  /** The same answers without the hot path; a test compares the two. */
  handleGenerically(request: Request): MaybePromise<Response>;
}

export function createApp(parts: AppParts): App {
  const { operations } = parts;
  /** Requests made anew from one whose body has been read: a listener knows who sent that one. */
  const firsts = new WeakMap<Request, Request>();
  const identify = (request: Request): Principal => parts.identify(firsts.get(request) ?? request);
  const api = createApi(operations);
  const document = openApiDocument();
  const tellError = (error: unknown, trace: RequestTrace): WrittenAnswer => {
    parts.onFailure(error, trace);
    return writeError(error, trace);
  };
  const answerError = (error: unknown, trace: RequestTrace): Response => responseOf(tellError(error, trace));

  const app = new Elysia({ normalize: false })
    .onError(({ code, error, request }) => {
      const trace = new RequestTrace(request);
      if (error instanceof CryptoEdgeError) return answerError(error, trace);
      switch (code) {
        case "PARSE":
          return answerError(
            new CryptoEdgeError(
              "invalid_request",
              "The body is not JSON. Send JSON with content-type: application/json.",
            ),
            trace,
          );
        case "NOT_FOUND":
          return answerNotFound(request, trace);
        default:
          return answerError(error, trace);
      }
    })
    .get("/livez", () => ({ status: "live" }))
    .get("/readyz", () => {
      const readiness = parts.readiness();
      return Response.json(readiness, { status: readiness.ready ? 200 : 503 });
    })
    .get("/openapi.json", () => Response.json(document));

  const { status } = parts;
  if (status !== undefined) app.get("/v1/status", async () => Response.json(await status()));
  const { metrics } = parts;
  if (metrics !== undefined) app.get("/metrics", async () => metricsResponse(await metrics()));

  const post = <Schema extends TSchema>(
    path: string,
    schema: Schema,
    success: 200 | 201,
    run: (caller: Caller, body: Static<Schema>) => unknown,
  ): void => {
    // Checked here and not by the framework, whose own error for some bodies is a defect of its own.
    const check = TypeCompiler.Compile(schema);
    app.post(
      path,
      ({ body, request, set }) => {
        const trace = new RequestTrace(request);
        try {
          const principal = identify(request);
          if (!check.Check(body)) {
            throw new CryptoEdgeError("invalid_request", describeMistake(check.Errors(body).First()));
          }
          const answer = run(nativeCaller(principal, trace), body);
          const succeed = (value: unknown): unknown => {
            set.status = success;
            return value;
          };
          if (!(answer instanceof Promise)) return succeed(answer);
          return answer.then(succeed, (error: unknown) => answerError(error, trace));
        } catch (error) {
          return answerError(error, trace);
        }
      },
      { parse: "json" },
    );
  };
  post("/v1/keys/create", CreateBody, 201, api.create);
  post("/v1/keys/decrypt", WrappedBody, 200, api.decrypt);
  post("/v1/keys/rewrap", WrappedBody, 200, api.rewrap);
  post("/v1/keys/create-batch", CreateBatchBody, 201, api.createBatch);
  post("/v1/keys/decrypt-batch", DecryptBatchBody, 200, api.decryptBatch);
  app.compile();

  const handOn = (request: Request, text: string): MaybePromise<Response> => {
    const again = new Request(request.url, { method: "POST", headers: request.headers, body: text });
    firsts.set(again, request);
    return app.handle(again);
  };
  const hot = hotPath({ api, identify, answerError: tellError, handOn });
  const octetStream = octetStreamRoutes(operations);
  return {
    handle(request) {
      if (request.method !== "POST") return app.handle(request);
      const path = pathOf(request.url);
      const route = hot.get(path);
      if (route !== undefined) return route.take(request);
      const binary = octetStream.get(path);
      if (binary === undefined || request.headers.get("content-type") !== OCTET_STREAM) return app.handle(request);
      const trace = new RequestTrace(request);
      return binary(request, identify, trace).catch((error: unknown) => answerError(error, trace));
    },
    quick: (path, text, principal, headers) => hot.get(path)?.quick(text, principal, headers),
    handleGenerically: app.handle,
  };
}

type OctetStreamRoute = (
  request: Request,
  identify: (request: Request) => Principal,
  trace: RequestTrace,
) => Promise<Response>;

/** The batches as bytes. */
function octetStreamRoutes(operations: Operations): Map<string, OctetStreamRoute> {
  const answer = (status: number, bytes: Uint8Array): Response =>
    new Response(bytes as Uint8Array<ArrayBuffer>, { status, headers: { "content-type": OCTET_STREAM } });
  const body = async (request: Request): Promise<Uint8Array> => new Uint8Array(await request.arrayBuffer());
  return new Map<string, OctetStreamRoute>([
    [
      "/v1/keys/create-batch",
      async (request, identify, trace) => {
        const caller = nativeCaller(identify(request), trace);
        const { request: asked, count } = readCreateBatch(await body(request));
        return answer(201, writeCreateBatch(await operations.createKeys(caller, asked, count)));
      },
    ],
    [
      "/v1/keys/decrypt-batch",
      async (request, identify, trace) => {
        const caller = nativeCaller(identify(request), trace);
        const requests = readDecryptBatch(await body(request));
        return answer(200, writeDecryptBatch(await operations.decryptKeys(caller, requests)));
      },
    ],
  ]);
}

/** The methods of each path, for those who ask with another. */
const METHODS = new Map(
  Object.entries((openApiDocument() as { paths: Record<string, object> }).paths).map(([path, operations]) => [
    path,
    Object.keys(operations)
      .map((method) => method.toUpperCase())
      .join(", "),
  ]),
);

function answerNotFound(request: Request, trace: RequestTrace): Response {
  const allow = METHODS.get(new URL(request.url).pathname);
  const sentence = `There is no ${request.method} here. /openapi.json lists the operations.`;
  // A path of the document that this listener does not serve is as if it were not there.
  if (allow === undefined || allow.split(", ").includes(request.method))
    return responseOf(writeProblem(problem(404, "not_found", sentence), undefined, trace));
  const answer = responseOf(writeProblem(problem(405, "method_not_allowed", sentence), undefined, trace));
  answer.headers.set("allow", allow);
  return answer;
}

/** Names the first field that is wrong, never its value. */
function describeMistake(mistake: ValueError | undefined): string {
  const path = mistake?.path.replace(/^\//, "").replaceAll("/", ".") ?? "";
  const place = path === "" ? "The body" : `"${path}"`;
  return `${place} is not as expected: ${mistake?.message ?? "it does not fit"}. /openapi.json has the schema.`;
}
