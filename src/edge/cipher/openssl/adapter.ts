/**
 * The adapter over the machine's own OpenSSL (libcrypto 3), by EVP: a context for each wrapping key, kept and used again with
 * another nonce. Service keys go from key memory to the library by their address, wrapping keys are in its contexts alone, and
 * data keys are drawn, encrypted and wiped outside the runtime's heap.
 */
import { timingSafeEqual } from "../../../base/system/builtin-modules.ts";
import type { ForeignFunctions } from "../../../base/system/libc.ts";
import type { CipherAdapter, DerivedKey, ServiceKeyReader, TakeMemory } from "../cipher.ts";
import { DERIVED_LENGTH, WRAPPING_KEY_LENGTH } from "../key-derivation.ts";
import { type KeyParts, OpensslKey } from "./derived-key.ts";
import { check, type Library, type LibraryOptions, openLibrary } from "./library.ts";
import { RandomDraws } from "./random-draws.ts";
import { DERIVED, Scratch } from "./scratch.ts";

export interface OpensslOptions extends LibraryOptions {
  readonly takeMemory: TakeMemory;
  /** For tests that need a known salt and nonce. */
  readonly fillRandom?: ((bytes: Uint8Array) => void) | undefined;
}

/** @throws {OpensslError} */
export function createOpensslAdapter(options: OpensslOptions): OpensslAdapter {
  const library = openLibrary(options);
  const scratch = new Scratch(options.takeMemory, options.foreign.addressOf);
  const random = new RandomDraws(library, scratch, options.fillRandom);
  return new OpensslAdapter({ library, scratch, random }, options.foreign);
}

export class OpensslAdapter implements CipherAdapter {
  readonly name = "openssl";
  readonly library: string;
  readonly fips: boolean;
  readonly #parts: KeyParts;
  readonly #openssl: Library;
  readonly #foreign: ForeignFunctions;
  #isClosed = false;

  constructor(parts: KeyParts, foreign: ForeignFunctions) {
    const { library } = parts;
    this.library = library.version;
    this.fips = library.fips;
    this.#parts = parts;
    this.#openssl = library;
    this.#foreign = foreign;
  }

  fillRandom(target: Uint8Array): void {
    this.#parts.random.fill(target);
  }

  deriveKey(
    serviceKey: ServiceKeyReader,
    salt: Uint8Array,
    info: Uint8Array,
    expected?: Uint8Array,
  ): DerivedKey | undefined {
    if (this.#isClosed) throw new Error("The cipher is closed.");
    const { scratch } = this.#parts;
    const { functions: call, derivation } = this.#openssl;
    const { bytes, address, derivationParameters } = scratch;
    try {
      serviceKey.use((key) => {
        scratch.setDerivation(this.#foreign.addressOf(key), key.length, salt, info);
        const done = call.EVP_KDF_derive(derivation, address + DERIVED, DERIVED_LENGTH, derivationParameters);
        // It keeps a copy of the key until then.
        call.EVP_KDF_CTX_reset(derivation);
        check(done);
      });
      const commitment = bytes.slice(DERIVED + WRAPPING_KEY_LENGTH, DERIVED + DERIVED_LENGTH);
      if (expected !== undefined && !isEqual(commitment, expected)) return undefined;
      return new OpensslKey(this.#parts, commitment);
    } finally {
      bytes.fill(0, DERIVED, DERIVED + DERIVED_LENGTH);
    }
  }

  /** A key that nothing derives: published vectors give such. */
  keyOf(key: Uint8Array, commitment: Uint8Array): OpensslKey {
    const { bytes } = this.#parts.scratch;
    bytes.set(key.subarray(0, WRAPPING_KEY_LENGTH), DERIVED);
    try {
      return new OpensslKey(this.#parts, commitment);
    } finally {
      bytes.fill(0, DERIVED, DERIVED + WRAPPING_KEY_LENGTH);
    }
  }

  reseed(): void {
    this.#parts.random.reseed();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#parts.scratch.close();
    this.#openssl.close();
  }
}

/** In constant time. */
function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}
