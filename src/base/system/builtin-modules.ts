/**
 * Modules of the runtime that few processes need, loaded by the first call. `node:crypto` brings the streams, and with them as many functions
 * as the edge's own way of a request: an edge that needs no more than a digest at its start must not hold them in the heap that answers.
 */
let loadedCrypto: typeof import("node:crypto") | undefined;

export function nodeCrypto(): typeof import("node:crypto") {
  loadedCrypto ??= process.getBuiltinModule("node:crypto");
  return loadedCrypto;
}

interface ComparesInConstantTime {
  timingSafeEqual?: (one: Uint8Array, other: Uint8Array) => boolean;
}

/** Bun's global has it too. @throws RangeError where the lengths differ */
export const timingSafeEqual: (one: Uint8Array, other: Uint8Array) => boolean =
  (globalThis.crypto as ComparesInConstantTime).timingSafeEqual?.bind(globalThis.crypto) ??
  ((one, other) => nodeCrypto().timingSafeEqual(one, other));
