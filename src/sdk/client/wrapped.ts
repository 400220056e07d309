import { isName } from "../../base/names.ts";
import { parseBlob } from "../../edge/cipher/blob.ts";
import { withClientErrors } from "./edge-error.ts";

/** What a wrapped key says of itself. Nothing of it is verified: only an edge can do that, by opening it. */
export interface WrappedKeyInfo {
  readonly tenant: string;
  readonly service: string;
  /** The service key's version: compare it with the one of a new key to know whether a rewrap is due. */
  readonly version: number;
  /** 1: a data key that the edge made. 2: a value that the application chose. */
  readonly suite: number;
}

/**
 * Reads tenant, service, version and suite out of a wrapped key, offline.
 *
 * @example
 * ```ts
 * const { tenant, service, version } = parseWrapped(row.wrapped);
 * if (version < active) await edge.rewrapKey({ wrapped: row.wrapped });
 * ```
 * @throws {CryptoEdgeError} `invalid_blob` for anything that is not a wrapped key.
 */
export function parseWrapped(wrapped: Uint8Array): WrappedKeyInfo {
  const { tenant, service, version } = withClientErrors(() => parseBlob(wrapped));
  return { tenant, service, version, suite: wrapped[3]! };
}

/** Whether a text can be the name of a tenant or a service: `[A-Za-z0-9][A-Za-z0-9._:-]*`, at most 128 characters. */
export function isServiceName(text: string): boolean {
  return isName(text);
}
