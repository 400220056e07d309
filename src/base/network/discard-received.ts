/**
 * Throws away what still comes on a connection that is at its end, so that its last answer gets through (RFC 9112, 9.6). The runtime would make
 * memory for all of it, which the collector stops for: here one buffer serves every connection.
 */
import { readSync } from "node:fs";

interface Ending {
  readonly destroyed: boolean;
  /** The other side has ended. */
  ended(): void;
  destroy(): void;
}

const scratch = new Uint8Array(65_536);
/** The system keeps two buffers' worth for a connection (receive-buffer.ts). */
const READS_AT_ONCE = 2;
const EVERY_MS = 2;

/** Reads the descriptor until the other side has ended or the connection is destroyed, as its server does after a while. Its socket is paused. */
export function discardReceived(descriptor: number, connection: Ending): void {
  if (connection.destroyed) return;
  try {
    for (let reads = 0; reads < READS_AT_ONCE; reads++) {
      if (readSync(descriptor, scratch) === 0) return void connection.ended();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return void connection.destroy();
  } finally {
    // It may be a body, with values that a caller chose.
    scratch.fill(0);
  }
  setTimeout(discardReceived, EVERY_MS, descriptor, connection).unref();
}
