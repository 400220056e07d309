import { type Module, token } from "../../base/module.ts";
import { CLOCK } from "../../base/time/clock.ts";
import type { Cipher } from "./cipher.ts";
import { createFreedKeyOverwriter } from "./freed-keys.ts";
import { createNodeAdapter } from "./node-adapter.ts";
import { createCipher } from "./sessions.ts";

export const CIPHER = token<Cipher>("Cipher");

export const cipherModule: Module<Cipher> = {
  token: CIPHER,
  make: (get) => createCipher({ adapter: createNodeAdapter(), onWiped: createFreedKeyOverwriter(get(CLOCK)) }),
};
