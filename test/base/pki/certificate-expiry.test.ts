import { describe, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { CertificateExpiry } from "../../../src/base/pki/certificate-expiry.ts";
import { makeAuthority } from "../../support/certificates.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const DAY_MS = 86_400_000;

/** A certificate whose life began `ageDays` ago and ends in `leftDays`, and the lines that come of it. */
async function watched(ageDays: number, leftDays: number) {
  const clock = new VirtualClock();
  const lines: { level: string; daysLeft: number }[] = [];
  const at = (level: string) => (fields: object | string) => {
    lines.push({ level, daysLeft: (fields as { daysLeft: number }).daysLeft });
  };
  const expiry = new CertificateExpiry(clock, { warn: at("warn"), error: at("error") });
  const authority = await makeAuthority();
  const make = async (fromDays: number, toDays: number) => {
    const notBefore = new Date(clock.wallMs() + fromDays * DAY_MS);
    const notAfter = new Date(clock.wallMs() + toDays * DAY_MS);
    return new X509Certificate((await authority.issue({ notBefore, notAfter })).certificate);
  };
  expiry.use("listener", "cert.pem", [await make(-ageDays, leftDays)]);
  return { clock, lines, expiry, make };
}

describe("a certificate's end is told before it hurts", () => {
  test("once when 30 % of its life are left, and on each day of its last week, and when it has ended", async () => {
    const { clock, lines, expiry } = await watched(0, 100);
    expect(lines).toEqual([]);
    await clock.advance(69 * DAY_MS);
    expect(lines).toEqual([]);
    await clock.advance(2 * DAY_MS);
    expect(lines).toEqual([{ level: "warn", daysLeft: 30 }]);
    await clock.advance(21 * DAY_MS);
    expect(lines).toHaveLength(1);
    await clock.advance(9 * DAY_MS);
    expect(lines.slice(1).map(({ daysLeft }) => daysLeft)).toEqual([7, 6, 5, 4, 3, 2, 1, 0, -1]);
    expect(lines.filter(({ level }) => level === "error").length).toBeGreaterThanOrEqual(1);
    expiry.close();
    expect(clock.pending).toBe(0);
  });

  test("at the start too, in the last days and after the end", async () => {
    expect((await watched(90, 3)).lines).toMatchObject([{ level: "warn", daysLeft: 3 }]);
    expect((await watched(90, -2)).lines).toMatchObject([{ level: "error" }]);
    expect((await watched(10, 90)).lines).toEqual([]);
  });

  test("no more once it was replaced; of a chain the one that ends first counts", async () => {
    const { clock, lines, expiry, make } = await watched(90, 3);
    expect(lines).toHaveLength(1);
    expiry.use("listener", "cert.pem", [await make(0, 90), await make(0, 400)]);
    await clock.advance(10 * DAY_MS);
    expect(lines).toHaveLength(1);
    expect(expiry.ends()).toHaveLength(1);
    expect(Math.round((expiry.ends()[0]!.notAfterMs - clock.wallMs()) / DAY_MS)).toBe(80);
  });

  test("of a life of seconds in its last third", async () => {
    const { clock, lines } = await watched(0, 12 / 86_400);
    await clock.advance(7_000);
    expect(lines).toEqual([]);
    await clock.advance(2_000);
    expect(lines).toMatchObject([{ level: "warn" }]);
    await clock.advance(5_000);
    expect(lines.at(-1)).toMatchObject({ level: "error" });
  });

  test("and a revocation list's, since one that has run out refuses everyone", async () => {
    const clock = new VirtualClock();
    const lines: unknown[] = [];
    const at = (level: string) => (fields: object | string, message?: string) =>
      void lines.push({ level, file: (fields as { file: string }).file, message });
    const expiry = new CertificateExpiry(clock, { warn: at("warn"), error: at("error") });
    const thisUpdateMs = clock.wallMs();
    const list = { file: "crl.pem", issuer: "CN=one CA", thisUpdateMs, nextUpdateMs: thisUpdateMs + 30 * DAY_MS };
    expiry.useLists("listener", { ends: [list], refusalOf: () => undefined });
    expect(lines).toEqual([]);
    await clock.advance(22 * DAY_MS);
    expect(lines).toMatchObject([
      { level: "warn", file: "crl.pem", message: expect.stringContaining("a revocation list") },
    ]);
    expect(expiry.ends()).toMatchObject([{ kind: "revocation list", file: "crl.pem", subject: "CN=one CA" }]);
    await clock.advance(9 * DAY_MS);
    expect(lines.at(-1)).toMatchObject({ level: "error" });
    expiry.useLists("listener", {
      ends: [{ ...list, nextUpdateMs: clock.wallMs() + 300 * DAY_MS }],
      refusalOf: () => undefined,
    });
    expect(expiry.ends()[0]!.notAfterMs).toBeGreaterThan(clock.wallMs());
    expiry.close();
  });
});
