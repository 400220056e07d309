/** What KES's clients ask about keys, the server and themselves. */
import { OperationError } from "../../../base/errors.ts";
import type { Caller, Operations } from "../../operations/operations.ts";
import type { DoorAnswer, DoorContext, DoorRequest } from "../door.ts";
import { answerJson } from "./answers.ts";
import { identityOf } from "./identity.ts";
import type { KeyTable } from "./key-table.ts";

/** Go's zero time: when a key was made, and by whom, is the Core's to know. */
const UNKNOWN_TIME = "0001-01-01T00:00:00Z";

/** @throws {KesError | OperationError} or rejects with it */
export async function describeKey(
  keys: KeyTable,
  operations: Operations,
  caller: Caller,
  parameter: string | undefined,
): Promise<DoorAnswer> {
  const { name, key } = keys.find(parameter);
  await operations.describeKey(caller, key);
  return answerJson({ name, algorithm: "AES256", created_at: UNKNOWN_TIME, created_by: "" });
}

/** Names of keys that the caller may use; one whose lease can't be had now is there all the same. */
export async function listKeys(
  keys: KeyTable,
  operations: Operations,
  caller: Caller,
  parameter: string | undefined,
): Promise<DoorAnswer> {
  const names: string[] = [];
  for (const [name, key] of keys.list(parameter)) {
    try {
      await operations.describeKey(caller, key);
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      if (error.code === "access_denied" || error.code === "key_not_found") continue;
    }
    names.push(name);
  }
  return answerJson({ names, continue_at: "" });
}

/** `startedMs`: monotonic. Of the machine nothing is told but what clients can't do without. */
export function describeServer({ version, now, readiness }: DoorContext, startedMs: number): DoorAnswer {
  return answerJson({
    version,
    os: process.platform,
    arch: process.arch,
    uptime: Math.round((now.monotonicMs() - startedMs) / 1_000),
    num_cpu: 1,
    num_cpu_used: 1,
    mem_heap_used: 0,
    mem_stack_used: 0,
    ...(readiness().ready ? {} : { keystore_unreachable: true, keystore_unavailable: true }),
  });
}

/** `policy` is a name in KES; here policies name principals, and have none of their own. */
export function describeSelf({ connection }: DoorRequest): DoorAnswer {
  return answerJson({
    identity: identityOf(connection) ?? "",
    policy: "",
    allow: {},
    deny: {},
    created_at: UNKNOWN_TIME,
  });
}
