import { type ForeignFunctions, libcCalls } from "./libc.ts";

/**
 * The few calls of the operating system that key memory needs (and one for the service manager), and their numbers.
 * `libc.ts` makes them; how a runtime calls a foreign function is the only code here that is not the same under Bun and Deno.
 */
export interface SystemCalls {
  readonly platform: Platform;
  readonly pageBytes: number;
  /** Each answers -1 for failure, as in C; `errno` then says why. */
  mmap(address: number, lengthBytes: number, protection: number, flags: number, descriptor: number): number;
  munmap(address: number, lengthBytes: number): number;
  mprotect(address: number, lengthBytes: number, protection: number): number;
  mlock(address: number, lengthBytes: number): number;
  madvise(address: number, lengthBytes: number, advice: number): number;
  ftruncate(descriptor: number, lengthBytes: number): number;
  close(descriptor: number): number;
  /** Linux only: a descriptor of memory that only this process can read. */
  memfdSecret(): number;
  /** Linux only. */
  prctl(option: number, value: number): number;
  getrlimit(resource: number): ResourceLimit | undefined;
  setrlimit(resource: number, limit: ResourceLimit): number;
  errno(): number;
  /**
   * Linux only: sends one datagram to a Unix socket, whose address is a `sockaddr_un`; no runtime offers that. Answers the
   * bytes sent.
   */
  sendDatagram(address: Uint8Array, message: Uint8Array): number;
  /** The memory at `address` as bytes. They must be let go of with `letGo` before the memory is unmapped. */
  view(address: number, lengthBytes: number): Uint8Array;
}

export interface ResourceLimit {
  readonly soft: bigint;
  readonly hard: bigint;
}

export type Platform = "linux" | "darwin";

export const PROT_NONE = 0;
export const PROT_READ_WRITE = 3;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS: Readonly<Record<Platform, number>> = { linux: 0x20, darwin: 0x1000 };

/** Linux only. */
export const MADV_DONTFORK = 10;
export const MADV_DONTDUMP = 16;
export const MADV_WIPEONFORK = 18;

export const RLIMIT_CORE = 4;
export const RLIMIT_MEMLOCK: Readonly<Record<Platform, number>> = { linux: 8, darwin: 6 };

/** Linux only. */
export const PR_GET_DUMPABLE = 3;
export const PR_SET_DUMPABLE = 4;

const ERRNO_NAMES: Readonly<Record<number, string>> = {
  1: "EPERM",
  11: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  22: "EINVAL",
  24: "EMFILE",
  35: "EAGAIN",
  38: "ENOSYS",
};

export function errnoName(errno: number): string {
  return ERRNO_NAMES[errno] ?? `errno ${errno}`;
}

/** Detaches the buffer, so that a view that someone kept is empty and not a hole in the address space. */
export function letGo(bytes: Uint8Array): void {
  (bytes.buffer as ArrayBuffer).transfer(0);
}

/** The system calls of this process, or why there are none. */
export type SystemCallsOrReason =
  | { readonly calls: SystemCalls }
  | { readonly calls: undefined; readonly reason: string };

let loaded: Promise<SystemCallsOrReason> | undefined;

export function loadSystemCalls(): Promise<SystemCallsOrReason> {
  loaded ??= load();
  return loaded;
}

async function load(): Promise<SystemCallsOrReason> {
  const { platform } = process;
  if (platform !== "linux" && platform !== "darwin") {
    return { calls: undefined, reason: `nothing is known of key memory on ${platform}` };
  }
  try {
    const foreign = await foreignFunctions();
    if (foreign === undefined) return { calls: undefined, reason: "this runtime has no foreign functions" };
    return { calls: libcCalls(platform, foreign) };
  } catch (error) {
    return { calls: undefined, reason: `libc can't be called (${error instanceof Error ? error.message : error})` };
  }
}

/** How this runtime calls native libraries; undefined where it can't. */
export async function foreignFunctions(): Promise<ForeignFunctions | undefined> {
  if ("Bun" in globalThis) return (await import("./foreign-functions-bun.ts")).bunForeignFunctions;
  if ("Deno" in globalThis) return (await import("./foreign-functions-deno.ts")).denoForeignFunctions();
  return undefined;
}
