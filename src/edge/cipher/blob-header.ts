/**
 * What a blob says of itself at fixed places (blob-format.md, "Layout"), for front doors whose protocol names the key beside the
 * blob: read without an object, verified by nobody. What these say counts only once the blob has opened.
 */
import type { ServiceKeyIdentity } from "./blob.ts";

const SUITE_OFFSET = 3;
const VERSION_OFFSET = 4;
const TENANT_LENGTH_OFFSET = 8;
const TENANT_OFFSET = 9;
/** With names of one character each. */
const HEADER_LENGTH_MIN = TENANT_OFFSET + 3;

/** Whether these bytes begin as a blob of format 1 does. What does not is refused when it is opened. */
export function beginsAsBlob(bytes: Uint8Array): boolean {
  return bytes.length >= HEADER_LENGTH_MIN && bytes[0] === 0x4c && bytes[1] === 0x34 && bytes[2] === 1;
}

/** 1: a data key; 2: a value. */
export function suiteOf(bytes: Uint8Array): number {
  return bytes[SUITE_OFFSET] ?? 0;
}

export function versionOf(bytes: Uint8Array): number {
  const at = VERSION_OFFSET;
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** Whether the blob says that it is under a version of this service key. */
export function isBlobOf(bytes: Uint8Array, { tenant, service }: Omit<ServiceKeyIdentity, "version">): boolean {
  const serviceLengthOffset = TENANT_OFFSET + tenant.length;
  return (
    bytes[TENANT_LENGTH_OFFSET] === tenant.length &&
    bytes[serviceLengthOffset] === service.length &&
    isAsciiAt(bytes, TENANT_OFFSET, tenant) &&
    isAsciiAt(bytes, serviceLengthOffset + 1, service)
  );
}

function isAsciiAt(bytes: Uint8Array, offset: number, text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    if (bytes[offset + index] !== text.charCodeAt(index)) return false;
  }
  return true;
}
