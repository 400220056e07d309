/** Handshakes cost more than requests: an address whose handshakes fail again and again is turned away before the next. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { networkOf } from "../../../src/base/network/tls/handshake-limit.ts";
import type { SocketDoor } from "../../../src/edge/doors/door.ts";
import type { Listener } from "../../../src/edge/listeners/listener.ts";
import { listenOnTls } from "../../../src/edge/listeners/tls-listener.ts";
import { makeAuthority, type TestCertificate } from "../../support/certificates.ts";
import { LISTENER_LIMITS } from "../../support/listener-limits.ts";
import { until } from "../../support/until.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const folder = mkdtempSync(join(tmpdir(), "crypto-edge-handshakes-"));
const authority = await makeAuthority();
const server = await authority.issue({ ip: ["127.0.0.1"] });
const client = await authority.issue({ dns: ["db.example"] });
const strange = await (await makeAuthority("another CA")).issue({ dns: ["db.example"] });
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const files = {
  cert: file("cert.pem", server.certificate),
  key: file("key.pem", server.key),
  clientCa: file("ca.pem", authority.certificate),
};

let listener: Listener | undefined;
afterEach(() => listener?.close(0));
afterAll(() => rmSync(folder, { recursive: true }));

interface World {
  readonly port: number;
  readonly clock: VirtualClock;
  /** The codes of refused connections. */
  readonly refused: string[];
}

const greeter = (isUnwelcome: () => boolean): SocketDoor => ({
  name: "greeter",
  transport: "socket",
  serve(socket, _connection, limits) {
    if (isUnwelcome()) limits.countAgainstAddress();
    socket.end("hello");
  },
});

async function start(failedHandshakesPerSecond: number, isUnwelcome = () => false): Promise<World> {
  const clock = new VirtualClock();
  const refused: string[] = [];
  listener = await listenOnTls(
    {
      host: "127.0.0.1",
      port: 0,
      ...files,
      clientCertificates: "verified",
      clientCrl: [],
      nameSources: ["dns"],
      minVersion: "TLSv1.2",
      tokens: [],
      limits: { ...LISTENER_LIMITS, failedHandshakesPerSecond },
      clock,
      log: {
        info() {},
        warn: (details) => void refused.push(String((details as { code?: unknown }).code)),
        error() {},
      },
    },
    { socket: greeter(isUnwelcome) },
  );
  return { port: Number(new URL(listener.address).port), clock, refused };
}

/** What the door says, or undefined where the connection has ended before. */
function greeting(port: number, who?: TestCertificate, maxVersion?: "TLSv1.2"): Promise<string | undefined> {
  return new Promise((resolve) => {
    let said: string | undefined;
    const socket = connectTls({
      host: "127.0.0.1",
      port,
      ca: authority.certificate,
      ...(who === undefined ? {} : { cert: who.certificate, key: who.key }),
      ...(maxVersion === undefined ? {} : { maxVersion }),
    });
    socket.on("data", (bytes: Buffer) => {
      said = bytes.toString();
    });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(said));
  });
}

/** How many bytes come back for what is no handshake: an alert, or none where the connection was closed at once. */
function rubbish(port: number, localAddress = "127.0.0.1"): Promise<number> {
  return new Promise((resolve) => {
    let bytes = 0;
    const socket = connectTcp({ host: "127.0.0.1", port, localAddress }, () => socket.write("no handshake at all\r\n"));
    socket.on("data", (chunk) => {
      bytes += chunk.length;
    });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(bytes));
  });
}

/** Connects and goes away. */
function nothing(port: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connectTcp({ host: "127.0.0.1", port }, () => socket.destroy());
    socket.on("close", () => resolve());
  });
}

describe("an address is turned away before its handshake", () => {
  const failures: Record<string, (port: number) => Promise<unknown>> = {
    "that come without a certificate": (port) => greeting(port),
    "with one of another authority": (port) => greeting(port, strange),
    "with that, in TLS 1.2": (port) => greeting(port, strange, "TLSv1.2"),
    "that are none": (port) => rubbish(port),
    "that never begin": nothing,
  };
  for (const [name, fail] of Object.entries(failures)) {
    test(`after too many ${name}, until a second has passed`, async () => {
      const { port, clock, refused } = await start(3);
      expect(await greeting(port, client)).toBe("hello");
      for (let count = 0; count < 3; count++) await fail(port);
      await until(() => refused.length >= 3);
      expect(await rubbish(port)).toBe(0);
      expect(await greeting(port, client)).toBeUndefined();
      // Told once, however often it comes.
      expect(refused.filter((code) => code === "too_many_failures")).toHaveLength(1);
      await clock.advance(1_000);
      expect(await greeting(port, client)).toBe("hello");
    });
  }

  test("after too many connections that a door has no use for", async () => {
    const { port, clock } = await start(2, () => true);
    for (let count = 0; count < 2; count++) expect(await greeting(port, client)).toBe("hello");
    expect(await greeting(port, client)).toBeUndefined();
    await clock.advance(1_000);
    expect(await greeting(port, client)).toBe("hello");
  });
});

test("another address is let in meanwhile", async () => {
  const { port, refused } = await start(1);
  await rubbish(port);
  await until(() => refused.length > 0);
  expect(await rubbish(port)).toBe(0);
  expect(await rubbish(port, "127.0.0.2")).toBeGreaterThan(0);
});

test("one that succeeds makes up for one that failed: a bad caller behind a balancer does not shut out the good ones", async () => {
  const { port, refused } = await start(2);
  for (let count = 0; count < 10; count++) {
    await rubbish(port);
    await until(() => refused.length > count);
    expect(await greeting(port, client)).toBe("hello");
  }
  // No credit is saved up: it is as before all of them.
  for (let count = 0; count < 2; count++) expect(await rubbish(port)).toBeGreaterThan(0);
  await until(() => refused.length >= 12);
  expect(await rubbish(port)).toBe(0);
});

test("an address of IPv6 stands for its /64", () => {
  for (const [address, network] of [
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "::ffff:192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
    ["2001:db8:1:2::6", "2001:db8:1:2"],
    ["2001:db8::6", "2001:db8:0:0"],
    ["::1", "0:0:0:0"],
    ["fe80::1%eth0", "fe80:0:0:0"],
    ["", ""],
  ] as const) {
    expect(networkOf(address)).toBe(network);
  }
});
