/** The calls of an administrator over HTTP: bounded, answered by the routes of admin-api.ts, and logged with who made them. */
import type { Peer } from "../base/pki/peer-certificate.ts";
import type { AdminApp } from "./admin-api.ts";
import { type CoreLog, sendResponse } from "./answers.ts";
import { callerName } from "./caller.ts";
import type { CallCounters } from "./edge-calls.ts";
import { type HttpRequest, type HttpResponse, readBody } from "./node-http.ts";
import { parseBody } from "./parse-body.ts";
import { CoreError } from "./protocol/core-error.ts";

const MAX_ADMIN_BODY_BYTES = 16_384;
/** Of an answer, what the log has of it. */
const MAX_TOLD_BYTES = 16_384;

export interface AdministrationParts {
  readonly admin: AdminApp;
  readonly log: CoreLog;
  readonly counters: CallCounters;
}

/** @throws {CoreError} `not_found`, `invalid_request` */
export async function administer(
  request: HttpRequest,
  response: HttpResponse,
  peer: Peer,
  { admin, log, counters }: AdministrationParts,
): Promise<void> {
  const { method = "GET", url: target = "/" } = request;
  const url = new URL(target, "https://core.invalid");
  // Matched and logged as it was sent: no call under the name of another.
  if (url.pathname !== target.split("?", 1)[0]) throw new CoreError("not_found", "there is no such call");
  const raw = method === "POST" ? await readBody(request, MAX_ADMIN_BODY_BYTES) : undefined;
  const hasBody = raw !== undefined && raw.length > 0;
  if (hasBody) requireJson(request);
  counters.adminCalls++;
  if (hasBody) parseBody(raw);
  const answer = await admin.handle(
    new Request(url, {
      method,
      ...(raw === undefined ? {} : { body: Uint8Array.from(raw), headers: { "content-type": "application/json" } }),
    }),
  );
  if (method === "POST") {
    const bytes = Buffer.from(await answer.clone().arrayBuffer());
    // What a revocation would hit may be 10,000 edges.
    const told: unknown = bytes.length > MAX_TOLD_BYTES ? undefined : readJson(bytes);
    const by = { caller: callerName(peer), serial: peer.certificate?.serial };
    log("info", "an administrator acted", { ...by, call: url.pathname, status: answer.status, answer: told });
  }
  await sendResponse(response, answer);
}

function readJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString()) as unknown;
  } catch {
    return undefined;
  }
}

/** Which a page can't send unasked either; and nothing that has to be decoded first. */
function requireJson({ headers }: HttpRequest): void {
  const [type, ...parameters] = (headers["content-type"] ?? "").split(";").map((part) => part.trim().toLowerCase());
  const charset = parameters.find((parameter) => parameter.startsWith("charset="))?.replace(/^charset=|"/g, "");
  if (type !== "application/json" || (charset !== undefined && charset !== "utf-8"))
    throw new CoreError("invalid_request", "send content-type: application/json");
  const coding = headers["content-encoding"]?.toLowerCase() ?? "identity";
  if (coding !== "identity") throw new CoreError("invalid_request", "send the body as it is, without content-encoding");
}
