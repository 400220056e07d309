/** Socket doors on TLS: a connection that is kept ends when its certificate does, and a resumed session is looked at like a new one. */
import { afterAll, afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import type { SocketDoor } from "../../../src/edge/doors/door.ts";
import type { Listener } from "../../../src/edge/listeners/listener.ts";
import { listenOnTls } from "../../../src/edge/listeners/tls-listener.ts";
import { makeAuthority } from "../../support/certificates.ts";
import { LISTENER_LIMITS } from "../../support/listener-limits.ts";
import { until } from "../../support/until.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const folder = mkdtempSync(join(tmpdir(), "crypto-edge-socket-door-"));
const authority = await makeAuthority();
const server = await authority.issue({ dns: ["localhost"] });
const client = await authority.issue({ dns: ["db.example"] });
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const [cert, key, clientCa] = [
  file("cert.pem", server.certificate),
  file("key.pem", server.key),
  file("ca.pem", authority.certificate),
];

/** Says who asked, for each piece that the gate lets in. */
const echo: SocketDoor = {
  name: "echo",
  transport: "socket",
  serve(socket, { principal }, limits) {
    socket.on("data", (chunk: Buffer) => {
      if (limits.enter(chunk.length)) socket.write(`${principal?.name}\n`, () => limits.leave(chunk.length));
    });
  },
};

let listener: Listener | undefined;
afterEach(() => listener?.close(0));
afterAll(() => rmSync(folder, { recursive: true }));

/** The certificates are of today. */
function clockOfToday(): VirtualClock {
  const clock = new VirtualClock();
  clock.jumpWall(Date.now() - clock.wallMs());
  return clock;
}

async function start(clock = clockOfToday()): Promise<{ port: number; crl: string; clock: VirtualClock }> {
  const crl = file("live.crl", await authority.revoke([]));
  listener = await listenOnTls(
    {
      host: "127.0.0.1",
      port: 0,
      cert,
      key,
      clientCa,
      clientCertificates: "verified",
      clientCrl: [crl],
      nameSources: ["uri", "dns", "common_name"],
      minVersion: "TLSv1.2",
      tokens: [],
      limits: LISTENER_LIMITS,
      clock,
      log: { info() {}, warn() {}, error() {} },
    },
    { socket: echo },
  );
  return { port: Number(new URL(listener.address).port), crl, clock };
}

interface Connected {
  readonly socket: TLSSocket;
  /** The answer, or undefined where the connection has ended in its place. */
  ask(): Promise<string | undefined>;
  readonly ticket: () => Buffer | undefined;
}

function open(port: number, options: { session?: Buffer } = {}): Promise<Connected> {
  return new Promise((resolve, reject) => {
    let ticket: Buffer | undefined;
    const socket = connect(
      {
        host: "127.0.0.1",
        port,
        servername: "localhost",
        ca: authority.certificate,
        cert: client.certificate,
        key: client.key,
        ...options,
      },
      () =>
        resolve({
          socket,
          ticket: () => ticket,
          ask: () =>
            new Promise((answered) => {
              socket.once("data", (bytes: Buffer) => answered(bytes.toString().trim()));
              socket.once("close", () => answered(undefined));
              socket.write("who?");
            }),
        }),
    );
    socket.on("session", (session: Buffer) => {
      ticket = session;
    });
    socket.on("error", reject);
  });
}

test("a connection is kept until its certificate is revoked, and no longer", async () => {
  const { port, crl } = await start();
  const { ask } = await open(port);
  expect(await ask()).toBe("db.example");
  expect(await ask()).toBe("db.example");
  writeFileSync(crl, await authority.revoke([client.certificate]));
  await listener?.reload?.();
  expect(await ask()).toBeUndefined();
});

test("a connection is kept until its certificate has expired, and no longer", async () => {
  const { port, clock } = await start();
  const { ask } = await open(port);
  expect(await ask()).toBe("db.example");
  clock.jumpWall(31 * 86_400_000);
  expect(await ask()).toBeUndefined();
});

test("a session that is resumed by its ticket is still the certificate's, and ends with it", async () => {
  const { port, crl } = await start();
  const first = await open(port);
  expect(await first.ask()).toBe("db.example");
  await until(() => first.ticket() !== undefined);
  const session = first.ticket()!;
  const resumed = await open(port, { session });
  expect(resumed.socket.isSessionReused()).toBe(true);
  expect(await resumed.ask()).toBe("db.example");
  writeFileSync(crl, await authority.revoke([client.certificate]));
  await listener?.reload?.();
  const after = await open(port, { session });
  expect(await after.ask()).toBeUndefined();
});
