import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { chmodSync } from "node:fs";
import { basename, dirname } from "node:path";
import { loadMasterKey, parseMasterKey, unwrapMasterKey } from "../../src/core/master-key.ts";
import { type KeySource, KeySourceError } from "../../src/edge/key-source/key-source.ts";
import { makeTemporaryFile } from "../support/temporary-file.ts";

const key = randomBytes(32);

describe("the master key", () => {
  test("is taken as bytes, hex or base64, and nothing else", () => {
    for (const form of [
      key,
      Buffer.from(`${key.toString("hex")}\n`),
      Buffer.from(key.toString("base64")),
      Buffer.from(key.toString("base64url")),
    ]) {
      expect(Buffer.from(parseMasterKey(form))).toEqual(key);
    }
    for (const form of ["", "short", `${key.toString("hex")}00`, "z".repeat(64)]) {
      expect(() => parseMasterKey(Buffer.from(form))).toThrow("not a master key");
    }
  });

  test("comes from a file, a variable, or a credential of systemd", () => {
    using file = makeTemporaryFile("master.key", key);
    expect(Buffer.from(loadMasterKey({ file: file.path }))).toEqual(key);
    expect(Buffer.from(loadMasterKey({ environment: "KEY" }, { KEY: key.toString("hex") }))).toEqual(key);
    const credentials = { CREDENTIALS_DIRECTORY: dirname(file.path) };
    expect(Buffer.from(loadMasterKey({ credential: basename(file.path) }, credentials))).toEqual(key);
    expect(() => loadMasterKey({ credential: "master.key" }, {})).toThrow("LoadCredential=master.key:PATH");
    expect(() => loadMasterKey({ credential: "other" }, credentials)).toThrow("can't be read");
    expect(() => loadMasterKey({ environment: "KEY" }, {})).toThrow("is empty");
  });

  test("in a file that everybody may read is refused; the group may", () => {
    using file = makeTemporaryFile("master.key", key);
    for (const mode of [0o604, 0o644, 0o666, 0o602]) {
      chmodSync(file.path, mode);
      expect(() => loadMasterKey({ file: file.path })).toThrow("is open to everybody");
    }
    chmodSync(file.path, 0o640);
    expect(Buffer.from(loadMasterKey({ file: file.path }))).toEqual(key);
  });

  test("is opened by a key source: the active version is the key, the newest deprecated one the former", async () => {
    const former = randomBytes(32);
    const older = randomBytes(32);
    const asked: unknown[] = [];
    const source = sourceOf(async (request) => {
      asked.push(request);
      return [
        { version: 3, state: "active", key: Uint8Array.from(key) },
        { version: 2, state: "deprecated", key: Uint8Array.from(former) },
        { version: 1, state: "deprecated", key: older },
      ];
    });
    const keys = await unwrapMasterKey(source, { tenant: "core", service: "master-key" });
    expect(Buffer.from(keys.current)).toEqual(key);
    expect(Buffer.from(keys.former!)).toEqual(former);
    // What is not used is wiped.
    expect(older).toEqual(Buffer.alloc(32));
    expect(asked).toEqual([{ tenant: "core", service: "master-key" }]);
  });

  test("that a key source does not open stops the start, with the source's own reason", async () => {
    const away = sourceOf(() => Promise.reject(new KeySourceError("unavailable", "the token is not there")));
    const failure = unwrapMasterKey(away, { tenant: "core", service: "master-key" });
    await failure.catch(() => undefined);
    expect(failure).rejects.toThrow("can't be opened by test: the token is not there");
    const none = unwrapMasterKey(
      sourceOf(async () => []),
      { tenant: "core", service: "master-key" },
    );
    await none.catch(() => undefined);
    expect(none).rejects.toThrow("no active version of core/master-key");
  });
});

function sourceOf(
  lease: (request: unknown) => Promise<readonly { version: number; state: "active" | "deprecated"; key: Uint8Array }[]>,
): KeySource {
  return {
    name: "test",
    lease: async (request) => ({
      ...request,
      ttlMs: 1_000,
      refreshAfterMs: 500,
      log: undefined,
      revocationSeq: 0,
      versions: [...(await lease(request))],
    }),
    close: async () => undefined,
  };
}
