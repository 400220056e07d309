import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { startTlsServer } from "../../../src/base/network/tls/server.ts";
import { foreignFunctions } from "../../../src/base/system/system-calls.ts";
import { acceptPlain } from "../../../src/edge/listeners/plain-sockets.ts";
import { makeAuthority } from "../../support/certificates.ts";
import { until } from "../../support/until.ts";

const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
/** Twice what comes, by the kernel's bookkeeping. */
const BOUND = 131_072;

const descriptors = (): string[] => readdirSync("/proc/self/fd");

/** Of a socket; undefined for anything else. */
async function receiveBufferOf(descriptor: string): Promise<number | undefined> {
  const { getsockopt } = (await foreignFunctions())!.open("libc.so.6", {
    getsockopt: { parameters: ["i32", "i32", "i32", "bytes", "bytes"], result: "i32" },
  });
  const value = new Int32Array(1);
  const length = new Uint8Array(Int32Array.of(4).buffer);
  const found = getsockopt(Number(descriptor), SOL_SOCKET, SO_RCVBUF, new Uint8Array(value.buffer), length);
  return Number(found) === 0 ? value[0] : undefined;
}

const listeners = {
  async plain(onConnection: () => void) {
    const server = await acceptPlain({ hostname: "127.0.0.1", port: 0, reusePort: false }, onConnection);
    return { port: server.port!, stop: async () => server.stop() };
  },
  async TLS(onConnection: () => void) {
    const authority = await makeAuthority();
    const { certificate, key } = await authority.issue({ ip: ["127.0.0.1"] });
    const server = await startTlsServer({
      hostname: "127.0.0.1",
      port: 0,
      certificates: { cert: certificate, key, clientCa: authority.certificate },
      // A handshake that fails shows that the connection was taken.
      onRefused: onConnection,
      onConnection,
    });
    return { port: server.port, stop: () => server.close() };
  },
};

if (process.platform === "linux") {
  for (const kind of ["plain", "TLS"] as const) {
    test(`the kernel keeps little of what is sent to a listener's connection (${kind})`, async () => {
      const listener = await listeners[kind](() => undefined);
      const before = new Set(descriptors());
      const client = connect(listener.port, "127.0.0.1");
      client.on("error", () => undefined);
      const bounds = async (): Promise<(number | undefined)[]> =>
        Promise.all(
          descriptors()
            .filter((each) => !before.has(each))
            .map(receiveBufferOf),
        );
      try {
        await until(async () => (await bounds()).includes(BOUND));
        // The other one is the client's, whose buffer is the system's.
        expect((await bounds()).filter((bytes) => bytes === BOUND)).toHaveLength(1);
      } finally {
        client.destroy();
        await listener.stop();
      }
    });
  }
}
