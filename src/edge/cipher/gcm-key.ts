/**
 * AES-256-GCM (NIST SP 800-38D) under one key for many messages, which all begin with the same additional data.
 *
 * `node:crypto` can't use a GCM context twice, and making one takes three quarters of a wrap. So only AES itself comes from
 * there, in a context that lives as long as the key here (ECB is what its bare block operation is called), and GCM is
 * put together from it: counter mode and GHASH. What a header adds to GHASH is summed once, all but its nonce.
 */
import { type Cipheriv, createCipheriv } from "node:crypto";
import { wipe } from "../../base/wipe.ts";
import { NONCE_LENGTH, TAG_LENGTH } from "./blob.ts";
import { Ghash } from "./ghash.ts";
import { WRAPPING_KEY_LENGTH } from "./key-derivation.ts";

const BLOCK_LENGTH = 16;
const MESSAGE_BLOCKS_MAX = 4;
/** Keys that are ready at a time, in the whole process; the one made first gives way, and is made again when it is used. */
export const READY_KEYS_MAX = 8_192;

/** The first counter blocks of a message, which only the nonce is missing from; by the number of its blocks. */
const COUNTERS = new Uint8Array(BLOCK_LENGTH * (1 + MESSAGE_BLOCKS_MAX));
for (let counter = 1; counter <= 1 + MESSAGE_BLOCKS_MAX; counter++) COUNTERS[counter * BLOCK_LENGTH - 1] = counter;
const COUNTERS_OF = Array.from({ length: 1 + MESSAGE_BLOCKS_MAX }, (_, blocks) =>
  COUNTERS.subarray(0, (1 + blocks) * BLOCK_LENGTH),
);

let ghash: Ghash | undefined;
const owners: (GcmKey | undefined)[] = [];
const freeSlots: number[] = [];
let nextVictim = 0;

/** Where a key comes from that is not ready: nobody keeps its bytes. */
export interface KeyDeriver {
  /** The key of blobs with this header, maybe with more behind it, in a buffer (`allocateSecret`) that is then the taker's to wipe. */
  deriveFor(header: Uint8Array): Uint8Array;
}

export class GcmKey {
  readonly #deriver: KeyDeriver;
  /** Every message's beginning, the nonce's place being zeros. */
  readonly header: Uint8Array;
  readonly #nonceOffset: number;
  #aes: Cipheriv | undefined;
  #slot = 0;
  /** GHASH of the header and as many zero blocks as its place in the list says. */
  #bases: (Uint8Array | undefined)[] | undefined;

  /**
   * `header` stays the caller's, who does not change it while this is in use; the nonce's place in the header, at
   * `nonceOffset`, holds zeros and at most 40 bytes of the header come after it.
   */
  constructor(deriver: KeyDeriver, header: Uint8Array, nonceOffset: number) {
    this.#deriver = deriver;
    this.header = header;
    this.#nonceOffset = nonceOffset;
  }

  /** Writes ciphertext and tag into `blob` from `offset` on; its nonce stands there already. `plaintext`: 1 to 4 whole blocks. */
  encrypt(blob: Uint8Array, context: Uint8Array, plaintext: Uint8Array, offset: number): void {
    const { length } = plaintext;
    const stream = this.#begin(blob, context, length);
    const { blocks, result } = ghash!;
    for (let index = 0; index < length; index++) {
      blocks[index] = blob[offset + index] = plaintext[index]! ^ stream[BLOCK_LENGTH + index]!;
    }
    this.#addMessage(length);
    for (let index = 0; index < TAG_LENGTH; index++) {
      blob[offset + length + index] = result[index]! ^ stream[index]!;
      result[index] = 0;
    }
    wipe(stream);
  }

  /** The plaintext in a new buffer, the caller's to wipe; undefined when the tag, which ends the blob, does not fit. */
  decrypt(blob: Uint8Array, context: Uint8Array, offset: number): Uint8Array | undefined {
    const length = blob.length - TAG_LENGTH - offset;
    const stream = this.#begin(blob, context, length);
    const { blocks, result } = ghash!;
    for (let index = 0; index < length; index++) blocks[index] = blob[offset + index]!;
    this.#addMessage(length);
    let difference = 0;
    for (let index = 0; index < TAG_LENGTH; index++) {
      difference |= blob[offset + length + index]! ^ result[index]! ^ stream[index]!;
      result[index] = 0;
    }
    let plaintext: Uint8Array | undefined;
    if (difference === 0) {
      plaintext = new Uint8Array(length);
      for (let index = 0; index < length; index++) {
        plaintext[index] = blob[offset + index]! ^ stream[BLOCK_LENGTH + index]!;
      }
    }
    wipe(stream);
    return plaintext;
  }

  /** Gives up what is ready, and wipes it. */
  close(): void {
    if (this.#aes === undefined) return;
    // The library wipes and frees the expanded key.
    this.#aes.final();
    this.#aes = undefined;
    ghash!.wipe(this.#slot);
    owners[this.#slot] = undefined;
    freeSlots.push(this.#slot);
    for (const base of this.#bases ?? []) if (base !== undefined) wipe(base);
    this.#bases = undefined;
  }

  /** The key stream, of which the first block is for the tag; and GHASH of all but the message, whose blocks count as zeros. */
  #begin(blob: Uint8Array, context: Uint8Array, length: number): Uint8Array {
    const aes = this.#aes ?? this.open(this.#deriver.deriveFor(this.header));
    const nonceOffset = this.#nonceOffset;
    const count = length / BLOCK_LENGTH;
    for (let index = 0; index < NONCE_LENGTH; index++) {
      const byte = blob[nonceOffset + index]!;
      for (let at = index; at <= length + index; at += BLOCK_LENGTH) COUNTERS[at] = byte;
    }
    if (context.length > 0) {
      const additionalData = new Uint8Array(this.header.length + context.length);
      additionalData.set(blob.subarray(0, this.header.length));
      additionalData.set(context, this.header.length);
      ghash!.digest(this.#slot, authenticated(additionalData, length));
      return aes.update(COUNTERS_OF[count]!);
    }
    const { blocks, result } = ghash!;
    const base = this.#bases?.[count] ?? this.#sumBase(length);
    // Loops here: calls of `set` and `fill` take longer for so few bytes.
    for (let index = 0; index < BLOCK_LENGTH; index++) result[index] = base[index]!;
    const place = nonceOffset % BLOCK_LENGTH;
    const nonceBlocks = place + NONCE_LENGTH > BLOCK_LENGTH ? 2 : 1;
    for (let index = 0; index < 2 * BLOCK_LENGTH; index++) blocks[index] = 0;
    for (let index = 0; index < NONCE_LENGTH; index++) blocks[place + index] = COUNTERS[index]!;
    const blocksToEnd = Math.ceil(this.header.length / BLOCK_LENGTH) - (nonceOffset - place) / BLOCK_LENGTH + count + 1;
    ghash!.add(this.#slot, blocksToEnd, nonceBlocks);
    return aes.update(COUNTERS_OF[count]!);
  }

  #addMessage(length: number): void {
    const count = length / BLOCK_LENGTH;
    ghash!.add(this.#slot, count + 1, count);
  }

  #sumBase(length: number): Uint8Array {
    ghash!.digest(this.#slot, authenticated(this.header, length));
    const base = ghash!.result.slice();
    this.#bases ??= [];
    this.#bases[length / BLOCK_LENGTH] = base;
    return base;
  }

  /** Makes ready. The key is the first 32 bytes; all of `derived` is wiped. */
  open(derived: Uint8Array): Cipheriv {
    ghash ??= new Ghash(READY_KEYS_MAX);
    let slot = freeSlots.pop();
    if (slot === undefined && owners.length < READY_KEYS_MAX) slot = owners.length;
    if (slot === undefined) {
      owners[nextVictim]!.close();
      slot = freeSlots.pop()!;
      nextVictim = (nextVictim + 1) % READY_KEYS_MAX;
    }
    owners[slot] = this;
    this.#slot = slot;
    const aes = createCipheriv("aes-256-ecb", derived.subarray(0, WRAPPING_KEY_LENGTH), null).setAutoPadding(false);
    wipe(derived);
    this.#aes = aes;
    const hashKey = aes.update(new Uint8Array(BLOCK_LENGTH));
    ghash.enter(slot, hashKey);
    wipe(hashKey);
    return aes;
  }
}

/** What GHASH reads (6.4, 7.1): the additional data, the ciphertext, here zeros, and the lengths of both in bits. */
function authenticated(additionalData: Uint8Array, length: number): Uint8Array {
  const padded = Math.ceil(additionalData.length / BLOCK_LENGTH) * BLOCK_LENGTH;
  const message = new Uint8Array(padded + length + BLOCK_LENGTH);
  message.set(additionalData);
  const lengths = new DataView(message.buffer, padded + length);
  lengths.setUint32(4, additionalData.length * 8);
  lengths.setUint32(12, length * 8);
  return message;
}
