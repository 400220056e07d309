import { spyOn } from "bun:test";

/** What the buffers held, in hex, that a call has filled with zeros in whole. */
export function wipedBy(call: () => unknown): string[] {
  const wiped: string[] = [];
  const spies = [Uint8Array.prototype, Buffer.prototype].map((prototype) => {
    const real = prototype.fill as (this: Uint8Array, ...values: unknown[]) => Uint8Array;
    return spyOn(prototype as Uint8Array, "fill").mockImplementation(function (this: Uint8Array, ...values: unknown[]) {
      if (values.length === 1 && values[0] === 0) wiped.push(Buffer.from(this).toString("hex"));
      return real.apply(this, values);
    } as never);
  });
  try {
    call();
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return wiped;
}
