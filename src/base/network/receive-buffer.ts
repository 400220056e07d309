/**
 * How much of a connection the kernel keeps, and so what one read brings. By itself it keeps up to 6 MiB of who sends fast, and the runtime
 * takes half a MiB of it at a time: a millisecond's work, most of it for memory that is new. Linux only; elsewhere it is as the system has it.
 */
import { openSetSocketOption } from "../system/socket-option.ts";
import { foreignFunctions } from "../system/system-calls.ts";

/** Of what comes. The kernel takes twice as much for itself: its bookkeeping counts too (socket(7), SO_RCVBUF). */
const RECEIVED_BYTES = 65_536;
const SO_RCVBUF = 8;

/** The connections that a listening socket accepts from now on are bounded. Never throws: what the system refuses stays as it is. */
export async function boundReceiveBuffers(listeningDescriptor: number | undefined): Promise<void> {
  if (process.platform !== "linux" || listeningDescriptor === undefined) return;
  try {
    const foreign = await foreignFunctions();
    if (foreign === undefined) return;
    const value = new Uint8Array(Int32Array.of(RECEIVED_BYTES).buffer);
    openSetSocketOption(foreign)(listeningDescriptor, SO_RCVBUF, value);
  } catch {
    // No library to call.
  }
}
