/** What wrapping sessions leave in the memory of their process, as another process finds it: on Linux with `memfd_secret`. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawn } from "node:child_process";
import { createHmac, hkdfSync } from "node:crypto";
import { encodeIdentity } from "../../../src/edge/cipher/blob.ts";
import { type Found, type Sought, searchPieces } from "../../support/key-search.ts";
import { dump } from "../../support/process-memory.ts";
import { referenceOpen } from "../../support/reference-cipher.ts";
import { hasSecretMemory } from "../../support/secret-memory.ts";
import { FREED_KEY, fillTestKey, identityOf, type Load, SESSIONS, type Stage } from "./residue-probe.ts";

/** For a busy machine. */
setDefaultTimeout(120_000);

const PROBE = new URL("./residue-probe.ts", import.meta.url).pathname;

async function residue(adapter: string, kind: string, stage: Stage, load: Load = "busy"): Promise<Found[]> {
  const child = spawn(process.execPath, [PROBE, adapter, kind, stage, load], { stdio: ["pipe", "pipe", "inherit"] });
  try {
    let text = "";
    child.stdout.on("data", (chunk) => {
      text += chunk;
    });
    const line = (number: number): Promise<string> =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const lines = text.split("\n");
          if (lines.length > number + 1) resolve(lines[number]!);
        };
        child.stdout.on("data", look);
        child.once("close", () => reject(new Error("the probe ended early")));
        look();
      });
    const { salts, blobs } = JSON.parse(await line(0)) as { salts: string[]; blobs: string[] };
    expect(salts).toHaveLength(SESSIONS);
    const memory = [...dump(child.pid!)];
    const sought = [...salts.flatMap(keysOf), ...dataKeysOf("last data key", blobs)];
    if (stage === "held") {
      // What is drawn after the memory was read must not have been there already.
      child.stdin.write("\n");
      const { blobs: next } = JSON.parse(await line(1)) as { blobs: string[] };
      sought.push(...dataKeysOf("next data key", next));
    }
    return searchPieces(memory, sought);
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

/** The keys that the first session made, and told nobody. */
function dataKeysOf(name: string, blobs: readonly string[]): Sought[] {
  const serviceKey = fillTestKey(new Uint8Array(32), 0);
  return blobs.map((blob) => {
    const key = referenceOpen(serviceKey, { ...identityOf(0), suite: 1, context: {} }, Buffer.from(blob, "hex"));
    return { name, key: key! };
  });
}

const names = (found: Found[]): string[] => [...new Set(found.map(({ name }) => name))].sort();

for (const adapter of ["node", "openssl"]) {
  describe.skipIf(!hasSecretMemory)(`in the memory of the process, by ${adapter}`, () => {
    test("there are the wrapping keys while sessions run: no service key, and no data key, neither the last nor the next", async () => {
      expect(names(await residue(adapter, "secret", "held"))).toEqual(["wrapping key"]);
    });

    test("the search finds the service keys and the next data keys when key memory is the heap", async () => {
      expect(names(await residue(adapter, "heap", "held"))).toEqual(["next data key", "service key", "wrapping key"]);
    });

    test("there is no key at all once the sessions are wiped", async () => {
      // What node:crypto freed is overwritten; libcrypto wipes by itself.
      const stage = adapter === "node" ? "ended" : "ended, not overwritten";
      expect(await residue(adapter, "secret", stage)).toEqual([]);
      if (adapter === "node") expect(await residue(adapter, "secret", stage, "quiet")).toEqual([]);
    });
  });
}

describe.skipIf(!hasSecretMemory)("what a library frees unwiped", () => {
  test("is found by the search, as long as it is not overwritten", async () => {
    // The freed block may be given out again at any moment, and is then overwritten by chance: one find in ten shows that the
    // search can find.
    let found: string[] = [];
    for (let round = 0; round < 10 && !found.includes("freed key"); round++) {
      found = names(await residue("node", "secret", "ended, not overwritten", "quiet"));
    }
    expect(found).toContain("freed key");
  });
});
