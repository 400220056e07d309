/**
 * A wrapping session (blob-format.md): which salt a blob is made under, which keys are ready, and what a reader checks before it
 * opens. The hot path: every wrap and unwrap runs through here.
 */
import { OperationError } from "../../base/errors.ts";
import { wipe } from "../../base/wipe.ts";
import {
  COMMITMENT_LENGTH,
  DATA_KEY_SUITE,
  type DataKeyLength,
  encodeIdentity,
  identityLength,
  isDataKeyLength,
  NONCE_LENGTH,
  type ParsedBlob,
  SALT_LENGTH,
  type ServiceKeyIdentity,
  type Suite,
  VALUE_LENGTH_MAX,
  VALUE_SUITE,
} from "./blob.ts";
import type { CipherAdapter, ServiceKeyReader, TakeSealed, WrappingSession } from "./cipher.ts";
import { copyOf } from "./copy.ts";
import { infoFor } from "./key-derivation.ts";
import type { ReadyKeys } from "./ready-keys.ts";
import { isSalt, SaltKey, type SaltKeyOwner, startOfSalt } from "./salt-key.ts";

/** What the sessions of one cipher share. */
export interface SessionParts {
  readonly adapter: CipherAdapter;
  readonly ready: ReadyKeys;
  readonly blobsPerSalt: number;
  /** Counts the renewals. A salt of an earlier generation is not wrapped under. */
  readonly generation: number;
  /** Told after derived keys were wiped. */
  readonly onWiped: () => void;
  /** Told by a session that was wiped, once. */
  ended(session: Session): void;
}

/** What a session wraps under, of one suite. */
interface Writing {
  readonly key: SaltKey;
  readonly generation: number;
  blobs: number;
}

export class Session implements WrappingSession, SaltKeyOwner {
  readonly #cipher: SessionParts;
  readonly #identity: ServiceKeyIdentity;
  readonly #serviceKey: ServiceKeyReader;
  readonly #saltOffset: number;
  readonly #nonceOffset: number;
  readonly #ciphertextOffset: number;
  /** Undefined until the first wrap, and once wiped. */
  #dataKeys: Writing | undefined;
  #values: Writing | undefined;
  /**
   * Keys for opening, by the first four bytes of the salt, so that a look-up makes no string; the rest is compared. Salts are
   * random: two that begin alike only cost a derivation.
   */
  #opening: Map<number, SaltKey> | undefined;
  #isWiped = false;

  constructor(cipher: SessionParts, identity: ServiceKeyIdentity, serviceKey: ServiceKeyReader) {
    this.#cipher = cipher;
    this.#identity = identity;
    this.#serviceKey = serviceKey;
    this.#saltOffset = identityLength(identity);
    this.#nonceOffset = this.#saltOffset + SALT_LENGTH;
    this.#ciphertextOffset = this.#nonceOffset + NONCE_LENGTH + COMMITMENT_LENGTH;
  }

  createKey(length: DataKeyLength, context: Uint8Array, plaintext?: Uint8Array): Uint8Array {
    const key = this.#writingKey(DATA_KEY_SUITE);
    return key.derived!.sealRandom(key.header, this.#nonceOffset, context, length, plaintext);
  }

  createKeyTo(length: DataKeyLength, context: Uint8Array, isTold: boolean, take: TakeSealed): void {
    const { derived, header } = this.#writingKey(DATA_KEY_SUITE);
    if (derived!.sealRandomTo !== undefined) {
      derived!.sealRandomTo(header, this.#nonceOffset, context, length, isTold, take);
      return;
    }
    const dataKey = isTold ? new Uint8Array(length) : undefined;
    try {
      take(derived!.sealRandom(header, this.#nonceOffset, context, length, dataKey), dataKey);
    } finally {
      if (dataKey !== undefined) wipe(dataKey);
    }
  }

  wrap(plaintext: Uint8Array, context: Uint8Array, suite: Suite = DATA_KEY_SUITE): Uint8Array {
    const { length } = plaintext;
    if (suite === DATA_KEY_SUITE ? !isDataKeyLength(length) : length < 1 || length > VALUE_LENGTH_MAX) {
      throw new RangeError(`A blob of suite ${suite} holds no ${length} bytes.`);
    }
    const key = this.#writingKey(suite);
    return key.derived!.seal(key.header, this.#nonceOffset, context, plaintext);
  }

  unwrap(blob: ParsedBlob, context: Uint8Array): Uint8Array {
    this.#checkOpen();
    const { bytes, saltOffset, suite } = blob;
    // What this session wrapped itself, under the salt that it still wraps under.
    const own = (suite === DATA_KEY_SUITE ? this.#dataKeys : this.#values)?.key;
    if (own?.derived !== undefined && isSalt(own.header, bytes, saltOffset)) return this.#open(own, blob, context);
    const known = this.#opening?.get(startOfSalt(bytes, saltOffset));
    if (known?.derived !== undefined && known.suite === suite && isSalt(known.header, bytes, saltOffset)) {
      return this.#open(known, blob, context);
    }
    return this.#openUnderNewKey(blob, context);
  }

  wipe(): void {
    if (this.#isWiped) return;
    this.#isWiped = true;
    const { ready } = this.#cipher;
    for (const key of [...(this.#opening?.values() ?? []), this.#dataKeys?.key, this.#values?.key]) {
      if (key === undefined) continue;
      ready.leave(key);
      key.close();
    }
    this.#opening = undefined;
    this.#dataKeys = undefined;
    this.#values = undefined;
    this.#cipher.ended(this);
  }

  /** For a test that they are bounded. */
  get keptForOpening(): number {
    return this.#opening?.size ?? 0;
  }

  /** A key of this session gave way to another: one for opening is forgotten, one for wrapping keeps its salt. */
  gaveWay(key: SaltKey): void {
    if (this.#opening?.get(key.saltStart) === key) this.#opening.delete(key.saltStart);
  }

  #open(key: SaltKey, blob: ParsedBlob, context: Uint8Array): Uint8Array {
    const { bytes, nonceOffset, commitmentOffset, ciphertextOffset } = blob;
    const { header } = key;
    // The salt is the key's. In constant time the commitment; the identity is authenticated, like all that comes before.
    let difference = header.length ^ ciphertextOffset;
    for (let index = commitmentOffset; index < ciphertextOffset; index++) difference |= header[index]! ^ bytes[index]!;
    if (difference !== 0) throw DECRYPTION_FAILED[blob.suite];
    const plaintext = key.derived!.open(bytes, nonceOffset, ciphertextOffset, context);
    if (plaintext === undefined) throw DECRYPTION_FAILED[blob.suite];
    this.#cipher.ready.touch(key);
    return plaintext;
  }

  /** "Cache a derived key only after a blob has opened under it." A made-up salt costs its derivation, and nothing more. */
  #openUnderNewKey(blob: ParsedBlob, context: Uint8Array): Uint8Array {
    const { bytes, suite, saltOffset, nonceOffset, commitmentOffset, ciphertextOffset } = blob;
    const identity = encodeIdentity(this.#identity, suite);
    if (!startsWith(bytes, identity)) throw DECRYPTION_FAILED[suite];
    const derived = this.#cipher.adapter.deriveKey(
      this.#serviceKey,
      copyOf(bytes, saltOffset, nonceOffset),
      infoFor(identity),
      copyOf(bytes, commitmentOffset, ciphertextOffset),
    );
    if (derived === undefined) throw DECRYPTION_FAILED[suite];
    let plaintext: Uint8Array | undefined;
    try {
      plaintext = derived.open(bytes, nonceOffset, ciphertextOffset, context);
    } finally {
      if (plaintext === undefined) {
        derived.close();
        // The library's freed copy of K is overwritten as after a session's end.
        this.#cipher.onWiped();
      }
    }
    if (plaintext === undefined) throw DECRYPTION_FAILED[suite];
    this.#keepForOpening(new SaltKey(this, suite, saltOffset, copyOf(bytes, 0, ciphertextOffset), derived));
    return plaintext;
  }

  #keepForOpening(key: SaltKey): void {
    this.#opening ??= new Map();
    const alike = this.#opening.get(key.saltStart);
    if (alike !== undefined) {
      this.#cipher.ready.leave(alike);
      alike.close();
    }
    this.#opening.set(key.saltStart, key);
    this.#cipher.ready.enter(key, this.#identity.tenant);
  }

  /** The key to wrap the next blob under, ready. */
  #writingKey(suite: Suite): SaltKey {
    const writing = suite === DATA_KEY_SUITE ? this.#dataKeys : this.#values;
    const { generation, blobsPerSalt, ready } = this.#cipher;
    if (writing === undefined || writing.generation !== generation || writing.blobs === blobsPerSalt) {
      return this.#drawSalt(suite, writing);
    }
    writing.blobs++;
    const { key } = writing;
    if (key.derived === undefined) this.#makeReady(key);
    else ready.touch(key);
    return key;
  }

  #drawSalt(suite: Suite, before: Writing | undefined): SaltKey {
    this.#checkOpen();
    const { adapter, ready, generation } = this.#cipher;
    const salt = new Uint8Array(SALT_LENGTH);
    adapter.fillRandom(salt);
    const identity = encodeIdentity(this.#identity, suite);
    const derived = adapter.deriveKey(this.#serviceKey, salt, infoFor(identity))!;
    const header = new Uint8Array(this.#ciphertextOffset);
    header.set(identity);
    header.set(salt, this.#saltOffset);
    header.set(derived.commitment, this.#nonceOffset + NONCE_LENGTH);
    const key = new SaltKey(this, suite, this.#saltOffset, header, derived);
    if (before !== undefined) {
      ready.leave(before.key);
      before.key.close();
    }
    const writing: Writing = { key, generation, blobs: 1 };
    if (suite === DATA_KEY_SUITE) this.#dataKeys = writing;
    else this.#values = writing;
    ready.enter(key, this.#identity.tenant);
    return key;
  }

  #makeReady(key: SaltKey): void {
    const { header, suite } = key;
    const { adapter, ready } = this.#cipher;
    key.derived = adapter.deriveKey(
      this.#serviceKey,
      copyOf(header, this.#saltOffset, this.#nonceOffset),
      infoFor(encodeIdentity(this.#identity, suite)),
    );
    ready.enter(key, this.#identity.tenant);
  }

  #checkOpen(): void {
    if (this.#isWiped) throw new Error("This wrapping session was wiped.");
  }
}

/** Not on a hit. */
function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  return start.every((byte, index) => byte === bytes[index]);
}

/** By suite. One error for all of its blobs: it says nothing of the caller, nor of the blob. */
const DECRYPTION_FAILED = {
  [DATA_KEY_SUITE]: doesNotOpen("wrapped key"),
  [VALUE_SUITE]: doesNotOpen("encrypted value"),
};

function doesNotOpen(what: string): OperationError {
  return Object.freeze(
    new OperationError(
      "decryption_failed",
      `The ${what} does not open: it was altered, or the context is not the one given at its creation.`,
    ),
  );
}
