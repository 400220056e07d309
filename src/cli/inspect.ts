/** `crypto-edge inspect`: what a blob or a sealed file says of itself, offline. */
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import type { Command } from "commander";
import { fromBase64url } from "../base/base64url.ts";
import { DATA_KEY_SUITE, type ParsedBlob, parseBlob, VALUE_BLOB_LENGTH_MAX } from "../edge/cipher/blob.ts";
import { print } from "./print.ts";

/** Of a file, no more than this is read: a blob in base64url, or a sealed file's header. */
const START_LENGTH = 2 * VALUE_BLOB_LENGTH_MAX;
const NOTE = "Nothing of this has been verified: only opening it does that.";

interface Inspected {
  readonly kind: "wrapped key" | "encrypted value" | "sealed file";
  /** The sealed file's, or the blob's. */
  readonly format: number;
  readonly blob: ParsedBlob;
}

export function registerInspect(program: Command): void {
  program
    .command("inspect")
    .argument("<blob>", "a wrapped key or encrypted value in base64url, a file, or - for standard input")
    .description("print what a wrapped key, an encrypted value or a sealed file says of itself, offline")
    .option("--json", "as JSON")
    .addHelpText("after", "\nExamples:\n  crypto-edge inspect TDQBAQ…\n  crypto-edge inspect report.pdf.sealed")
    .action(async (argument: string, options: { json?: boolean }) => {
      const { kind, format, blob } = await inspect(argument);
      const { tenant, service, version, suite } = blob;
      const length = blob.tagOffset - blob.ciphertextOffset;
      if (options.json) {
        const lengths = suite === DATA_KEY_SUITE ? { dataKeyLength: length } : { valueLength: length };
        print(JSON.stringify({ kind, format, suite, tenant, service, version, ...lengths, verified: false }));
        return;
      }
      const commits = kind === "sealed file" && format === 1 ? ", which does not commit to its key" : "";
      print(
        [
          `${kind}, format ${format}${commits}; suite ${suite} (HKDF-SHA-256, AES-256-GCM, committing)`,
          `tenant        ${tenant}`,
          `service       ${service}`,
          `key version   ${version}`,
          `${suite === DATA_KEY_SUITE ? "data key      " : "value         "}${length} bytes`,
          NOTE,
        ].join("\n"),
      );
    });
}

async function inspect(argument: string): Promise<Inspected> {
  const { isSealedFile, readSealedHeader } = await import("../sdk/seal/format.ts");
  const input = argument === "-" ? readFileSync(0) : readIfFile(argument);
  if (input !== undefined && isSealedFile(input)) {
    const { format, wrapped } = readSealedHeader(input);
    return { kind: "sealed file", format, blob: parseBlob(wrapped) };
  }
  const text = (input === undefined ? argument : input.toString("latin1")).trim();
  const bytes = fromBase64url(text) ?? input;
  if (bytes === undefined) throw new Error(`${argument} is no file that can be read, and no base64url either.`);
  const blob = parseBlob(bytes);
  return { kind: blob.suite === DATA_KEY_SUITE ? "wrapped key" : "encrypted value", format: 1, blob };
}

/** The start of a file, or undefined when the argument names none. Never waits for a pipe's other end. */
function readIfFile(path: string): Buffer | undefined {
  const start = Buffer.alloc(START_LENGTH);
  try {
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      return fstatSync(file).isFile() ? start.subarray(0, readSync(file, start)) : undefined;
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined;
  }
}
