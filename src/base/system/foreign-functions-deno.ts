import type { ForeignFunctions, NativeFunction, NativeFunctions, NativeType } from "./libc.ts";

interface DenoFunction {
  readonly name: string;
  readonly parameters: readonly string[];
  readonly result: string;
}

/** What is used here of Deno's foreign functions (needs `--allow-ffi`). */
interface Deno {
  dlopen(library: string, functions: Readonly<Record<string, DenoFunction>>): { readonly symbols: unknown };
  readonly UnsafePointer: {
    create(address: bigint): object | null;
    of(bytes: Uint8Array): object | null;
    value(pointer: object | null): bigint | number;
  };
  readonly UnsafePointerView: {
    new (pointer: object): { getInt32(offset?: number): number; getCString(offset?: number): string };
    getArrayBuffer(pointer: object, lengthBytes: number): ArrayBuffer;
  };
}

const DENO_TYPES: Readonly<Partial<Record<NativeType, string>>> = { bytes: "buffer", address: "u64" };

export function denoForeignFunctions(): ForeignFunctions {
  const { Deno } = globalThis as unknown as { Deno: Deno };
  const pointer = (address: number): object => {
    const created = Deno.UnsafePointer.create(BigInt(address));
    if (created === null) throw new Error("a null pointer has no bytes");
    return created;
  };
  return {
    open<Names extends string>(library: string, functions: Readonly<Record<Names, NativeFunction>>) {
      const denoFunctions: Record<string, DenoFunction> = {};
      for (const [name, { symbol = name, parameters, result }] of Object.entries<NativeFunction>(functions)) {
        denoFunctions[name] = { name: symbol, parameters: parameters.map((type) => DENO_TYPES[type] ?? type), result };
      }
      return Deno.dlopen(library, denoFunctions).symbols as NativeFunctions<Names>;
    },
    readInt32: (address) => new Deno.UnsafePointerView(pointer(address)).getInt32(),
    readText: (address) => new Deno.UnsafePointerView(pointer(address)).getCString(),
    addressOf: (bytes) => Number(Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes))),
    view: (address, lengthBytes) =>
      new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer(address), lengthBytes)),
  };
}
