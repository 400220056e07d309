import { dlopen, type Pointer, read, toArrayBuffer } from "bun:ffi";
import {
  AF_UNIX,
  LIBC,
  MSG_NOSIGNAL,
  O_CLOEXEC,
  type Platform,
  type ResourceLimit,
  SOCK_DGRAM_CLOEXEC,
  SYS_MEMFD_SECRET,
  type SystemCalls,
} from "./system-calls.ts";

/** Addresses and lengths travel as 64-bit integers: user space ends far below 2^53, so they are exact numbers here. */
const COMMON = {
  mmap: { args: ["u64", "u64", "i32", "i32", "i32", "i64"], returns: "i64" },
  munmap: { args: ["u64", "u64"], returns: "i32" },
  mprotect: { args: ["u64", "u64", "i32"], returns: "i32" },
  mlock: { args: ["u64", "u64"], returns: "i32" },
  madvise: { args: ["u64", "u64", "i32"], returns: "i32" },
  ftruncate: { args: ["i32", "i64"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
  getrlimit: { args: ["i32", "ptr"], returns: "i32" },
  setrlimit: { args: ["i32", "ptr"], returns: "i32" },
  getpagesize: { args: [], returns: "i32" },
} as const;

const LINUX = {
  syscall: { args: ["i64", "u64", "u64", "u64"], returns: "i64" },
  prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i64" },
  __errno_location: { args: [], returns: "ptr" },
} as const;

const DARWIN = { __error: { args: [], returns: "ptr" } } as const;

/** @throws when libc, or a function in it, can't be found. */
export function bunSystemCalls(platform: Platform): SystemCalls {
  const libc = dlopen(LIBC[platform], COMMON).symbols;
  const linux = platform === "linux" ? dlopen(LIBC.linux, LINUX).symbols : undefined;
  const errnoAddress = linux?.__errno_location ?? dlopen(LIBC.darwin, DARWIN).symbols.__error;

  return {
    platform,
    pageBytes: libc.getpagesize(),
    mmap: (address, lengthBytes, protection, flags, descriptor) =>
      Number(libc.mmap(address, lengthBytes, protection, flags, descriptor, 0)),
    munmap: libc.munmap,
    mprotect: libc.mprotect,
    mlock: libc.mlock,
    madvise: libc.madvise,
    ftruncate: libc.ftruncate,
    close: libc.close,
    memfdSecret: () => (linux === undefined ? -1 : Number(linux.syscall(SYS_MEMFD_SECRET, O_CLOEXEC, 0, 0))),
    prctl: (option, value) => (linux === undefined ? -1 : linux.prctl(option, value, 0, 0, 0)),
    getrlimit(resource): ResourceLimit | undefined {
      const pair = new BigUint64Array(2);
      return libc.getrlimit(resource, pair) === 0 ? { soft: pair[0]!, hard: pair[1]! } : undefined;
    },
    setrlimit: (resource, limit) => libc.setrlimit(resource, BigUint64Array.of(limit.soft, limit.hard)),
    errno(): number {
      const address = errnoAddress();
      return address === null ? 0 : read.i32(address, 0);
    },
    sendDatagram(address, message): number {
      if (linux === undefined) return -1;
      const descriptor = linux.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
      if (descriptor < 0) return -1;
      try {
        return Number(linux.sendto(descriptor, message, message.length, MSG_NOSIGNAL, address, address.length));
      } finally {
        libc.close(descriptor);
      }
    },
    view: (address, lengthBytes) => new Uint8Array(toArrayBuffer(address as Pointer, 0, lengthBytes)),
  };
}
