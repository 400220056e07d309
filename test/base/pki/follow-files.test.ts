import { afterAll, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { followFiles } from "../../../src/base/pki/follow-files.ts";
import { readCertificatePair, requireInForce } from "../../../src/base/pki/pem.ts";
import { stateOfFiles } from "../../../src/base/pki/watch-files.ts";
import { makeAuthority } from "../../support/certificates.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const folder = mkdtempSync(join(tmpdir(), "crypto-edge-follow-"));
afterAll(() => rmSync(folder, { recursive: true }));
const authority = await makeAuthority();

async function following(cert: string, key: string) {
  const clock = new VirtualClock();
  const used: string[] = [];
  const lines: [level: string, reason: string | undefined][] = [];
  const at = (level: string) => (fields: object | string) => {
    lines.push([level, (fields as { reason?: string }).reason]);
  };
  const following = followFiles({
    role: "a test",
    files: [cert, key],
    since: stateOfFiles([cert, key]),
    clock,
    log: { info: at("info"), warn: at("warn") },
    read: () => readCertificatePair(cert, key),
    use: (pair) => void used.push(pair.cert),
  });
  return { clock, used, lines, following };
}

test("a pair that is replaced file by file is taken when it fits together; the old is kept while it does not", async () => {
  const [cert, key] = [join(folder, "a.pem"), join(folder, "a.key")];
  const write = (pair: { certificate: string; key: string }, only?: "certificate"): void => {
    writeFileSync(cert, pair.certificate);
    if (only === undefined) writeFileSync(key, pair.key);
  };
  write(await authority.issue());
  const { clock, used, lines, following: followed } = await following(cert, key);
  const renewed = await authority.issue();
  write(renewed, "certificate");
  await clock.advance(20_000);
  expect(used).toEqual([]);
  expect(lines).toEqual([["warn", expect.stringContaining("give the pair made together")]]);
  writeFileSync(key, renewed.key);
  await clock.advance(6_000);
  expect(used).toEqual([renewed.certificate]);
  expect(lines.at(-1)).toEqual(["info", undefined]);
  followed.close();
  write(await authority.issue());
  await clock.advance(20_000);
  expect(used).toHaveLength(1);
});

test("a folder that is swapped as a whole, as Kubernetes does with secrets, is taken", async () => {
  const volume = join(folder, "volume");
  mkdirSync(volume);
  const place = async (name: string): Promise<string> => {
    const pair = await authority.issue();
    mkdirSync(join(volume, name));
    writeFileSync(join(volume, name, "tls.crt"), pair.certificate);
    writeFileSync(join(volume, name, "tls.key"), pair.key);
    symlinkSync(name, join(volume, "..data_tmp"));
    renameSync(join(volume, "..data_tmp"), join(volume, "..data"));
    return pair.certificate;
  };
  await place("..2026_1");
  for (const name of ["tls.crt", "tls.key"]) symlinkSync(`..data/${name}`, join(volume, name));
  const { clock, used } = await following(join(volume, "tls.crt"), join(volume, "tls.key"));
  const second = await place("..2026_2");
  rmSync(join(volume, "..2026_1"), { recursive: true });
  await clock.advance(8_000);
  expect(used).toEqual([second]);
});

test("asked to reload, it says what is wrong, and keeps the old", async () => {
  const [cert, key] = [join(folder, "b.pem"), join(folder, "b.key")];
  const pair = await authority.issue();
  writeFileSync(cert, pair.certificate);
  writeFileSync(key, "nonsense");
  const { used, following: followed } = await following(cert, key);
  expect(followed.reload()).rejects.toThrow("b.key holds no private key in PEM");
  expect(used).toEqual([]);
});

test("a loop of links, a file with a new mode, a write that leaves the time as it was: the watch goes on and sees them", async () => {
  const [cert, key] = [join(folder, "c.pem"), join(folder, "c.key")];
  const first = await authority.issue();
  writeFileSync(cert, first.certificate);
  writeFileSync(key, first.key);
  const { clock, used, lines, following: followed } = await following(cert, key);
  rmSync(cert);
  symlinkSync("d.pem", cert);
  symlinkSync("c.pem", join(folder, "d.pem"));
  await clock.advance(10_000);
  expect(lines).toEqual([["warn", expect.stringContaining("c.pem can't be read (ELOOP)")]]);
  rmSync(cert);
  writeFileSync(cert, first.certificate);
  await clock.advance(10_000);
  expect(used).toEqual([first.certificate]);

  const { mtime } = statSync(cert);
  await Bun.sleep(20);
  chmodSync(cert, 0o600);
  await clock.advance(10_000);
  expect(used).toHaveLength(2);
  await Bun.sleep(20);
  writeFileSync(cert, first.certificate);
  utimesSync(cert, mtime, mtime);
  await clock.advance(10_000);
  expect(used).toHaveLength(3);
  followed.close();
});

test("a file that was replaced between its reading and the first look is taken up", async () => {
  const clock = new VirtualClock();
  const file = join(folder, "between.pem");
  writeFileSync(file, "one");
  const since = stateOfFiles([file]);
  writeFileSync(file, "two, longer");
  const used: string[] = [];
  const followed = followFiles({
    role: "a test",
    files: [file],
    since,
    clock,
    log: { info() {}, warn() {} },
    read: () => "read again",
    use: (value) => void used.push(value),
  });
  await clock.advance(6_000);
  expect(used).toEqual(["read again"]);
  followed.close();
});

test("what is no good now is tried again without a change of the files, its reason told once; closed, nothing waits", async () => {
  const clock = new VirtualClock();
  const file = join(folder, "e.pem");
  writeFileSync(file, "one");
  const state = { isGood: false };
  const lines: string[] = [];
  const used: number[] = [];
  const followed = followFiles({
    role: "a test",
    files: [file],
    since: stateOfFiles([file]),
    clock,
    log: { info: () => void lines.push("info"), warn: () => void lines.push("warn") },
    read: () => {
      if (!state.isGood) throw new Error("no descriptor is free");
      return 1;
    },
    use: (value) => void used.push(value),
  });
  writeFileSync(file, "two, longer");
  await clock.advance(120_000);
  expect({ lines, used }).toEqual({ lines: ["warn"], used: [] });
  state.isGood = true;
  await clock.advance(31_000);
  expect({ lines, used }).toEqual({ lines: ["warn", "info"], used: [1] });
  state.isGood = false;
  writeFileSync(file, "three, longer still");
  await clock.advance(10_000);
  followed.close();
  expect(clock.pending).toBe(0);
});

test("a certificate that is over, or not yet valid, takes no other's place", async () => {
  const nowMs = Date.now();
  const file = join(folder, "f.pem");
  const certificatesOf = async (fromMs: number, toMs: number) => {
    const pair = await authority.issue({ notBefore: new Date(nowMs + fromMs), notAfter: new Date(nowMs + toMs) });
    writeFileSync(file, pair.certificate);
    writeFileSync(join(folder, "f.key"), pair.key);
    return readCertificatePair(file, join(folder, "f.key")).certificates;
  };
  const over = await certificatesOf(-20_000, -10_000);
  const early = await certificatesOf(60_000, 120_000);
  const good = await certificatesOf(-10_000, 60_000);
  expect(() => requireInForce(file, over, nowMs)).toThrow("ended on");
  expect(() => requireInForce(file, early, nowMs)).toThrow("is not valid before");
  expect(() => requireInForce(file, [...over, ...good], nowMs)).not.toThrow();
});
