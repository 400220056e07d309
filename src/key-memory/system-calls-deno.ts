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

type NativeType = "i32" | "i64" | "u32" | "u64" | "buffer" | "pointer";
interface NativeFunction {
  readonly parameters: readonly NativeType[];
  readonly result: NativeType;
}
type NativeFunctions<Names extends string> = Record<Names, (...values: unknown[]) => number | bigint>;

/** What is used here of Deno's foreign functions (needs `--allow-ffi`). */
interface DenoForeignFunctions {
  dlopen<Names extends string>(
    library: string,
    functions: Readonly<Record<Names, NativeFunction>>,
  ): { readonly symbols: NativeFunctions<Names> };
  readonly UnsafePointer: { create(address: bigint): object | null };
  readonly UnsafePointerView: {
    new (pointer: object): { getInt32(offset?: number): number };
    getArrayBuffer(pointer: object, lengthBytes: number): ArrayBuffer;
  };
}

const COMMON = {
  mmap: { parameters: ["u64", "u64", "i32", "i32", "i32", "i64"], result: "i64" },
  munmap: { parameters: ["u64", "u64"], result: "i32" },
  mprotect: { parameters: ["u64", "u64", "i32"], result: "i32" },
  mlock: { parameters: ["u64", "u64"], result: "i32" },
  madvise: { parameters: ["u64", "u64", "i32"], result: "i32" },
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  getpagesize: { parameters: [], result: "i32" },
} as const;

const LINUX = {
  syscall: { parameters: ["i64", "u64", "u64", "u64"], result: "i64" },
  prctl: { parameters: ["i32", "u64", "u64", "u64", "u64"], result: "i32" },
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  sendto: { parameters: ["i32", "buffer", "u64", "i32", "buffer", "u32"], result: "i64" },
  __errno_location: { parameters: [], result: "u64" },
} as const;

const DARWIN = { __error: { parameters: [], result: "u64" } } as const;

/** @throws when libc, or a function in it, can't be found, or the permission is missing. */
export function denoSystemCalls(platform: Platform): SystemCalls {
  const { Deno } = globalThis as unknown as { Deno: DenoForeignFunctions };
  const libc = Deno.dlopen(LIBC[platform], COMMON).symbols;
  const linux = platform === "linux" ? Deno.dlopen(LIBC.linux, LINUX).symbols : undefined;
  const errnoAddress = linux?.__errno_location ?? Deno.dlopen(LIBC.darwin, DARWIN).symbols.__error;

  const pointer = (address: number | bigint): object => {
    const created = Deno.UnsafePointer.create(BigInt(address));
    if (created === null) throw new Error("a null pointer has no bytes");
    return created;
  };
  const call =
    (native: (...values: unknown[]) => number | bigint) =>
    (...values: unknown[]): number =>
      Number(native(...values));

  return {
    platform,
    pageBytes: Number(libc.getpagesize()),
    mmap: (address, lengthBytes, protection, flags, descriptor) =>
      Number(libc.mmap(address, lengthBytes, protection, flags, descriptor, 0)),
    munmap: call(libc.munmap),
    mprotect: call(libc.mprotect),
    mlock: call(libc.mlock),
    madvise: call(libc.madvise),
    ftruncate: call(libc.ftruncate),
    close: call(libc.close),
    memfdSecret: () => (linux === undefined ? -1 : Number(linux.syscall(SYS_MEMFD_SECRET, O_CLOEXEC, 0, 0))),
    prctl: (option, value) => (linux === undefined ? -1 : Number(linux.prctl(option, value, 0, 0, 0))),
    getrlimit(resource): ResourceLimit | undefined {
      const pair = new BigUint64Array(2);
      const bytes = new Uint8Array(pair.buffer);
      return Number(libc.getrlimit(resource, bytes)) === 0 ? { soft: pair[0]!, hard: pair[1]! } : undefined;
    },
    setrlimit: (resource, limit) =>
      Number(libc.setrlimit(resource, new Uint8Array(BigUint64Array.of(limit.soft, limit.hard).buffer))),
    errno: () => new Deno.UnsafePointerView(pointer(errnoAddress())).getInt32(),
    sendDatagram(address, message): number {
      if (linux === undefined) return -1;
      const descriptor = Number(linux.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0));
      if (descriptor < 0) return -1;
      try {
        return Number(linux.sendto(descriptor, message, message.length, MSG_NOSIGNAL, address, address.length));
      } finally {
        libc.close(descriptor);
      }
    },
    view: (address, lengthBytes) =>
      new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer(address), lengthBytes)),
  };
}
