/** The cipher over whichever adapter does the cryptography: its sessions, and the keys that they have ready. */
import type { ServiceKeyIdentity } from "./blob.ts";
import type { Cipher, CipherAdapter, CipherDescription, ServiceKeyReader, WrappingSession } from "./cipher.ts";
import { READY_KEYS_MAX, ReadyKeys } from "./ready-keys.ts";
import { Session, type SessionParts } from "./session.ts";

/** "Rules for a writer": a salt serves at most 2^30 blobs. */
export const BLOBS_PER_SALT_MAX = 2 ** 30;

export interface CipherOptions {
  readonly adapter: CipherAdapter;
  readonly blobsPerSalt?: number;
  readonly readyKeysMax?: number;
  /** Told after derived keys were wiped, when the crypto library's own freed copies of them may still have to be overwritten. */
  readonly onWiped?: () => void;
}

export function createCipher(options: CipherOptions): Cipher {
  return new SessionCipher(options);
}

class SessionCipher implements Cipher, SessionParts {
  readonly description: CipherDescription;
  readonly adapter: CipherAdapter;
  readonly blobsPerSalt: number;
  readonly ready: ReadyKeys;
  readonly onWiped: () => void;
  /** Counts the renewals. A salt of an earlier generation is not wrapped under. */
  generation = 0;
  readonly #sessions = new Set<Session>();

  constructor({ adapter, blobsPerSalt = BLOBS_PER_SALT_MAX, readyKeysMax = READY_KEYS_MAX, onWiped }: CipherOptions) {
    const { name, library, fips } = adapter;
    this.description = { adapter: name, library, fips };
    this.adapter = adapter;
    this.blobsPerSalt = blobsPerSalt;
    this.ready = new ReadyKeys(readyKeysMax);
    this.onWiped = onWiped ?? (() => {});
  }

  begin(identity: ServiceKeyIdentity, serviceKey: ServiceKeyReader): WrappingSession {
    const session = new Session(this, identity, serviceKey);
    this.#sessions.add(session);
    return session;
  }

  ended(session: Session): void {
    this.#sessions.delete(session);
    this.onWiped();
  }

  renew(): void {
    this.generation++;
    this.adapter.reseed();
  }

  close(): void {
    for (const session of [...this.#sessions]) session.wipe();
    this.adapter.close();
  }
}
