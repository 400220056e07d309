/** The library as it is opened once: a library context of our own, its providers, and the two algorithms. */
import { existsSync, realpathSync } from "node:fs";
import type { ForeignFunctions } from "../../../base/system/libc.ts";
import { OpensslError, whoElseMayWrite } from "./find-library.ts";
import {
  INFO_CONFIG_DIR,
  INFO_MODULES_DIR,
  INIT_NO_LOAD_CONFIG,
  OPENSSL_VERSION,
  type OpensslFunctions,
  openFunctions,
} from "./functions.ts";

export interface LibraryOptions {
  readonly foreign: ForeignFunctions;
  /** The library's file. */
  readonly library: string;
  /** Ask for algorithms of a FIPS module alone; without one there is no adapter. */
  readonly requireFips?: boolean;
  /** In the place of the system's `openssl.cnf`, which is where a FIPS provider is switched on. */
  readonly configuration?: string | undefined;
}

/** @throws {OpensslError} */
export function openLibrary(options: LibraryOptions): Library {
  let functions: OpensslFunctions;
  try {
    functions = openFunctions(options.foreign, options.library);
  } catch (cause) {
    throw new OpensslError(`${options.library} does not load: ${cause instanceof Error ? cause.message : cause}`);
  }
  return new Library(functions, options);
}

const text = (value: string): Uint8Array => new TextEncoder().encode(`${value}\0`);

export class Library {
  readonly functions: OpensslFunctions;
  readonly version: string;
  readonly fips: boolean;
  readonly context: number;
  readonly cipher: number;
  readonly derivation: number;
  readonly #derivationAlgorithm: number;

  constructor(functions: OpensslFunctions, { foreign, library, requireFips = false, configuration }: LibraryOptions) {
    const call = functions;
    this.functions = functions;
    // Before all else: what comes later would have the default context read its configuration, which OPENSSL_CONF names and which may
    // load modules.
    given(Number(call.OPENSSL_init_crypto(INIT_NO_LOAD_CONFIG, 0)), "start without a configuration");
    if (Number(call.OPENSSL_version_major()) !== 3) throw new OpensslError(`${library} is not of OpenSSL 3`);
    this.version = foreign
      .readText(Number(call.OpenSSL_version(OPENSSL_VERSION)))
      .split(" ")
      .slice(0, 2)
      .join(" ");
    // A context of our own: the default one takes its configuration and its modules from where the environment says.
    this.context = given(Number(call.OSSL_LIB_CTX_new()), "library context");
    call.OSSL_PROVIDER_set_default_search_path(this.context, Number(call.OPENSSL_info(INFO_MODULES_DIR)));
    const file = configuration ?? `${foreign.readText(Number(call.OPENSSL_info(INFO_CONFIG_DIR)))}/openssl.cnf`;
    // Without links: what was judged is what is read.
    if (existsSync(file)) this.#configure(realpathSync(file));
    if (requireFips) call.EVP_set_default_properties(this.context, text("fips=yes"));
    this.cipher = Number(call.EVP_CIPHER_fetch(this.context, text("AES-256-GCM"), 0));
    this.#derivationAlgorithm = Number(call.EVP_KDF_fetch(this.context, text("HKDF"), 0));
    call.ERR_clear_error();
    if (this.cipher === 0 || this.#derivationAlgorithm === 0) {
      throw new OpensslError(
        requireFips
          ? `No FIPS provider of ${this.version} is active (${file})`
          : `No active provider of ${this.version} has AES-256-GCM and HKDF (${file})`,
      );
    }
    this.derivation = given(Number(call.EVP_KDF_CTX_new(this.#derivationAlgorithm)), "context for HKDF");
    const provider = Number(call.OSSL_PROVIDER_get0_name(Number(call.EVP_CIPHER_get0_provider(this.cipher))));
    this.fips = foreign.readText(provider) === "fips";
  }

  close(): void {
    const call = this.functions;
    call.EVP_KDF_CTX_free(this.derivation);
    call.EVP_KDF_free(this.#derivationAlgorithm);
    call.EVP_CIPHER_free(this.cipher);
    call.OSSL_LIB_CTX_free(this.context);
  }

  #configure(file: string): void {
    const writer = whoElseMayWrite(file);
    if (writer !== undefined) throw new OpensslError(`${file} can't be trusted: ${writer}`);
    if (Number(this.functions.OSSL_LIB_CTX_load_config(this.context, text(file))) !== 1) {
      throw new OpensslError(`${this.version} can't use its configuration, ${file}`);
    }
  }
}

export function given(address: number, what: string): number {
  if (address === 0) throw new OpensslError(`OpenSSL gives no ${what}`);
  return address;
}

/** Every function called by way of this answers 1 when it has done its work. */
export function check(answer: number | bigint): void {
  if (answer !== 1) throw new OpensslError("OpenSSL did not do its work");
}
