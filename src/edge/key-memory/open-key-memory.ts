import { SERVICE_KEY_BYTES } from "../../base/service-key.ts";
import {
  loadSystemCalls,
  RLIMIT_MEMLOCK,
  type SystemCalls,
  type SystemCallsOrReason,
} from "../../base/system/system-calls.ts";
import { type KeyMemory, type KeyMemoryChoice, KeyMemoryError, type KeyMemoryKind } from "./key-memory.ts";
import { RegionError, regionTaker, type TakeRegion } from "./region.ts";
import { SlotMemory } from "./slot-memory.ts";

export interface KeyMemoryOptions {
  readonly choice: KeyMemoryChoice;
  /** For how many keys there should be room: memory for them is taken at once, so that a limit too low shows at start. */
  readonly expectedKeys: number;
  /** Told in a sentence what is not as it should be, and what to do. */
  readonly warn: (message: string) => void;
}

/** From the best to the last resort. */
const KINDS: readonly KeyMemoryKind[] = ["secret", "locked", "heap"];

/** For the memory of the cipher, which is of the same kind, and for rounding. */
const SPARE_BYTES = 256 * 1024;

/**
 * Opens key memory of the kind chosen, or of the best kind that this machine has. It is wiped when the process exits.
 * `given` stands for another machine, in tests.
 *
 * @throws {KeyMemoryError} `unavailable`, when a kind was chosen by name and this machine does not have it.
 */
export async function openKeyMemory(options: KeyMemoryOptions, given?: SystemCallsOrReason): Promise<KeyMemory> {
  const system = given ?? (await loadSystemCalls());
  const { calls } = system;
  const candidates = options.choice === "auto" ? KINDS : [options.choice];
  const neededBytes = options.expectedKeys * SERVICE_KEY_BYTES;
  if (calls !== undefined && options.choice !== "heap") raiseMemlockLimit(calls, neededBytes + SPARE_BYTES);

  const reasons: string[] = [];
  for (const kind of candidates) {
    if (kind !== "heap" && calls === undefined) {
      reasons.push(`${kind}: ${system.calls === undefined ? system.reason : ""}`);
      continue;
    }
    const take = regionTaker(kind, calls);
    const reason = kind === "heap" ? undefined : reasonNotTo(take, calls!.pageBytes);
    if (reason === undefined) return open(kind, take, calls, options, reasons);
    reasons.push(`${kind}: ${reason}`);
  }
  throw new KeyMemoryError(
    "unavailable",
    `There is no key memory of kind ${options.choice} here (${reasons.join("; ")}). ${adviceFor(calls, neededBytes)}`,
  );
}

function open(
  kind: KeyMemoryKind,
  take: TakeRegion,
  calls: SystemCalls | undefined,
  options: KeyMemoryOptions,
  reasons: readonly string[],
): KeyMemory {
  const { choice, expectedKeys, warn } = options;
  const neededBytes = expectedKeys * SERVICE_KEY_BYTES;
  const wipeAtExit = (): void => memory.close();
  const memory = new SlotMemory({
    kind,
    take,
    pageBytes: calls?.pageBytes ?? 4096,
    overflow: choice === "auto" && kind !== "heap" ? regionTaker("heap", undefined) : undefined,
    fullAdvice: () => adviceFor(calls, neededBytes),
    warn,
    memlockLimitBytes: () => (calls === undefined || kind === "heap" ? undefined : memlockLimitBytes(calls)),
    onClose: () => process.removeListener("exit", wipeAtExit),
  });
  process.once("exit", wipeAtExit);

  if (kind === "heap") {
    warn(
      choice === "heap"
        ? "Service keys are on the heap, as configured: they can be swapped, dumped, and read by root."
        : `Service keys are on the heap: they can be swapped, dumped, and read by root. ${reasons.join("; ")}. ${adviceFor(calls, neededBytes)}`,
    );
  } else if (kind !== "secret" && choice === "auto" && calls?.platform === "linux") {
    warn(
      `Service keys are in locked memory, which root can read: there is no memfd_secret here (${reasons.join("; ")}).`,
    );
  }

  const room = memory.reserve(kind === "heap" ? 0 : expectedKeys);
  if (kind !== "heap" && room < expectedKeys) {
    const then = choice === "auto" ? "further keys will go to the heap" : "further leases will be refused";
    warn(`There is key memory for ${room} of ${expectedKeys} keys; ${then}. ${adviceFor(calls, neededBytes)}`);
  }

  return memory;
}

/** Tries one page, and gives it back. */
function reasonNotTo(take: TakeRegion, pageBytes: number): string | undefined {
  try {
    take(pageBytes).close();
    return undefined;
  } catch (error) {
    if (error instanceof RegionError) return error.message;
    throw error;
  }
}

/** The soft limit is ours to raise, up to the hard one. */
function raiseMemlockLimit(calls: SystemCalls, neededBytes: number): void {
  const resource = RLIMIT_MEMLOCK[calls.platform];
  const limit = calls.getrlimit(resource);
  if (limit === undefined || limit.soft >= BigInt(neededBytes) || limit.hard <= limit.soft) return;
  calls.setrlimit(resource, { soft: limit.hard, hard: limit.hard });
}

function memlockLimitBytes(calls: SystemCalls): number | undefined {
  const limit = calls.getrlimit(RLIMIT_MEMLOCK[calls.platform]);
  if (limit === undefined || limit.soft > BigInt(Number.MAX_SAFE_INTEGER)) return undefined;
  return Number(limit.soft);
}

function adviceFor(calls: SystemCalls | undefined, neededBytes: number): string {
  if (calls === undefined) return "Run the compiled binary on Linux or macOS, with its libc.";
  const kibibytes = Math.ceil((neededBytes + SPARE_BYTES) / 1024);
  const limit = memlockLimitBytes(calls);
  const limitText = limit === undefined ? "not limited" : `${Math.floor(limit / 1024)} KiB`;
  return (
    `RLIMIT_MEMLOCK is ${limitText}; set it to ${kibibytes} KiB or more (systemd: LimitMEMLOCK=${kibibytes}K, ` +
    `Docker: --ulimit memlock=${kibibytes * 1024}, shell: ulimit -l ${kibibytes}), or grant CAP_IPC_LOCK.`
  );
}
