/** Revokes a version of a service key at the Core, by its administration call (docs/core.md). */
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { messageOf } from "../../../base/errors.ts";
import { compileGlobs } from "../../access/glob.ts";
import { principalId } from "../../access/principal-id.ts";
import type { Caller } from "../../operations/operations.ts";
import { RESULT_REASON } from "./enumerations.ts";
import { KmipFailure } from "./failure.ts";

export interface RevokeService {
  allows(caller: Caller): boolean;
  /** Resolves when the Core has revoked it and made a new version. Rejects with a `KmipFailure` in every other case. */
  revoke(version: ServiceKeyVersion, reason: string): Promise<void>;
}

export interface ServiceKeyVersion {
  readonly tenant: string;
  readonly service: string;
  readonly version: number;
}

export interface CoreAccess {
  /** `https://host:port` */
  readonly url: string;
  /** Paths of PEM files, read at each call: there are few, and the files may be renewed. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

const TIMEOUT_MS = 15_000;
const ANSWER_LENGTH_MAX = 64 * 1024;

export function createRevokeService(core: CoreAccess, principals: readonly string[]): RevokeService {
  const named = compileGlobs(principals);
  return {
    allows: ({ principal }) => named(principalId(principal)),
    async revoke({ tenant, service, version }, reason) {
      // With a new version in the same step, or the service could make nothing until somebody rotates.
      const body = JSON.stringify({ tenant, service, version, reason, rotate: true });
      let answer: { readonly status: number; readonly detail: string };
      try {
        answer = await post(core, "/core/v1/admin/revoke", body);
      } catch (error) {
        throw notRevoked(RESULT_REASON.generalFailure, `the Core can't be asked (${messageOf(error)})`);
      }
      if (answer.status >= 200 && answer.status < 300) return;
      const refused = answer.status >= 400 && answer.status < 500 && answer.status !== 408 && answer.status !== 429;
      throw notRevoked(
        refused ? RESULT_REASON.permissionDenied : RESULT_REASON.generalFailure,
        `the Core answered ${answer.status}${answer.detail}`,
      );
    },
  };
}

function notRevoked(reason: KmipFailure["reason"], why: string): KmipFailure {
  return new KmipFailure(reason, `Nothing was revoked: ${why}. Revoke at the Core: crypto-edge core revoke.`);
}

function post(core: CoreAccess, path: string, body: string): Promise<{ status: number; detail: string }> {
  return new Promise((resolve, reject) => {
    const call = request(
      new URL(path, core.url),
      {
        method: "POST",
        ca: readFileSync(core.ca),
        cert: readFileSync(core.cert),
        key: readFileSync(core.key),
        agent: false,
        minVersion: "TLSv1.3",
        signal: AbortSignal.timeout(TIMEOUT_MS),
        headers: { "content-type": "application/json", "content-length": Buffer.byteLength(body) },
      },
      (answer) => {
        const chunks: Buffer[] = [];
        let length = 0;
        answer.on("data", (chunk: Buffer) => {
          length += chunk.length;
          if (length > ANSWER_LENGTH_MAX) answer.destroy(new Error("its answer is too long"));
          else chunks.push(chunk);
        });
        answer.on("error", reject);
        answer.on("end", () => {
          resolve({ status: answer.statusCode ?? 0, detail: detailOf(Buffer.concat(chunks).toString("utf8")) });
        });
      },
    );
    call.on("error", reject);
    call.end(body);
  });
}

/** The sentence of a problem document, for a message; one line. */
function detailOf(text: string): string {
  try {
    const { detail } = JSON.parse(text) as { detail?: unknown };
    if (typeof detail === "string") return `: ${detail.replace(/\p{C}/gu, " ").slice(0, 300)}`;
  } catch {
    // An answer that is no problem document has only its status to say.
  }
  return "";
}
