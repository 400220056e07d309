/** `crypto-edge inspect`: what a blob or a sealed file says of itself, offline. */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import type { Command } from "commander";
import { fromBase64url } from "../base/base64url.ts";
import { type ParsedBlob, parseBlob } from "../edge/cipher/blob.ts";

const START_LENGTH = 4096;
const NOTE = "Nothing of this has been verified: only opening it does that.";

interface Inspected {
  readonly kind: "wrapped key" | "sealed file";
  readonly wrapped: ParsedBlob;
}

export function registerInspect(program: Command): void {
  program
    .command("inspect")
    .argument("<blob>", "a wrapped key in base64url, a sealed file, or - for standard input")
    .description("print what a wrapped key or a sealed file says of itself, offline")
    .option("--json", "as JSON")
    .addHelpText("after", "\nExamples:\n  crypto-edge inspect TDQBAQ…\n  crypto-edge inspect report.pdf.sealed")
    .action(async (argument: string, options: { json?: boolean }) => {
      const { kind, wrapped } = await inspect(argument);
      const { tenant, service, version } = wrapped;
      const dataKeyLength = wrapped.tagOffset - wrapped.ciphertextOffset;
      if (options.json) {
        console.log(
          JSON.stringify({ kind, format: 1, suite: 1, tenant, service, version, dataKeyLength, verified: false }),
        );
        return;
      }
      console.log(
        [
          `${kind}, format 1, suite 1 (HKDF-SHA-256, AES-256-GCM, committing)`,
          `tenant        ${tenant}`,
          `service       ${service}`,
          `key version   ${version}`,
          `data key      ${dataKeyLength} bytes`,
          NOTE,
        ].join("\n"),
      );
    });
}

async function inspect(argument: string): Promise<Inspected> {
  const { isSealedFile, readSealedHeader } = await import("../sdk/seal/format.ts");
  const input = argument === "-" ? readFileSync(0) : readIfFile(argument);
  if (input !== undefined && isSealedFile(input)) {
    return { kind: "sealed file", wrapped: parseBlob(readSealedHeader(input).wrapped) };
  }
  const text = (input === undefined ? argument : input.toString("latin1")).trim();
  const bytes = fromBase64url(text) ?? input ?? new Uint8Array(0);
  return { kind: "wrapped key", wrapped: parseBlob(bytes) };
}

/** The start of a file, long enough for any header, or undefined when the argument names none. */
function readIfFile(path: string): Buffer | undefined {
  const start = Buffer.alloc(START_LENGTH);
  try {
    const file = openSync(path, "r");
    try {
      return start.subarray(0, readSync(file, start));
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined;
  }
}
