/** The system calls by way of libc's functions, whichever runtime calls them. */
import type { Platform, SystemCalls } from "./system-calls.ts";

/**
 * Addresses and lengths travel as 64-bit integers: user space ends far below 2^53, so they are exact numbers here. `bytes` is
 * the address of a byte array that is given; `address` an address as a number, which Bun passes faster than a `u64`.
 */
export type NativeType = "i32" | "i64" | "u32" | "u64" | "address" | "bytes";
export interface NativeFunction {
  /** The library's name for it, where that is not the one it is given here. */
  readonly symbol?: string;
  readonly parameters: readonly NativeType[];
  readonly result: Exclude<NativeType, "bytes" | "address"> | "void";
}
export type NativeFunctions<Names extends string> = Record<
  Names,
  (...values: (number | bigint | Uint8Array)[]) => number | bigint
>;

/** What the runtimes do each in their own way. */
export interface ForeignFunctions {
  /** @throws when the library, or a function in it, can't be found. */
  open<Names extends string>(
    library: string,
    functions: Readonly<Record<Names, NativeFunction>>,
  ): NativeFunctions<Names>;
  readInt32(address: number): number;
  /** The text that ends with a zero byte. */
  readText(address: number): string;
  view(address: number, lengthBytes: number): Uint8Array;
  /** Where the bytes are: true for memory outside the heap for as long as it is mapped, for a buffer of the runtime's during one call. */
  addressOf(bytes: Uint8Array): number;
}

/** Glibc's name; musl's loader answers to it too, since it takes every `libc.…` for itself. */
export const LIBC: Readonly<Record<Platform, string>> = { linux: "libc.so.6", darwin: "libSystem.B.dylib" };

const COMMON = {
  mmap: { parameters: ["u64", "u64", "i32", "i32", "i32", "i64"], result: "i64" },
  munmap: { parameters: ["u64", "u64"], result: "i32" },
  mprotect: { parameters: ["u64", "u64", "i32"], result: "i32" },
  mlock: { parameters: ["u64", "u64"], result: "i32" },
  madvise: { parameters: ["u64", "u64", "i32"], result: "i32" },
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  getrlimit: { parameters: ["i32", "bytes"], result: "i32" },
  setrlimit: { parameters: ["i32", "bytes"], result: "i32" },
  getpagesize: { parameters: [], result: "i32" },
} as const;

const LINUX = {
  syscall: { parameters: ["i64", "u64", "u64", "u64"], result: "i64" },
  prctl: { parameters: ["i32", "u64", "u64", "u64", "u64"], result: "i32" },
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  sendto: { parameters: ["i32", "bytes", "u64", "i32", "bytes", "u32"], result: "i64" },
  __errno_location: { parameters: [], result: "u64" },
} as const;

const DARWIN = { __error: { parameters: [], result: "u64" } } as const;

/** The same on every architecture, as all system calls since 2019. */
const SYS_MEMFD_SECRET = 447;
const O_CLOEXEC = 0o2000000;
const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | O_CLOEXEC;
const MSG_NOSIGNAL = 0x4000;

/** @throws when libc, or a function in it, can't be found, or the runtime may not call it. */
export function libcCalls(platform: Platform, foreign: ForeignFunctions): SystemCalls {
  const libc = foreign.open(LIBC[platform], COMMON);
  const linux = platform === "linux" ? foreign.open(LIBC.linux, LINUX) : undefined;
  const errnoAddress = linux?.__errno_location ?? foreign.open(LIBC.darwin, DARWIN).__error;

  return {
    platform,
    pageBytes: Number(libc.getpagesize()),
    mmap: (address, lengthBytes, protection, flags, descriptor) =>
      Number(libc.mmap(address, lengthBytes, protection, flags, descriptor, 0)),
    munmap: (address, lengthBytes) => Number(libc.munmap(address, lengthBytes)),
    mprotect: (address, lengthBytes, protection) => Number(libc.mprotect(address, lengthBytes, protection)),
    mlock: (address, lengthBytes) => Number(libc.mlock(address, lengthBytes)),
    madvise: (address, lengthBytes, advice) => Number(libc.madvise(address, lengthBytes, advice)),
    ftruncate: (descriptor, lengthBytes) => Number(libc.ftruncate(descriptor, lengthBytes)),
    close: (descriptor) => Number(libc.close(descriptor)),
    memfdSecret: () => (linux === undefined ? -1 : Number(linux.syscall(SYS_MEMFD_SECRET, O_CLOEXEC, 0, 0))),
    prctl: (option, value) => (linux === undefined ? -1 : Number(linux.prctl(option, value, 0, 0, 0))),
    getrlimit(resource) {
      const pair = new BigUint64Array(2);
      const answer = libc.getrlimit(resource, new Uint8Array(pair.buffer));
      return Number(answer) === 0 ? { soft: pair[0]!, hard: pair[1]! } : undefined;
    },
    setrlimit: (resource, { soft, hard }) =>
      Number(libc.setrlimit(resource, new Uint8Array(BigUint64Array.of(soft, hard).buffer))),
    errno: () => foreign.readInt32(Number(errnoAddress())),
    sendDatagram(address, message) {
      if (linux === undefined) return -1;
      const descriptor = Number(linux.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0));
      if (descriptor < 0) return -1;
      try {
        return Number(linux.sendto(descriptor, message, message.length, MSG_NOSIGNAL, address, address.length));
      } finally {
        libc.close(descriptor);
      }
    },
    view: foreign.view,
  };
}
