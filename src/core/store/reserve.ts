/**
 * Room that is kept for revocations: a file beside the database that is given up when the disk is full, and made again when
 * there is room.
 */
import { rmSync, statfsSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** The largest that is no more than a quarter of what is free. A revocation takes some 30 KiB before the write-ahead log is used anew. */
const SIZES = [8 * 1024 * 1024, 1024 * 1024, 256 * 1024];

export class Reserve {
  readonly #path: string;
  #held = false;

  constructor(database: string) {
    this.#path = `${database}-reserve`;
    this.take();
  }

  get held(): boolean {
    return this.#held;
  }

  /** Takes room again. Returns whether it is there. */
  take(): boolean {
    if (this.#held) return true;
    for (const size of SIZES) {
      try {
        const { bavail, bsize } = statfsSync(dirname(this.#path));
        if (size > (bavail * bsize) / 4) continue;
        // Written, not only sized: a file with holes holds no room.
        writeFileSync(this.#path, Buffer.alloc(size, 0xa5), { mode: 0o600 });
        this.#held = true;
        return true;
      } catch {
        this.#remove();
      }
    }
    return false;
  }

  /** Gives the room up. Returns whether there was any. */
  release(): boolean {
    if (!this.#held) return false;
    this.#held = false;
    this.#remove();
    return true;
  }

  #remove(): void {
    try {
      rmSync(this.#path, { force: true });
    } catch {
      // What can't be removed gives no room: the next attempt says that the disk is full.
    }
  }
}
