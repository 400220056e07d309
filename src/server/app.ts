/** The HTTP API: an Elysia app over the operations, one for each listener, since a listener knows who calls. */
import type { Static, TSchema } from "@sinclair/typebox";
import { Elysia } from "elysia";
import type { Principal } from "../access/principal.ts";
import { CryptoEdgeError, messageOf } from "../errors.ts";
import type { MaybePromise, Orchestrator } from "../orchestrator.ts";
import { createApi } from "./api.ts";
import { hotPath, pathOf } from "./hot-path.ts";
import {
  OCTET_STREAM,
  readCreateBatch,
  readDecryptBatch,
  writeCreateBatch,
  writeDecryptBatch,
} from "./octet-stream.ts";
import { openApiDocument } from "./openapi.ts";
import { answerProblem, problem, problemResponse } from "./problem.ts";
import { CreateBatchBody, CreateBody, DecryptBatchBody, WrappedBody } from "./schemas.ts";
import { metricsResponse } from "./watch.ts";

/** What a probe asks: whether this edge can serve, and why not. */
export interface Readiness {
  readonly ready: boolean;
  readonly [detail: string]: unknown;
}

export interface AppParts {
  readonly orchestrator: Orchestrator;
  /** Who sent a request. @throws {CryptoEdgeError} `unauthenticated` */
  readonly identify: (request: Request) => Principal;
  readonly readiness: () => Readiness;
  /** What `/v1/status` tells; undefined where it is not served, since it tells the names of tenants. */
  readonly status: (() => unknown) | undefined;
  /** The text of `/metrics`; undefined where it is not served. */
  readonly metrics: (() => Promise<string>) | undefined;
  /** Told of every defect (never of expected errors). */
  readonly onDefect: (error: unknown) => void;
}

export interface App {
  handle(request: Request): MaybePromise<Response>;
  /** The same answers without the hot path; a test compares the two. */
  handleGenerically(request: Request): MaybePromise<Response>;
}

export function createApp(parts: AppParts): App {
  const { orchestrator, identify } = parts;
  const api = createApi(orchestrator);
  const document = openApiDocument();

  const app = new Elysia({ normalize: false })
    .onError(({ code, error, request }) => {
      if (error instanceof CryptoEdgeError) return problemResponse(error);
      switch (code) {
        case "VALIDATION":
          return problemResponse(new CryptoEdgeError("invalid_request", describeValidation(error)));
        case "PARSE":
          return problemResponse(
            new CryptoEdgeError(
              "invalid_request",
              "The body is not JSON. Send JSON with content-type: application/json.",
            ),
          );
        case "NOT_FOUND":
          return answerProblem(
            problem(404, "not_found", `There is no ${request.method} here. /openapi.json lists the operations.`),
          );
        default:
          parts.onDefect(error);
          return problemResponse(error);
      }
    })
    .get("/livez", () => ({ status: "live" }))
    .get("/readyz", () => {
      const readiness = parts.readiness();
      return Response.json(readiness, { status: readiness.ready ? 200 : 503 });
    })
    .get("/openapi.json", () => Response.json(document));

  const { status } = parts;
  if (status !== undefined) app.get("/v1/status", () => Response.json(status()));
  const { metrics } = parts;
  if (metrics !== undefined) app.get("/metrics", async () => metricsResponse(await metrics()));

  const post = <Schema extends TSchema>(
    path: string,
    schema: Schema,
    success: 200 | 201,
    run: (principal: Principal, body: Static<Schema>) => unknown,
  ): void => {
    app.post(
      path,
      ({ body, request, set }) => {
        set.status = success;
        return run(identify(request), body as Static<Schema>);
      },
      { body: schema, parse: "json" },
    );
  };
  post("/v1/keys/create", CreateBody, 201, api.create);
  post("/v1/keys/decrypt", WrappedBody, 200, api.decrypt);
  post("/v1/keys/rewrap", WrappedBody, 200, api.rewrap);
  post("/v1/keys/create-batch", CreateBatchBody, 201, api.createBatch);
  post("/v1/keys/decrypt-batch", DecryptBatchBody, 200, api.decryptBatch);
  app.compile();

  const answerError = (error: unknown): Response => {
    if (!(error instanceof CryptoEdgeError)) parts.onDefect(error);
    return problemResponse(error);
  };
  const hot = hotPath({ api, identify, answerError, handOn: app.handle });
  const octetStream = octetStreamRoutes(orchestrator);
  return {
    handle(request) {
      if (request.method !== "POST") return app.handle(request);
      const path = pathOf(request.url);
      const route = hot.get(path);
      if (route !== undefined) return route(request);
      const binary = octetStream.get(path);
      if (binary === undefined || request.headers.get("content-type") !== OCTET_STREAM) return app.handle(request);
      return binary(request, identify).catch(answerError);
    },
    handleGenerically: app.handle,
  };
}

type OctetStreamRoute = (request: Request, identify: (request: Request) => Principal) => Promise<Response>;

/** The batches as bytes. */
function octetStreamRoutes(orchestrator: Orchestrator): Map<string, OctetStreamRoute> {
  const answer = (status: number, bytes: Uint8Array): Response =>
    new Response(bytes as Uint8Array<ArrayBuffer>, { status, headers: { "content-type": OCTET_STREAM } });
  const body = async (request: Request): Promise<Uint8Array> => new Uint8Array(await request.arrayBuffer());
  return new Map<string, OctetStreamRoute>([
    [
      "/v1/keys/create-batch",
      async (request, identify) => {
        const principal = identify(request);
        const { request: asked, count } = readCreateBatch(await body(request));
        return answer(201, writeCreateBatch(await orchestrator.createKeys(principal, asked, count)));
      },
    ],
    [
      "/v1/keys/decrypt-batch",
      async (request, identify) => {
        const principal = identify(request);
        const requests = readDecryptBatch(await body(request));
        return answer(200, writeDecryptBatch(await orchestrator.decryptKeys(principal, requests)));
      },
    ],
  ]);
}

/** Names the first field that is wrong, never its value. */
function describeValidation(error: unknown): string {
  const { valueError } = error as { valueError?: { path?: string; message?: string } };
  const path = valueError?.path?.replace(/^\//, "").replaceAll("/", ".") ?? "";
  const place = path === "" ? "The body" : `"${path}"`;
  return `${place} is not as expected: ${valueError?.message ?? messageOf(error)}. /openapi.json has the schema.`;
}
