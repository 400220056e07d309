/** The administrator's side of `/core/v1/admin/…`: what `crypto-edge core rotate` and its like call. */
import { systemClock } from "../base/time/system-clock.ts";
import { CoreCallError } from "../edge/key-source/core/core-call-error.ts";
import { type CoreCertificates, oneLine } from "../edge/key-source/core/core-certificates.ts";
import { CoreConnection } from "../edge/key-source/core/core-connection.ts";

export interface AdminClient {
  /** The answer's JSON. @throws CoreCallError with the Core's own sentence */
  call(method: "GET" | "POST", path: string, body?: unknown): Promise<unknown>;
  close(): void;
}

const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

export function createAdminClient(options: {
  readonly url: string;
  readonly certificates: CoreCertificates;
}): AdminClient {
  const connection = new CoreConnection({
    url: options.url,
    certificates: options.certificates,
    clock: systemClock,
    timeoutMs: 15_000,
    maxConnections: 1,
  });
  return {
    async call(method, path, body) {
      const answer = await connection.send({
        method,
        path: `/core/v1/admin/${path}`,
        ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
        maxBytes: MAX_ANSWER_BYTES,
      });
      if (answer.fault !== undefined) throw answer.fault;
      let value: unknown;
      try {
        value = JSON.parse(answer.body.toString("utf8"));
      } catch {
        throw new CoreCallError(`${connection.url.origin} does not answer as a Core: check the URL`);
      }
      if (answer.status >= 200 && answer.status < 300) return value;
      const { detail, code } = value as { detail?: unknown; code?: unknown };
      throw new CoreCallError(typeof detail === "string" ? oneLine(detail) : `the Core answered ${answer.status}`, {
        status: answer.status,
        ...(typeof code === "string" ? { code } : {}),
      });
    },
    close: () => connection.close(),
  };
}
