/** Service keys wrapped by AWS KMS, in a file that holds nothing secret. */
import { readFileSync, renameSync, statSync, writeFileSync } from "node:fs";

export const STATES = ["active", "deprecated", "compromised", "destroyed"] as const;
export const FORMAT = "crypto-edge service keys wrapped by AWS KMS, version 1";

export interface WrappedKey {
  readonly tenant: string;
  readonly service: string;
  readonly version: number;
  state: (typeof STATES)[number];
  /** KMS's ciphertext blob, in base64. */
  readonly wrapped: string;
}

export interface WrappedKeyFile {
  readonly format: typeof FORMAT;
  readonly keys: WrappedKey[];
}

/** Binds a wrapped key to its name: KMS opens it under no other. Shows in CloudTrail. */
export function encryptionContext(key: { tenant: string; service: string; version: number }): Record<string, string> {
  return { "crypto-edge": `${key.tenant}/${key.service}/${key.version}` };
}

/** @throws with what is wrong in the file */
export function readKeyFile(path: string): WrappedKeyFile {
  const value = JSON.parse(readFileSync(path, "utf8")) as Partial<WrappedKeyFile> | null;
  if (value?.format !== FORMAT || !Array.isArray(value.keys)) throw new Error(`${path} is no file of "${FORMAT}"`);
  const names = new Set<string>();
  value.keys.forEach((key: Partial<WrappedKey>, index) => {
    const wrong =
      !Number.isInteger(key.version) || Number(key.version) < 1 || Number(key.version) > 2 ** 32 - 1
        ? "has no version"
        : !STATES.includes(key.state as never)
          ? `has no state of ${STATES.join(", ")}`
          : typeof key.wrapped !== "string"
            ? "has no wrapped key"
            : undefined;
    if (wrong !== undefined) throw new Error(`${path}: keys[${index}] ${wrong}`);
    const name = `${key.tenant}/${key.service}/${key.version}`;
    if (names.has(name)) throw new Error(`${path}: ${name} is there twice`);
    names.add(name);
  });
  return value as WrappedKeyFile;
}

/** Written beside and renamed: an edge never reads half a file. */
export function writeKeyFile(path: string, file: WrappedKeyFile): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o640 });
  renameSync(`${path}.new`, path);
}

/** Reads the file again when it has changed. */
export function watchKeyFile(path: string): () => readonly WrappedKey[] {
  let stamp = "";
  let keys: readonly WrappedKey[] = [];
  return () => {
    const { mtimeMs, size, ino } = statSync(path);
    const now = `${mtimeMs} ${size} ${ino}`;
    if (now !== stamp) {
      keys = readKeyFile(path).keys;
      stamp = now;
    }
    return keys;
  };
}
