import { CString, dlopen, type FFIFunction, type Pointer, ptr, read, toArrayBuffer } from "bun:ffi";
import type { ForeignFunctions, NativeFunction, NativeFunctions } from "./libc.ts";

export const bunForeignFunctions: ForeignFunctions = {
  open<Names extends string>(library: string, functions: Readonly<Record<Names, NativeFunction>>) {
    const bunFunctions: Record<string, FFIFunction> = {};
    for (const [name, { parameters, result }] of Object.entries<NativeFunction>(functions)) {
      bunFunctions[name] = {
        args: parameters.map((type) => (type === "bytes" || type === "address" ? "ptr" : type)),
        returns: result,
      };
    }
    return dlopen(library, bunFunctions).symbols as unknown as NativeFunctions<Names>;
  },
  readInt32: (address) => read.i32(address as Pointer, 0),
  readText: (address) => new CString(address as Pointer).toString(),
  addressOf: (bytes) => ptr(bytes),
  view: (address, lengthBytes) => new Uint8Array(toArrayBuffer(address as Pointer, 0, lengthBytes)),
};
