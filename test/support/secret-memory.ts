import { openKeyMemory } from "../../src/edge/key-memory/open-key-memory.ts";

/** Whether this machine has `memfd_secret`: tests about it are skipped where it has not, but never in CI. */
export const hasSecretMemory: boolean =
  process.env.CI === "true" ||
  (await openKeyMemory({ choice: "secret", expectedKeys: 1, warn: () => {} }).then(
    (memory) => {
      memory.close();
      return true;
    },
    () => false,
  ));
