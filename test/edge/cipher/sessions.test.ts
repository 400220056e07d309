/** The cipher as a whole: what it says of itself, renewals, and its end. */
import { expect, test } from "bun:test";
import type { CipherAdapter } from "../../../src/edge/cipher/cipher.ts";
import { createNodeAdapter } from "../../../src/edge/cipher/node-adapter.ts";
import { BLOBS_PER_SALT_MAX, createCipher } from "../../../src/edge/cipher/sessions.ts";

const NO_CONTEXT = new Uint8Array(0);
const reader = { use: <T>(use: (key: Uint8Array) => T): T => use(new Uint8Array(32)) };
const IDENTITY = { tenant: "a", service: "b", version: 1 };

function cipherOver() {
  const told: string[] = [];
  const node = createNodeAdapter();
  const adapter: CipherAdapter = {
    name: "told",
    library: "a library 1.2",
    fips: true,
    fillRandom: (target) => node.fillRandom(target),
    deriveKey: (...given) => node.deriveKey(...given),
    reseed: () => told.push("reseeded"),
    close: () => told.push("closed"),
  };
  return { told, cipher: createCipher({ adapter, onWiped: () => told.push("wiped") }) };
}

test("a cipher says what serves", () => {
  expect(cipherOver().cipher.description).toEqual({ adapter: "told", library: "a library 1.2", fips: true });
});

test("a salt serves 2^30 blobs, as blob-format.md has it", () => {
  expect(BLOBS_PER_SALT_MAX).toBe(1_073_741_824);
});

test("a renewal forgets what was drawn ahead, each time", () => {
  const { told, cipher } = cipherOver();
  cipher.renew();
  cipher.renew();
  expect(told).toEqual(["reseeded", "reseeded"]);
});

test("a session that is wiped is told of, and is not wiped again at the end, which wipes all others first", () => {
  const { told, cipher } = cipherOver();
  const sessions = [1, 2, 3].map(() => cipher.begin(IDENTITY, reader));
  for (const session of sessions) session.createKey(32, NO_CONTEXT);
  sessions[0]!.wipe();
  expect(told).toEqual(["wiped"]);
  cipher.close();
  expect(told).toEqual(["wiped", "wiped", "wiped", "closed"]);
  for (const session of sessions) expect(() => session.createKey(32, NO_CONTEXT)).toThrow("wiped");
  cipher.close();
  expect(told).toEqual(["wiped", "wiped", "wiped", "closed", "closed"]);
});
