/** The parts of the adapter over libcrypto, one by one: for tests that look into its memory, or let the library fail. */
import { foreignFunctions } from "../../src/base/system/system-calls.ts";
import { OpensslAdapter } from "../../src/edge/cipher/openssl/adapter.ts";
import type { KeyParts } from "../../src/edge/cipher/openssl/derived-key.ts";
import { findLibrary } from "../../src/edge/cipher/openssl/find-library.ts";
import { type OpensslFunctions, openFunctions } from "../../src/edge/cipher/openssl/functions.ts";
import { Library, type LibraryOptions } from "../../src/edge/cipher/openssl/library.ts";
import { RandomDraws } from "../../src/edge/cipher/openssl/random-draws.ts";
import { Scratch } from "../../src/edge/cipher/openssl/scratch.ts";
import { regionTaker } from "../../src/edge/key-memory/region.ts";

const foreign = (await foreignFunctions())!;
const found = findLibrary();
if ("reason" in found) throw new Error(found.reason);
const { path } = found;

export type Changes = Partial<Record<keyof OpensslFunctions, (...values: never[]) => number>>;

/** Every function of the machine's libcrypto, the changed ones in their place; `counts` says how often each was called. */
export function opensslFunctions(changes: Changes = {}) {
  const counts: Partial<Record<keyof OpensslFunctions, number>> = {};
  const real = openFunctions(foreign, path);
  const functions = Object.fromEntries(
    Object.entries({ ...real, ...changes }).map(([name, call]) => [
      name,
      (...values: never[]) => {
        counts[name as keyof OpensslFunctions] = (counts[name as keyof OpensslFunctions] ?? 0) + 1;
        return (call as (...values: never[]) => number)(...values);
      },
    ]),
  ) as unknown as OpensslFunctions;
  return { functions, counts, real };
}

export function libraryOf(functions: OpensslFunctions, options: Partial<LibraryOptions> = {}): Library {
  return new Library(functions, { foreign, library: path, ...options });
}

export function opensslParts(changes: Changes = {}, fillRandom?: (bytes: Uint8Array) => void) {
  const { functions, counts, real } = opensslFunctions(changes);
  const library = libraryOf(functions);
  const scratch = new Scratch(regionTaker("heap", undefined), foreign.addressOf);
  const random = new RandomDraws(library, scratch, fillRandom);
  const parts: KeyParts = { library, scratch, random };
  return { parts, counts, real, foreign, adapter: new OpensslAdapter(parts, foreign) };
}
