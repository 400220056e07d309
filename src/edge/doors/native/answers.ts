/**
 * Answers as the API writes them, from what operations give. Names and base64url hold nothing that JSON escapes. Plaintexts are wiped once
 * they have been written.
 */
import { toBase64url } from "../../../base/base64url.ts";
import { CryptoEdgeError } from "../../../base/errors.ts";
import { problemOf } from "../../../base/network/problem.ts";
import { wipe } from "../../../base/wipe.ts";
import type { CreatedKey, EncryptedValue, Opened, Rewrapped } from "../../operations/operations.ts";

export function writeCreated({ wrapped, version, plaintext }: CreatedKey, cacheSeconds: number): string {
  const shown = `{"wrapped":"${toBase64url(wrapped)}","version":${version}`;
  if (plaintext === undefined) return `${shown}}`;
  return `${shown},"plaintext":"${showOnce(plaintext)}","cache_seconds":${cacheSeconds}}`;
}

export function writeDecrypted(opened: Opened, cacheSeconds: number): string {
  return writeOpened("plaintext", opened, cacheSeconds);
}

export function writeDecryptedValue(opened: Opened, cacheSeconds: number): string {
  return writeOpened("value", opened, cacheSeconds);
}

function writeOpened(
  name: "plaintext" | "value",
  { plaintext, tenant, service, version }: Opened,
  cacheSeconds: number,
): string {
  return `{"${name}":"${showOnce(plaintext)}","tenant":"${tenant}","service":"${service}","version":${version},"cache_seconds":${cacheSeconds}}`;
}

export function writeRewrapped({ wrapped, tenant, service, version, wasActive }: Rewrapped): string {
  return `{"wrapped":"${toBase64url(wrapped)}","tenant":"${tenant}","service":"${service}","version":${version},"was_active":${wasActive}}`;
}

export function writeEncrypted({ wrapped, version }: EncryptedValue): string {
  return `{"wrapped":"${toBase64url(wrapped)}","version":${version}}`;
}

/** An item of a batch: its answer, or its own problem. */
export function writeResult<Result extends object>(
  result: Result | CryptoEdgeError,
  write: (result: Result) => string,
): string {
  return result instanceof CryptoEdgeError ? JSON.stringify({ error: problemOf(result) }) : write(result);
}

function showOnce(plaintext: Uint8Array): string {
  const text = toBase64url(plaintext);
  wipe(plaintext);
  return text;
}
