import type { LeaseGate } from "../cache/lease-cache.ts";

/** For a key source without a revocation log: nothing is ever blocked, every answer may be installed. */
export const openGate: LeaseGate = {
  isBlocked: () => false,
  admits: () => true,
  isOpen: () => true,
};
