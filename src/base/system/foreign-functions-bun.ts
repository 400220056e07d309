import { CString, dlopen, type FFIFunction, type Pointer, ptr, read, toArrayBuffer } from "bun:ffi";
import type { ForeignFunctions, NativeFunction, NativeFunctions } from "./libc.ts";

export const bunForeignFunctions: ForeignFunctions = {
  open<Names extends string>(library: string, functions: Readonly<Record<Names, NativeFunction>>) {
    const all = Object.entries<NativeFunction>(functions);
    const bunFunctions: Record<string, FFIFunction> = {};
    for (const [name, { symbol = name, parameters, result }] of all) {
      // A function that has two names here is one: a pointer may be given as an address or as a buffer.
      bunFunctions[symbol] = {
        args: parameters.map((type) => (type === "bytes" || type === "address" ? "ptr" : type)),
        returns: result,
      };
    }
    const { symbols } = dlopen(library, bunFunctions);
    const named = all.map(([name, { symbol = name }]) => [name, symbols[symbol]]);
    return Object.fromEntries(named) as NativeFunctions<Names>;
  },
  readInt32: (address) => read.i32(address as Pointer, 0),
  readText: (address) => new CString(address as Pointer).toString(),
  addressOf: (bytes) => ptr(bytes),
  view: (address, lengthBytes) => new Uint8Array(toArrayBuffer(address as Pointer, 0, lengthBytes)),
};
