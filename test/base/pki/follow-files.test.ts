import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { followFiles } from "../../../src/base/pki/follow-files.ts";
import { readCertificatePair } from "../../../src/base/pki/pem.ts";
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
