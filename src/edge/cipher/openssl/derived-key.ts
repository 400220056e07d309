/** AES-256-GCM under one wrapping key, which is in an EVP context and nowhere else. */
import { wipe } from "../../../base/wipe.ts";
import { NONCE_LENGTH, TAG_LENGTH } from "../blob.ts";
import type { DerivedKey, TakeSealed } from "../cipher.ts";
import { check, given, type Library } from "./library.ts";
import type { RandomDraws } from "./random-draws.ts";
import { BLOB, DERIVED, FINAL_OUT, LENGTH_OUT, type Scratch } from "./scratch.ts";

/** What the keys of one adapter share. */
export interface KeyParts {
  readonly library: Library;
  readonly scratch: Scratch;
  readonly random: RandomDraws;
}

export class OpensslKey implements DerivedKey {
  readonly commitment: Uint8Array;
  readonly #parts: KeyParts;
  /** The address of EVP's context; 0 once closed. */
  #context: number;
  /** Whether that context was last made ready for opening, so that a nonce and a tag are all it needs. */
  #isForOpening = false;

  /** Of the 32 bytes at `DERIVED`, which stay the caller's to wipe. */
  constructor(parts: KeyParts, commitment: Uint8Array) {
    const { library, scratch } = parts;
    const call = library.functions;
    this.#parts = parts;
    this.commitment = commitment;
    this.#context = given(Number(call.EVP_CIPHER_CTX_new()), "context");
    check(call.EVP_EncryptInit_ex2(this.#context, library.cipher, scratch.address + DERIVED, 0, 0));
  }

  /** `authenticated`: how much of the header is; all of it, but for published vectors, whose nonces are not. */
  seal(
    header: Uint8Array,
    nonceOffset: number,
    context: Uint8Array,
    plaintext: Uint8Array,
    authenticated = header.length,
  ): Uint8Array {
    const { library, scratch, random } = this.#parts;
    const { length } = plaintext;
    this.#begin(header, nonceOffset, context, length, random.draw(NONCE_LENGTH), authenticated);
    const ciphertext = scratch.address + BLOB + header.length;
    const lengthOut = scratch.address + LENGTH_OUT;
    check(library.functions.encryptBytes(this.#context, ciphertext, lengthOut, plaintext, length));
    return scratch.takeBlob(this.#finish(header.length + length));
  }

  sealRandom(
    header: Uint8Array,
    nonceOffset: number,
    context: Uint8Array,
    length: number,
    plaintext?: Uint8Array,
  ): Uint8Array {
    const { scratch, random } = this.#parts;
    const { bytes } = scratch;
    const place = random.draw(length + NONCE_LENGTH);
    try {
      if (plaintext !== undefined) {
        if (plaintext.length !== length) throw new RangeError(`The data key has ${length} bytes, its buffer has not.`);
        for (let index = 0; index < length; index++) plaintext[index] = bytes[place + index]!;
      }
      return scratch.takeBlob(this.#sealAt(place, header, nonceOffset, context, length));
    } finally {
      scratch.wipeWords(place, length);
    }
  }

  sealRandomTo(
    header: Uint8Array,
    nonceOffset: number,
    context: Uint8Array,
    length: number,
    isTold: boolean,
    take: TakeSealed,
  ): void {
    const { scratch, random } = this.#parts;
    const place = random.draw(length + NONCE_LENGTH);
    try {
      const blobLength = this.#sealAt(place, header, nonceOffset, context, length);
      take(scratch.blob(blobLength), isTold ? scratch.drawn(place, length) : undefined);
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
    const { library, scratch } = this.#parts;
    const call = library.functions;
    const { address } = scratch;
    const at = address + BLOB;
    const lengthOut = address + LENGTH_OUT;
    const tagOffset = blob.length - TAG_LENGTH;
    scratch.putBlob(blob);
    if (!this.#isForOpening) this.#makeReadyForOpening();
    check(
      call.EVP_CIPHER_CTX_set_params(this.#context, scratch.openingParameters(BLOB + tagOffset, BLOB + nonceOffset)),
    );
    check(call.EVP_DecryptUpdate(this.#context, 0, lengthOut, at, authenticated));
    if (context.length > 0) check(call.decryptBytes(this.#context, 0, lengthOut, context, context.length));
    const length = tagOffset - ciphertextOffset;
    const plaintext = new Uint8Array(length);
    const done = call.decryptToBytes(this.#context, plaintext, lengthOut, at + ciphertextOffset, length);
    if (done === 1 && call.EVP_DecryptFinal_ex(this.#context, address + FINAL_OUT, lengthOut) === 1) return plaintext;
    // Nobody gets to see what is not authentic.
    wipe(plaintext);
    call.ERR_clear_error();
    check(done);
    return undefined;
  }

  close(): void {
    if (this.#context === 0) return;
    // Wipes the key and all that was made of it.
    this.#parts.library.functions.EVP_CIPHER_CTX_free(this.#context);
    this.#context = 0;
  }

  /** Seals the data key that was drawn at a place, with the nonce drawn behind it; answers the blob's length. */
  #sealAt(place: number, header: Uint8Array, nonceOffset: number, context: Uint8Array, length: number): number {
    this.#begin(header, nonceOffset, context, length, place + length, header.length);
    const { library, scratch } = this.#parts;
    const { address } = scratch;
    const ciphertext = address + BLOB + header.length;
    check(
      library.functions.EVP_EncryptUpdate(this.#context, ciphertext, address + LENGTH_OUT, address + place, length),
    );
    return this.#finish(header.length + length);
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
    const { library, scratch } = this.#parts;
    const call = library.functions;
    const { address, bytes } = scratch;
    scratch.putHeader(header, length);
    const nonce = BLOB + nonceOffset;
    for (let index = 0; index < NONCE_LENGTH; index++) bytes[nonce + index] = bytes[noncePlace + index]!;
    scratch.wipeWords(noncePlace, NONCE_LENGTH);
    this.#isForOpening = false;
    check(call.EVP_EncryptInit_ex2(this.#context, 0, 0, address + nonce, 0));
    check(call.EVP_EncryptUpdate(this.#context, 0, address + LENGTH_OUT, address + BLOB, authenticated));
    if (context.length > 0) {
      check(call.encryptBytes(this.#context, 0, address + LENGTH_OUT, context, context.length));
    }
  }

  /** Adds the tag behind the ciphertext, which ends at `tagOffset`, and answers the blob's length. */
  #finish(tagOffset: number): number {
    const { library, scratch } = this.#parts;
    const call = library.functions;
    const { address } = scratch;
    check(call.EVP_EncryptFinal_ex(this.#context, address + FINAL_OUT, address + LENGTH_OUT));
    check(call.EVP_CIPHER_CTX_get_params(this.#context, scratch.sealingParameters(BLOB + tagOffset)));
    return tagOffset + TAG_LENGTH;
  }

  /**
   * Once ready, a context takes the nonces of further messages as the parameter for those of TLS records. `EVP_DecryptInit_ex2`
   * would ask it for the length of its nonce before each: a quarter of the library's time.
   */
  #makeReadyForOpening(): void {
    const { library, scratch } = this.#parts;
    check(library.functions.EVP_DecryptInit_ex2(this.#context, 0, 0, 0, scratch.readyParameters));
    this.#isForOpening = true;
  }

  #checkOpen(): void {
    if (this.#context === 0) throw new Error("This wrapping key was wiped.");
  }
}
