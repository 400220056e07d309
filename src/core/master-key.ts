import { readFileSync } from "node:fs";

const MASTER_KEY_BYTES = 32;

/**
 * The Core's master key from a file or an environment variable: 32 bytes, raw (a file only), as 64 hex digits, or as
 * base64. The buffer is the caller's, who wipes it. The error never quotes the content.
 */
export function loadMasterKey(source: { readonly file: string } | { readonly variable: string }): Uint8Array {
  const [where, content] =
    "file" in source
      ? [`the master key file ${source.file}`, readMasterKeyFile(source.file)]
      : [`the environment variable ${source.variable}`, Buffer.from(process.env[source.variable] ?? "")];
  if (content.length === 0)
    throw new Error(`${where} is empty: put a key of 32 random bytes there, such as "openssl rand -hex 32" prints`);
  try {
    return parseMasterKey(content);
  } catch {
    throw new Error(
      `${where} does not hold a master key: it must be 32 bytes, as they are, as 64 hex digits or as base64`,
    );
  } finally {
    content.fill(0);
  }
}

/** Reads a master key from any of its three forms. The result is a new buffer. */
export function parseMasterKey(content: Uint8Array): Uint8Array {
  if (content.length === MASTER_KEY_BYTES) return Uint8Array.from(content);
  const text = Buffer.from(content).toString("latin1").trim();
  const key = /^[0-9a-fA-F]{64}$/.test(text)
    ? Buffer.from(text, "hex")
    : /^[A-Za-z0-9+/_-]{43}=?$/.test(text)
      ? Buffer.from(text, "base64")
      : undefined;
  if (key?.length !== MASTER_KEY_BYTES) throw new RangeError("not a master key");
  return Uint8Array.from(key);
}

function readMasterKeyFile(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
    throw new Error(`the master key file ${path} can't be read (${code}): check the path and its permissions`);
  }
}
