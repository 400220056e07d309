import { describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { createHmac, hkdfSync } from "node:crypto";
import { encodeIdentity } from "../../../src/edge/cipher/blob.ts";
import { type Found, type Sought, searchProcess } from "../../support/key-search.ts";
import { hasSecretMemory } from "../../support/secret-memory.ts";
import { FREED_KEY, fillTestKey, identityOf, type Load, SESSIONS, type Stage } from "./residue-probe.ts";

/** What wrapping sessions leave in the memory of their process, as another process finds it: on Linux with `memfd_secret`. */

const PROBE = new URL("./residue-probe.ts", import.meta.url).pathname;

async function residue(kind: string, stage: Stage, load: Load = "busy"): Promise<Found[]> {
  const child = spawn(process.execPath, [PROBE, kind, stage, load], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const line = await new Promise<string>((resolve, reject) => {
      let text = "";
      child.stdout.on("data", (chunk) => {
        text += chunk;
        if (text.includes("\n")) resolve(text);
      });
      child.once("close", () => reject(new Error("the probe ended early")));
    });
    const salts = JSON.parse(line) as string[];
    expect(salts).toHaveLength(SESSIONS);
    return searchProcess(child.pid!, salts.flatMap(keysOf));
  } finally {
    child.kill("SIGKILL");
  }
}

/** Every secret of a session, derived by other means than the cipher's own. */
function keysOf(saltHex: string, session: number): Sought[] {
  const serviceKey = fillTestKey(new Uint8Array(32), session);
  const salt = Buffer.from(saltHex, "hex");
  const info = Buffer.concat([Buffer.from("crypto-edge l4 wrap v1\0"), encodeIdentity(identityOf(session))]);
  return [
    { name: "service key", key: serviceKey },
    { name: "pseudorandom key", key: createHmac("sha256", salt).update(serviceKey).digest() },
    { name: "freed key", key: fillTestKey(new Uint8Array(32), FREED_KEY) },
    { name: "wrapping key", key: new Uint8Array(hkdfSync("sha256", serviceKey, salt, info, 32)) },
  ];
}

const names = (found: Found[]): string[] => [...new Set(found.map(({ name }) => name))].sort();

describe.skipIf(!hasSecretMemory)("in the memory of the process", () => {
  test("there is no service key while sessions run, when key memory is secret; the wrapping keys are there", async () => {
    expect(names(await residue("secret", "held"))).toEqual(["wrapping key"]);
  });

  test("the search finds the service keys when key memory is the heap", async () => {
    expect(names(await residue("heap", "held"))).toEqual(["service key", "wrapping key"]);
  });

  test("there is no key at all once the sessions are wiped and what the library freed is overwritten", async () => {
    expect(await residue("secret", "ended")).toEqual([]);
    expect(await residue("secret", "ended", "quiet")).toEqual([]);
  });

  test("the search finds what the library freed, as long as it is not overwritten", async () => {
    // The freed block may be given out again at any moment, and is then overwritten by chance: one find in ten shows that the
    // search can find.
    let found: string[] = [];
    for (let round = 0; round < 10 && !found.includes("freed key"); round++) {
      found = names(await residue("secret", "ended, not overwritten", "quiet"));
    }
    expect(found).toContain("freed key");
  }, 60_000);
});
