/**
 * The adapter over the machine's own OpenSSL (libcrypto 3), by EVP: a context for each wrapping key, kept and used again with
 * another nonce. Service keys go from key memory to the library by their address, wrapping keys are in its contexts alone, and
 * data keys are drawn, encrypted and wiped outside the runtime's heap.
 */
import { timingSafeEqual } from "node:crypto";
import { existsSync } from "node:fs";
import type { ForeignFunctions } from "../../../base/system/libc.ts";
import { NONCE_LENGTH, TAG_LENGTH } from "../blob.ts";
import type { CipherAdapter, DerivedKey, ServiceKeyReader, TakeMemory } from "../cipher.ts";
import { DERIVED_LENGTH, WRAPPING_KEY_LENGTH } from "../key-derivation.ts";
import { OpensslError, whoElseMayWrite } from "./find-library.ts";
import {
  INFO_CONFIG_DIR,
  INFO_MODULES_DIR,
  OPENSSL_VERSION,
  type OpensslFunctions,
  openFunctions,
} from "./functions.ts";
import {
  BLOB,
  CONTEXT,
  DERIVED,
  FINAL_OUT,
  LENGTH_OUT,
  PLAINTEXT,
  POOL,
  POOL_LENGTH,
  Scratch,
  wholeWords,
} from "./scratch.ts";

export interface OpensslOptions {
  readonly foreign: ForeignFunctions;
  /** The library's file. */
  readonly library: string;
  readonly takeMemory: TakeMemory;
  /** Ask for algorithms of a FIPS module alone; without one there is no adapter. */
  readonly requireFips?: boolean;
  /** In the place of the system's `openssl.cnf`, which is where a FIPS provider is switched on. */
  readonly configuration?: string | undefined;
  /** For tests that need a known salt and nonce. */
  readonly fillRandom?: ((bytes: Uint8Array) => void) | undefined;
}

/** @throws {OpensslError} */
export function createOpensslAdapter(options: OpensslOptions): OpensslAdapter {
  let functions: OpensslFunctions;
  try {
    functions = openFunctions(options.foreign, options.library);
  } catch (cause) {
    throw new OpensslError(`${options.library} does not load: ${cause instanceof Error ? cause.message : cause}`);
  }
  const library = new Library(functions, options);
  return new OpensslAdapter(library, new Scratch(options.takeMemory, options.foreign.addressOf), options);
}

const text = (value: string): Uint8Array => new TextEncoder().encode(`${value}\0`);

/** What is opened once: a library context of our own, its providers, and the two algorithms. */
class Library {
  readonly functions: OpensslFunctions;
  readonly version: string;
  readonly fips: boolean;
  readonly context: number;
  readonly cipher: number;
  readonly derivation: number;
  readonly #derivationAlgorithm: number;

  constructor(functions: OpensslFunctions, { foreign, library, requireFips = false, configuration }: OpensslOptions) {
    const call = functions;
    this.functions = functions;
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
    if (existsSync(file)) this.#configure(file);
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

export class OpensslAdapter implements CipherAdapter {
  readonly name = "openssl";
  readonly library: string;
  readonly fips: boolean;
  readonly openssl: Library;
  readonly scratch: Scratch;
  readonly #foreign: ForeignFunctions;
  readonly #fillRandom: ((bytes: Uint8Array) => void) | undefined;
  #nextRandom = POOL + POOL_LENGTH;
  #isClosed = false;

  constructor(openssl: Library, scratch: Scratch, { foreign, fillRandom }: OpensslOptions) {
    this.library = openssl.version;
    this.fips = openssl.fips;
    this.openssl = openssl;
    this.scratch = scratch;
    this.#foreign = foreign;
    this.#fillRandom = fillRandom;
  }

  fillRandom(target: Uint8Array): void {
    const { bytes } = this.scratch;
    for (let offset = 0; offset < target.length; offset += POOL_LENGTH) {
      const part = target.subarray(offset, offset + POOL_LENGTH);
      const place = this.draw(part.length);
      part.set(bytes.subarray(place, place + part.length));
      this.scratch.wipeWords(place, part.length);
    }
  }

  /** Where the next `length` random bytes are. Whoever draws them wipes them there. */
  draw(length: number): number {
    if (this.#fillRandom !== undefined) {
      this.#fillRandom(this.scratch.bytes.subarray(POOL, POOL + length));
      return POOL;
    }
    const place = this.#nextRandom;
    const end = place + wholeWords(length);
    if (end > POOL + POOL_LENGTH) return this.#refill(length);
    this.#nextRandom = end;
    return place;
  }

  deriveKey(
    serviceKey: ServiceKeyReader,
    salt: Uint8Array,
    info: Uint8Array,
    expected?: Uint8Array,
  ): DerivedKey | undefined {
    if (this.#isClosed) throw new Error("The cipher is closed.");
    const { bytes, address, derivationParameters } = this.scratch;
    const call = this.openssl.functions;
    const { derivation } = this.openssl;
    try {
      serviceKey.use((key) => {
        this.scratch.setDerivation(this.#foreign.addressOf(key), key.length, salt, info);
        const done = call.EVP_KDF_derive(derivation, address + DERIVED, DERIVED_LENGTH, derivationParameters);
        // It keeps a copy of the key until then.
        call.EVP_KDF_CTX_reset(derivation);
        check(done);
      });
      const commitment = bytes.slice(DERIVED + WRAPPING_KEY_LENGTH, DERIVED + DERIVED_LENGTH);
      if (expected !== undefined && !isEqual(commitment, expected)) return undefined;
      return this.keyOf(undefined, commitment);
    } finally {
      bytes.fill(0, DERIVED, DERIVED + DERIVED_LENGTH);
    }
  }

  /** The key in the first 32 bytes, or the one just derived: published vectors give keys that nothing derives. */
  keyOf(bytes: Uint8Array | undefined, commitment: Uint8Array): OpensslKey {
    const call = this.openssl.functions;
    const { scratch } = this;
    if (bytes !== undefined) scratch.bytes.set(bytes.subarray(0, WRAPPING_KEY_LENGTH), DERIVED);
    const context = given(Number(call.EVP_CIPHER_CTX_new()), "context");
    const key = new OpensslKey(this, context, commitment);
    check(call.EVP_EncryptInit_ex2(context, this.openssl.cipher, scratch.address + DERIVED, 0, 0));
    scratch.bytes.fill(0, DERIVED, DERIVED + WRAPPING_KEY_LENGTH);
    return key;
  }

  reseed(): void {
    const call = this.openssl.functions;
    const generator = Number(call.RAND_get0_public(this.openssl.context));
    // With prediction resistance: from the operating system, by way of every generator between.
    check(call.EVP_RAND_reseed(generator, 1, 0, 0, 0, 0));
    this.#discardRandom();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.scratch.close();
    this.openssl.close();
  }

  #discardRandom(): void {
    this.scratch.bytes.fill(0, POOL, POOL + POOL_LENGTH);
    this.#nextRandom = POOL + POOL_LENGTH;
  }

  #refill(length: number): number {
    const call = this.openssl.functions;
    check(call.RAND_bytes_ex(this.openssl.context, this.scratch.address + POOL, POOL_LENGTH, 256));
    this.#nextRandom = POOL + wholeWords(length);
    return POOL;
  }
}

class OpensslKey implements DerivedKey {
  readonly commitment: Uint8Array;
  readonly #adapter: OpensslAdapter;
  /** The address of EVP's context; 0 once closed. */
  #context: number;

  constructor(adapter: OpensslAdapter, context: number, commitment: Uint8Array) {
    this.#adapter = adapter;
    this.#context = context;
    this.commitment = commitment;
  }

  /** `authenticated`: how much of the header is; all of it, but for published vectors, whose nonces are not. */
  seal(
    header: Uint8Array,
    nonceOffset: number,
    context: Uint8Array,
    plaintext: Uint8Array,
    authenticated = header.length,
  ): Uint8Array {
    const { scratch } = this.#adapter;
    const { length } = plaintext;
    this.#begin(header, nonceOffset, context, length, this.#adapter.draw(NONCE_LENGTH), authenticated);
    scratch.putPlaintext(plaintext);
    try {
      return this.#encrypt(header.length, PLAINTEXT, length);
    } finally {
      scratch.wipePlaintext(length);
    }
  }

  sealRandom(
    header: Uint8Array,
    nonceOffset: number,
    context: Uint8Array,
    length: number,
    plaintext?: Uint8Array,
  ): Uint8Array {
    const { scratch } = this.#adapter;
    const place = this.#adapter.draw(length + NONCE_LENGTH);
    try {
      if (plaintext !== undefined) {
        if (plaintext.length !== length) throw new RangeError(`The data key has ${length} bytes, its buffer has not.`);
        for (let index = 0; index < length; index++) plaintext[index] = scratch.bytes[place + index]!;
      }
      this.#begin(header, nonceOffset, context, length, place + length, header.length);
      return this.#encrypt(header.length, place, length);
    } finally {
      scratch.wipeWords(place, length);
    }
  }

  open(
    blob: Uint8Array,
    nonceOffset: number,
    ciphertextOffset: number,
    context: Uint8Array,
    authenticated = ciphertextOffset,
  ): Uint8Array | undefined {
    this.#checkOpen();
    const { scratch, openssl } = this.#adapter;
    const call = openssl.functions;
    const { address } = scratch;
    const length = blob.length - TAG_LENGTH - ciphertextOffset;
    scratch.putBlob(blob);
    scratch.setTag(BLOB + blob.length - TAG_LENGTH);
    const at = address + BLOB;
    check(call.EVP_DecryptInit_ex2(this.#context, 0, 0, at + nonceOffset, scratch.tagParameters));
    check(call.EVP_DecryptUpdate(this.#context, 0, address + LENGTH_OUT, at, authenticated));
    if (context.length > 0) {
      scratch.putContext(context);
      check(call.EVP_DecryptUpdate(this.#context, 0, address + LENGTH_OUT, address + CONTEXT, context.length));
    }
    try {
      check(
        call.EVP_DecryptUpdate(this.#context, address + PLAINTEXT, address + LENGTH_OUT, at + ciphertextOffset, length),
      );
      if (call.EVP_DecryptFinal_ex(this.#context, address + FINAL_OUT, address + LENGTH_OUT) === 1) {
        return scratch.takePlaintext(length);
      }
      call.ERR_clear_error();
      return undefined;
    } finally {
      scratch.wipePlaintext(length);
    }
  }

  close(): void {
    if (this.#context === 0) return;
    // Wipes the key and all that was made of it.
    this.#adapter.openssl.functions.EVP_CIPHER_CTX_free(this.#context);
    this.#context = 0;
  }

  /** Puts the header in its place, a nonce from the pool in it, and has all of it and the context authenticated. */
  #begin(
    header: Uint8Array,
    nonceOffset: number,
    context: Uint8Array,
    length: number,
    noncePlace: number,
    authenticated: number,
  ): void {
    this.#checkOpen();
    const { scratch, openssl } = this.#adapter;
    const call = openssl.functions;
    const { address, bytes } = scratch;
    scratch.putHeader(header, length);
    const nonce = BLOB + nonceOffset;
    for (let index = 0; index < NONCE_LENGTH; index++) bytes[nonce + index] = bytes[noncePlace + index]!;
    scratch.wipeWords(noncePlace, NONCE_LENGTH);
    check(call.EVP_EncryptInit_ex2(this.#context, 0, 0, address + nonce, 0));
    check(call.EVP_EncryptUpdate(this.#context, 0, address + LENGTH_OUT, address + BLOB, authenticated));
    if (context.length > 0) {
      scratch.putContext(context);
      check(call.EVP_EncryptUpdate(this.#context, 0, address + LENGTH_OUT, address + CONTEXT, context.length));
    }
  }

  /** Encrypts what is at `place` behind the header, adds the tag, and answers the blob. */
  #encrypt(headerLength: number, place: number, length: number): Uint8Array {
    const { scratch, openssl } = this.#adapter;
    const call = openssl.functions;
    const { address } = scratch;
    const end = BLOB + headerLength + length;
    scratch.setTag(end);
    check(call.EVP_EncryptUpdate(this.#context, address + end - length, address + LENGTH_OUT, address + place, length));
    check(call.EVP_EncryptFinal_ex(this.#context, address + FINAL_OUT, address + LENGTH_OUT));
    check(call.EVP_CIPHER_CTX_get_params(this.#context, scratch.tagParameters));
    return scratch.takeBlob(headerLength + length + TAG_LENGTH);
  }

  #checkOpen(): void {
    if (this.#context === 0) throw new Error("This wrapping key was wiped.");
  }
}

function given(address: number, what: string): number {
  if (address === 0) throw new OpensslError(`OpenSSL gives no ${what}`);
  return address;
}

/** Every function called by way of this answers 1 when it has done its work. */
function check(answer: number | bigint): void {
  if (answer !== 1) throw new OpensslError("OpenSSL did not do its work");
}

/** In constant time. */
function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}
