/** The wrapping key of one salt, and what tells which salt a blob is of. */
import { SALT_LENGTH, type Suite } from "./blob.ts";
import type { DerivedKey } from "./cipher.ts";
import { ReadyKey } from "./ready-keys.ts";

export interface SaltKeyOwner {
  /** Its key is no longer ready: another one took the place. */
  gaveWay(key: SaltKey): void;
}

/** The wrapping key of one salt: its header for ever, K while it is ready. */
export class SaltKey extends ReadyKey {
  readonly owner: SaltKeyOwner;
  readonly suite: Suite;
  /** The first four bytes of the salt, for a look-up that makes no string. */
  readonly saltStart: number;
  /** What blobs of this salt begin with; in the nonce's place is nothing that counts. */
  readonly header: Uint8Array;
  derived: DerivedKey | undefined;

  constructor(owner: SaltKeyOwner, suite: Suite, saltOffset: number, header: Uint8Array, derived: DerivedKey) {
    super();
    this.owner = owner;
    this.suite = suite;
    this.saltStart = startOfSalt(header, saltOffset);
    this.header = header;
    this.derived = derived;
  }

  giveWay(): void {
    this.close();
    this.owner.gaveWay(this);
  }

  close(): void {
    this.derived?.close();
    this.derived = undefined;
  }
}

export function startOfSalt(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!;
}

export function isSalt(header: Uint8Array, bytes: Uint8Array, offset: number): boolean {
  for (let index = offset; index < offset + SALT_LENGTH; index++) if (header[index] !== bytes[index]) return false;
  return true;
}
