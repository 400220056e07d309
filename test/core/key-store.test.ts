import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type KeyState, KeyStore, type KeyStoreOptions } from "../../src/core/key-store.ts";
import { parseMasterKey } from "../../src/core/master-key.ts";

/** For a busy machine. */
setDefaultTimeout(30_000);

let directory: string;
const masterKey = randomBytes(32);

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "key-store-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function open(name: string, options: Partial<KeyStoreOptions> = {}): KeyStore {
  return new KeyStore({ database: join(directory, name), masterKey, now: Date.now, ...options });
}

describe("the Core's keys", () => {
  test("are the same after a restart, with their states, the log and its numbers", () => {
    const before = open("restart.db");
    before.createService("tenant-a", "billing");
    before.rotate("tenant-a", "billing");
    before.revoke({ tenant: "tenant-a", service: "billing", version: 1 }, "compromised", "test");
    const { log } = before;
    const [key] = before.openVersions("tenant-a", "billing", undefined, 0);
    const services = before.services("tenant-a");
    before.close();

    const after = open("restart.db");
    expect(after.log).toBe(log);
    expect(after.lastSeq).toBe(2);
    expect(after.services("tenant-a")).toEqual(services);
    expect(after.openVersions("tenant-a", "billing", undefined, 0)).toEqual([key!]);
    expect(after.rotate("tenant-a", "billing").seq).toBe(3);
    expect(after.eventsAfter(0, 10).map((event) => event.seq)).toEqual([1, 2, 3]);
    after.close();
  });

  test("are never on disk in the clear: neither in the database nor in its log, raw, in hex or in base64", () => {
    const store = open("grep.db");
    const secrets: Buffer[] = [masterKey];
    for (let index = 0; index < 20; index++) {
      store.createService("tenant-a", `service-${index}`);
      store.rotate("tenant-a", `service-${index}`);
      secrets.push(
        ...store.openVersions("tenant-a", `service-${index}`, undefined, 5).map(({ key }) => Buffer.from(key)),
      );
    }
    expect(secrets).toHaveLength(41);
    store.rotate("tenant-a", "service-1");
    const files = readdirSync(directory).filter((name) => name.startsWith("grep.db"));
    expect(files).toContain("grep.db-wal");
    let bytes = 0;
    for (const file of files) {
      const content = readFileSync(join(directory, file));
      bytes += content.length;
      // The search finds what is there: names are not secret.
      if (file === "grep.db-wal") expect(content.includes("service-1")).toBe(true);
      for (const secret of secrets) {
        for (const form of [secret, secret.subarray(0, 16), secret.toString("hex"), secret.toString("base64")]) {
          expect(content.includes(form)).toBe(false);
        }
      }
    }
    expect(bytes).toBeGreaterThan(10_000);
    store.close();
  });

  test("are erased when they are destroyed: their wrapped form is gone from the database and its log", () => {
    const store = open("destroy.db");
    store.createService("tenant-a", "billing");
    const wrapped = store.db.query<{ l3: Uint8Array }, []>("SELECT l3 FROM service_keys").get()!.l3;
    const inFiles = (): boolean =>
      readdirSync(directory)
        .filter((name) => name.startsWith("destroy.db"))
        .some((name) => readFileSync(join(directory, name)).includes(wrapped));
    expect(inFiles()).toBe(true);
    store.revoke({ tenant: "tenant-a", service: "billing", version: 1 }, "destroyed", "test");
    expect(inFiles()).toBe(false);
    store.close();
  });

  test("do not open under another master key, in another row or for another name, and the error says what to do", () => {
    const store = open("swap.db");
    store.createService("tenant-a", "billing");
    store.createService("tenant-b", "billing");
    store.rotate("tenant-a", "billing");
    const wrapped = (tenant: string, version: number): Uint8Array =>
      store.db
        .query<{ l3: Uint8Array }, [string, number]>("SELECT l3 FROM service_keys WHERE tenant = ? AND version = ?")
        .get(tenant, version)!.l3;
    const put = (tenant: string, version: number, l3: Uint8Array): void =>
      void store.db.query("UPDATE service_keys SET l3 = ? WHERE tenant = ? AND version = ?").run(l3, tenant, version);
    const [one, two, other] = [wrapped("tenant-a", 1), wrapped("tenant-a", 2), wrapped("tenant-b", 1)];
    for (const moved of [two, other]) {
      put("tenant-a", 1, moved);
      expect(() => store.openVersions("tenant-a", "billing", 1, 0)).toThrow();
    }
    put("tenant-a", 1, one);
    expect(store.openVersions("tenant-a", "billing", 1, 0)).toHaveLength(1);
    store.close();
    expect(() => open("swap.db", { masterKey: randomBytes(32) })).toThrow("the key that it was made with");
  });

  test("have one writer: a second Core on the same database is refused", () => {
    const first = open("busy.db");
    expect(() => open("busy.db")).toThrow("in use by another Core");
    first.close();
    open("busy.db").close();
  });

  test("take a master key as bytes, hex or base64, and nothing else", () => {
    for (const form of [
      masterKey,
      Buffer.from(`${masterKey.toString("hex")}\n`),
      Buffer.from(masterKey.toString("base64")),
      Buffer.from(masterKey.toString("base64url")),
    ]) {
      expect(Buffer.from(parseMasterKey(form))).toEqual(masterKey);
    }
    for (const form of ["", "short", `${masterKey.toString("hex")}00`, "z".repeat(64)]) {
      expect(() => parseMasterKey(Buffer.from(form))).toThrow("not a master key");
    }
  });

  test("keep only as many events as are to be retained, and count on", () => {
    const store = open("retained.db", { retainedEvents: 5 });
    store.createService("tenant-a", "billing");
    for (let index = 0; index < 12; index++) store.rotate("tenant-a", "billing");
    expect([store.oldestSeq, store.lastSeq]).toEqual([8, 12]);
    store.close();
    const again = open("retained.db", { retainedEvents: 5 });
    expect([again.oldestSeq, again.lastSeq]).toEqual([8, 12]);
    expect(again.eventsAfter(0, 100).map((event) => event.seq)).toEqual([8, 9, 10, 11, 12]);
    again.close();
  });

  test("go back to the state they had when restored, and never to two active versions", () => {
    const store = open("states.db");
    const scope = { tenant: "tenant-a", service: "billing" };
    const states = () => store.services("tenant-a")[0]!.versions.map(({ state }) => state);
    store.createService("tenant-a", "billing");
    store.rotate("tenant-a", "billing");
    store.revoke({ ...scope, version: 2 }, "compromised", "test");
    expect(states()).toEqual(["deprecated", "compromised"]);
    store.restore({ ...scope, version: 2 });
    expect(states()).toEqual(["deprecated", "active"]);
    store.revoke({ ...scope, version: 2 }, "compromised", "test", { rotate: true });
    expect(states()).toEqual(["deprecated", "compromised", "active"]);
    store.restore({ ...scope, version: 2 });
    expect(states()).toEqual(["deprecated", "deprecated", "active"]);
    expect(() => store.restore({ ...scope, version: 2 })).toThrow("not compromised");
    store.revoke({ ...scope, version: 1 }, "destroyed", "test");
    expect(() => store.revoke({ ...scope, version: 1 }, "compromised", "test")).toThrow("destroyed already");
    store.revoke(scope, "compromised", "test");
    expect(() => store.rotate("tenant-a", "billing")).toThrow("restore it first");
    store.close();
  });

  test("refuse what can't be: unknown names, bad names, a version without its service; nothing changes then", () => {
    const store = open("refuse.db");
    store.createService("tenant-a", "billing");
    expect(() => store.createService("tenant-a", "billing")).toThrow("exists already");
    expect(() => store.createTenant("tenant-a")).toThrow("exists already");
    expect(() => store.createService("../x", "billing")).toThrow("must have 1 to 128");
    expect(() => store.rotate("tenant-b", "billing")).toThrow("there is no");
    expect(() => store.revoke({ tenant: "tenant-a", version: 1 }, "compromised", "x")).toThrow("name the service too");
    expect(() => store.revoke({ tenant: "tenant-a", service: "x" }, "compromised", "x")).toThrow("there is no");
    expect(() =>
      store.revoke({ tenant: "tenant-a", service: "billing" }, "compromised", "x", { rotate: true }),
    ).toThrow("only the revocation of one version");
    expect(store.services("tenant-a")[0]!.state).toBe("active");
    expect(store.lastSeq).toBe(0);
    store.close();
  });
});

describe("kill -9 in the middle of changes", () => {
  test("leaves keys and events consistent, with every change that was told", async () => {
    const database = join(directory, "killed.db");
    const key = masterKey.toString("hex");
    const first = new KeyStore({ database, masterKey, now: Date.now });
    first.createService("tenant-a", "billing");
    first.close();
    let changes = 0;
    for (let round = 0; round < 12; round++) {
      const child = Bun.spawn([process.execPath, join(import.meta.dir, "rotate-until-killed.ts"), database, key], {
        stdout: "pipe",
        stderr: "pipe",
      });
      let told = 0;
      let output = "";
      const reading = (async () => {
        for await (const chunk of child.stdout) output += Buffer.from(chunk).toString("latin1");
      })();
      while (!output.includes("ready") && child.exitCode === null) await Bun.sleep(2);
      await Bun.sleep(5 + Math.random() * 60);
      child.kill("SIGKILL");
      await child.exited;
      await reading;
      expect(await new Response(child.stderr).text()).toBe("");
      // A last line may be cut; what is whole was told.
      for (const line of output.split("\n").slice(0, -1)) if (/^\d+$/.test(line)) told = Number(line);

      const store = new KeyStore({ database, masterKey, now: Date.now });
      expect(store.lastSeq).toBeGreaterThanOrEqual(told);
      changes = store.lastSeq;
      const events = store.eventsAfter(0, 1_000_000);
      expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1));
      expect(events).toHaveLength(store.lastSeq);
      const { versions } = store.services("tenant-a")[0]!;
      // Exactly the versions that the log made, in exactly the states that it says.
      const states = new Map<number, KeyState>([[1, "active"]]);
      for (const event of events) {
        if (event.type === "rotate") {
          for (const [version, state] of states) if (state === "active") states.set(version, "deprecated");
          states.set(event.version, "active");
        } else if (event.version !== undefined) {
          states.set(event.version, event.type === "revoke" ? event.state : "deprecated");
        }
      }
      expect(versions.map(({ version, state }) => [version, state])).toEqual([...states]);
      expect(versions.filter(({ state }) => state === "active").length).toBe(1);
      for (const opened of store.openVersions("tenant-a", "billing", undefined, 100))
        expect(opened.key).toHaveLength(32);
      store.close();
    }
    expect(changes).toBeGreaterThan(12);
  }, 60_000);
});
