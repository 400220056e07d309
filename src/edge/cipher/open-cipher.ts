/** Chooses the adapter that does the cryptography (configuration: `cipher`), and tries it before it is used. */

import { messageOf } from "../../base/errors.ts";
import { runForStart } from "../../base/system/start-code.ts";
import { foreignFunctions } from "../../base/system/system-calls.ts";
import type { CipherAdapter, TakeMemory } from "./cipher.ts";
import { findLibrary, OpensslError } from "./openssl/find-library.ts";

/** Makes an adapter. @throws with the reason why there is none here */
export type CipherFactory = (options: CipherFactoryOptions) => CipherAdapter | Promise<CipherAdapter>;

export interface CipherFactoryOptions {
  readonly requireFips: boolean;
  /** Memory for what is secret, outside the runtime's heap. */
  readonly takeMemory: TakeMemory;
}

/** The adapters that are part of the edge, by the name that `cipher.use` gives. */
export const CIPHERS: Readonly<Record<string, CipherFactory>> = {
  node: async ({ takeMemory }) => (await import("./node-adapter.ts")).createNodeAdapter(undefined, takeMemory),
  openssl: openMachinesOpenssl,
};

/** What `auto` tries, in this order. */
const BEST_FIRST = ["openssl", "node"];

export interface OpenCipherOptions extends CipherFactoryOptions {
  /** `auto`, or the name of one of `ciphers`. */
  readonly use: string;
  /** `CIPHERS`, and those of plugins. */
  readonly ciphers: Readonly<Record<string, CipherFactory>>;
  /** Told, in a sentence, why one was not taken. */
  readonly warn: (message: string) => void;
}

/** No adapter fits; the message says why, and what to do. */
export class CipherUnavailableError extends Error {
  override readonly name = "CipherUnavailableError";
}

/** @throws {CipherUnavailableError} */
export async function openCipher(options: OpenCipherOptions): Promise<CipherAdapter> {
  const { use, requireFips, warn } = options;
  if (use !== "auto") return tried(use, options);
  // Only OpenSSL has a FIPS module: no other one is looked at.
  const candidates = requireFips ? BEST_FIRST.slice(0, 1) : BEST_FIRST;
  for (const name of candidates.slice(0, -1)) {
    try {
      return await tried(name, options);
    } catch (error) {
      warn(`The cipher "${name}" is not used: ${messageOf(error)}`);
    }
  }
  return tried(candidates.at(-1)!, options);
}

async function tried(name: string, options: OpenCipherOptions): Promise<CipherAdapter> {
  let adapter: CipherAdapter;
  try {
    adapter = await options.ciphers[name]!(options);
  } catch (error) {
    if (!(error instanceof OpensslError)) throw error;
    throw new CipherUnavailableError(`${error.message}.${options.requireFips ? ` ${FIPS_ADVICE}` : ""}`);
  }
  const { wrongAnswer } = await runForStart(() => import("./known-answers.ts"));
  try {
    const wrong = wrongAnswer(adapter);
    if (wrong !== undefined) {
      throw new CipherUnavailableError(`${adapter.library} failed its known-answer test: ${wrong}. Do not use it.`);
    }
    if (options.requireFips && !adapter.fips) {
      throw new CipherUnavailableError(`${adapter.library} is no FIPS module. ${FIPS_ADVICE}`);
    }
    return adapter;
  } catch (error) {
    adapter.close();
    throw error;
  }
}

const FIPS_ADVICE =
  "cipher.require_fips needs OpenSSL 3 with its FIPS provider: install the provider, and activate it in the system's " +
  "openssl.cnf (on Red Hat systems: fips-mode-setup --enable); docs/security-model.md has an example. Or take " +
  "require_fips out.";

async function openMachinesOpenssl({ requireFips, takeMemory }: CipherFactoryOptions): Promise<CipherAdapter> {
  const foreign = await foreignFunctions();
  if (foreign === undefined) throw new OpensslError("This runtime can't call native libraries");
  const found = findLibrary();
  if ("reason" in found) throw new OpensslError(found.reason);
  const { createOpensslAdapter } = await import("./openssl/adapter.ts");
  return createOpensslAdapter({ foreign, library: found.path, requireFips, takeMemory });
}
