/**
 * How much of a connection comes in one turn of the event loop on Deno. It tells no descriptor of a listener, whose buffers could be bounded
 * as Bun's are (receive-buffer.ts), and reads up to 2 MiB of who sends fast before anything else has its turn. Not for TLS: a TLS socket that
 * was paused does not tell the end of the connection there.
 */
import type { Socket } from "node:net";

/** A read that brings so much has left more behind: Deno's bring 64 KiB at most. */
const LARGE_READ_BYTES = 32_768;

/** What follows a large read waits for the next turn. Called before anyone reads; `pause` and `resume` go on meaning what they do. */
export function readInTurns(socket: Socket): void {
  let isPaused = false;
  let hasRead = false;
  const pause = socket.pause.bind(socket);
  const resume = socket.resume.bind(socket);
  socket.pause = () => {
    isPaused = true;
    return pause();
  };
  socket.resume = () => {
    isPaused = false;
    return hasRead ? socket : resume();
  };
  socket.on("data", ({ length }: Buffer) => {
    if (length < LARGE_READ_BYTES || hasRead) return;
    hasRead = true;
    pause();
    setImmediate(() => {
      hasRead = false;
      if (!isPaused && !socket.destroyed) resume();
    });
  });
}
