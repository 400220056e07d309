/** What a blob holds (blob-format.md): its suite is part of the identity that its wrapping key is derived for. */
import type { LeasedVersion } from "../cache/lease-cache.ts";
import type { WrappedKey } from "../cipher/blob.ts";
import type { WrappingSession } from "../cipher/cipher.ts";

export const SUITE_DATA_KEY = 1;
export const SUITE_VALUE = 2;
export type Suite = typeof SUITE_DATA_KEY | typeof SUITE_VALUE;

const SUITE_OFFSET = 3;

export function suiteOf({ bytes }: WrappedKey): Suite {
  return bytes[SUITE_OFFSET] as Suite;
}

export function sessionOf(leased: LeasedVersion, suite: Suite): WrappingSession {
  if (suite !== SUITE_DATA_KEY) throw new Error("This cipher has no suite for values yet.");
  return leased.session;
}
