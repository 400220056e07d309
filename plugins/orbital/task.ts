/** A task as Orbital has it, and its form in JSON. Bytes that are absent are undefined here, `null` there. */

export interface TaskRequest {
  readonly taskId: string;
  readonly type: string;
  readonly externalId: string;
  readonly data: Uint8Array | undefined;
  readonly workingState: Uint8Array | undefined;
  readonly eTag: string;
  readonly metaData: Readonly<Record<string, string>>;
}

export type TaskStatus = "PROCESSING" | "DONE" | "FAILED";

export interface TaskResponse {
  readonly taskId: string;
  readonly type: string;
  readonly externalId: string;
  readonly workingState: Uint8Array | undefined;
  readonly eTag: string;
  readonly status: TaskStatus;
  readonly errorMessage: string | undefined;
  readonly reconcileAfterSec: number;
  readonly metaData: Readonly<Record<string, string>>;
}

/** How requests are read and answers written. */
export interface Codec {
  /** @throws {MalformedTask} */
  decodeRequest(bytes: Uint8Array): TaskRequest;
  encodeResponse(response: TaskResponse): Uint8Array;
}

/** What came is no task request. */
export class MalformedTask extends Error {
  override readonly name = "MalformedTask";
}

/** The longest request that is looked at. */
export const REQUEST_BYTES_MAX = 262_144;

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const TEXT_MAX = 1_024;

/** What every codec checks of what it has read. @throws {MalformedTask} */
export function checkRequest(request: TaskRequest): TaskRequest {
  if (!UUID.test(request.taskId)) throw new MalformedTask("taskId is no UUID");
  for (const field of ["type", "externalId", "eTag"] as const) {
    if (request[field].length > TEXT_MAX) throw new MalformedTask(`${field} is too long`);
  }
  return request;
}

export const jsonCodec: Codec = {
  decodeRequest(bytes) {
    if (bytes.length > REQUEST_BYTES_MAX) throw new MalformedTask("longer than any request");
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    } catch {
      throw new MalformedTask("no JSON");
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new MalformedTask("no object");
    const fields = value as Readonly<Record<string, unknown>>;
    return checkRequest({
      taskId: text(fields, "taskId"),
      type: text(fields, "type"),
      externalId: text(fields, "externalId"),
      data: bytesOf(fields, "data"),
      workingState: bytesOf(fields, "workingState"),
      eTag: text(fields, "eTag"),
      metaData: mapOf(fields.metaData),
    });
  },

  encodeResponse(response) {
    const { taskId, type, externalId, workingState, eTag, status, errorMessage, reconcileAfterSec, metaData } =
      response;
    return Buffer.from(
      JSON.stringify({
        taskId,
        type,
        externalId,
        workingState: workingState === undefined ? null : Buffer.from(workingState).toString("base64"),
        eTag,
        status,
        ...(errorMessage === undefined ? {} : { errorMessage }),
        reconcileAfterSec,
        metaData,
      }),
    );
  },
};

function text(fields: Readonly<Record<string, unknown>>, name: string): string {
  const value = fields[name] ?? "";
  if (typeof value !== "string") throw new MalformedTask(`${name} is no text`);
  return value;
}

function bytesOf(fields: Readonly<Record<string, unknown>>, name: string): Uint8Array | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string" || !BASE64.test(value)) throw new MalformedTask(`${name} is no base64`);
  return Buffer.from(value, "base64");
}

function mapOf(value: unknown): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw new MalformedTask("metaData is no map");
  const entries = Object.entries(value);
  if (entries.some(([, each]) => typeof each !== "string")) throw new MalformedTask("metaData holds more than texts");
  return Object.fromEntries(entries) as Record<string, string>;
}
