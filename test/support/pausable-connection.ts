import type { NewConnection } from "../../src/base/network/in-turns.ts";

/** A new connection that tells whether it has been made to wait. */
export class PausableConnection implements NewConnection {
  destroyed = false;
  paused = false;
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
}
