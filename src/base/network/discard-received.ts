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
const EVERY_MS = 5;
/** Each is asked again and again whether something has come: a crowd of them would take all time. */
const CONNECTIONS_MAX = 16;
let connections = 0;

/**
 * Reads the descriptor from now on, until the other side has ended or the connection is destroyed, as its server does after a while. Its socket is
 * paused. False: there are too many already, and it is read as ever. `isOneOfThem`: for its own calls.
 */
export function discardReceived(descriptor: number, connection: Ending, isOneOfThem = false): boolean {
  if (!isOneOfThem) {
    if (connections === CONNECTIONS_MAX) return false;
    connections++;
  }
  let isOver = connection.destroyed;
  try {
    for (let reads = 0; !isOver && reads < READS_AT_ONCE; reads++) {
      isOver = readSync(descriptor, scratch) === 0;
      if (isOver) connection.ended();
    }
  } catch (error) {
    isOver = (error as NodeJS.ErrnoException).code !== "EAGAIN";
    if (isOver) connection.destroy();
  }
  // It may be a body, with values that a caller chose.
  scratch.fill(0);
  if (isOver) connections--;
  else setTimeout(discardReceived, EVERY_MS, descriptor, connection, true).unref();
  return true;
}
