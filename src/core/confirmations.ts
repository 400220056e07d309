/** `POST /core/v1/applied` (core-protocol.md, "Confirmations"). */
import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import type { EventLogReader } from "./event-stream.ts";
import { CoreError } from "./protocol/core-error.ts";

const INSTANCE = /^[A-Za-z0-9_-]{1,64}$/;

const AppliedBody = Type.Object(
  {
    log: Type.String({ minLength: 1, maxLength: 64, pattern: "^[A-Za-z0-9_-]+$" }),
    seq: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  },
  { additionalProperties: false },
);
const isAppliedBody = TypeCompiler.Compile(AppliedBody);

/** Which of the edge's processes calls; empty where it does not say. */
export function instanceOf(header: string | readonly string[] | undefined): string {
  return typeof header === "string" && INSTANCE.test(header) ? header : "";
}

/**
 * What a confirmation says, where it is of this log and of what was committed.
 *
 * @throws CoreError, and StoreUnavailable where the log's newest number can't be had
 */
export async function checkConfirmation(
  body: unknown,
  instance: string,
  log: Pick<EventLogReader, "log" | "lastSeq" | "refresh">,
): Promise<Static<typeof AppliedBody>> {
  if (!isAppliedBody.Check(body)) {
    const path = isAppliedBody.Errors(body).First()?.path.slice(1);
    throw new CoreError("invalid_request", `the confirmation is malformed${path ? ` at ${path}` : ""}`);
  }
  if (instance === "") {
    throw new CoreError("invalid_request", "crypto-edge-instance must say which process of the edge confirms");
  }
  // Another Core may have told it the event that this one has not heard of yet.
  if (body.log !== log.log || body.seq > log.lastSeq) await log.refresh();
  if (body.log !== log.log) throw new CoreError("conflict", "the confirmation is of another event log");
  if (body.seq > log.lastSeq) throw new CoreError("conflict", "the confirmation is ahead of this event log");
  return body;
}
