/**
 * Several processes of one user that listen on one port (`SO_REUSEPORT`). The kernel spreads new connections over them, and resets those that
 * wait at one that stops listening: so one that is to stop first has them all sent to another. Linux only; elsewhere nothing is steered.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { openSetSocketOption } from "./socket-option.ts";
import { foreignFunctions } from "./system-calls.ts";

export interface PortGroup {
  /** From now on new connections go to another process of the group, where there is one. */
  leave(): void;
}

const SO_ATTACH_REUSEPORT_CBPF = 51;
/** `BPF_RET | BPF_K`: a program of one instruction, whose answer is the place in the group. */
const RETURN_CONSTANT = 0x06;
/** `TCP_LISTEN`, in /proc/net/tcp. */
const LISTENING = "0A";

/**
 * Joins with a socket that listens already; new connections go to it alone from then on. The places are those of the kernel: in the order in
 * which sockets came, and the last moves to the place of one that goes. So it is exact for a group of two.
 */
export async function joinPortGroup(descriptor: number): Promise<PortGroup | undefined> {
  if (process.platform !== "linux") return undefined;
  const foreign = await foreignFunctions();
  if (foreign === undefined) return undefined;
  const setSocketOption = openSetSocketOption(foreign);
  const sendTo = (place: number): void => {
    // struct sock_filter { u16 code; u8 jt, jf; u32 k }, and struct sock_fprog { u16 len; struct sock_filter *filter }.
    const filter = new Uint8Array(8);
    new DataView(filter.buffer).setUint16(0, RETURN_CONSTANT, true);
    new DataView(filter.buffer).setUint32(4, place, true);
    const program = new Uint8Array(16);
    new DataView(program.buffer).setUint16(0, 1, true);
    new DataView(program.buffer).setBigUint64(8, BigInt(foreign.addressOf(filter)), true);
    setSocketOption(descriptor, SO_ATTACH_REUSEPORT_CBPF, program);
  };

  const own = inodeOf(descriptor);
  const older = membersWith(own).filter((member) => member !== own);
  if (older.length > 0) sendTo(older.length);
  return {
    leave() {
      const others = membersWith(own).filter((member) => member !== own);
      if (others.length === 0) return;
      sendTo(others.some((member) => !older.includes(member)) ? others.length : 0);
    },
  };
}

function inodeOf(descriptor: number): string {
  return /\d+/.exec(readlinkSync(`/proc/self/fd/${descriptor}`))?.[0] ?? "";
}

/** The inodes of all sockets that listen on the address that this one listens on. */
function membersWith(inode: string): string[] {
  for (const table of ["/proc/self/net/tcp", "/proc/self/net/tcp6"]) {
    const listening = readTable(table).filter((row) => row.state === LISTENING);
    const own = listening.find((row) => row.inode === inode);
    if (own !== undefined) return listening.filter(({ address }) => address === own.address).map((row) => row.inode);
  }
  return [];
}

function readTable(path: string): { readonly address: string; readonly state: string; readonly inode: string }[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return [];
  }
  return text
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .map(([, address = "", , state = "", , , , , , inode = ""]) => ({ address, state, inode }));
}
