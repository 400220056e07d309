/**
 * Attacks on an edge's listeners, each bounded in count and time, each telling how its tries ended. Only ever aimed at an
 * edge of the test's own on 127.0.0.1.
 */
import { connect as connectNet, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { AttackedEdge } from "./attacked-edge.ts";

/** How the tries of one attack ended: `200`, `400`, …, `closed` (without an answer), `open` (no end while we waited). */
export type Ends = Readonly<Record<string, number>>;

export type Transport = "http" | "https";

export interface Attack {
  readonly name: string;
  run(edge: AttackedEdge): Promise<Ends>;
}

export function connect(edge: AttackedEdge, transport: Transport): Socket {
  const socket =
    transport === "http"
      ? connectNet({ host: "127.0.0.1", port: edge.httpPort })
      : connectTls({
          host: "127.0.0.1",
          port: edge.httpsPort,
          ca: edge.ca,
          cert: edge.mallory.certificate,
          key: edge.mallory.key,
        });
  socket.on("error", () => undefined);
  return socket;
}

/** Sends bytes, and perhaps ends its half; resolves to all that came until the other end closed or `waitMs` passed. */
export function exchange(
  edge: AttackedEdge,
  transport: Transport,
  bytes: string | Uint8Array,
  { endHalf = false, waitMs = 1_000 } = {},
): Promise<{ text: string; closed: boolean }> {
  return new Promise((resolve) => {
    const socket = connect(edge, transport);
    const chunks: Buffer[] = [];
    const finish = (closed: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ text: Buffer.concat(chunks).toString("latin1"), closed });
    };
    const timer = setTimeout(() => finish(false), waitMs);
    socket.on(transport === "http" ? "connect" : "secureConnect", () => {
      const data = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : Buffer.from(bytes);
      if (endHalf) socket.end(data);
      else socket.write(data);
    });
    socket.on("data", (chunk: Buffer) => void chunks.push(chunk));
    socket.on("close", () => finish(true));
  });
}

const CREATE = '{"tenant":"tenant-a","service":"billing"}';
const post = (headers: string, body = CREATE): string =>
  `POST /v1/keys/create HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${headers}\r\n${body}`;
const framed = (body: string): string => post(`Content-Length: ${body.length}\r\n`, body);

/** Requests that no correct client sends. A server may answer 4xx or close; it may not do as they say. */
export const MALFORMED: Readonly<Record<string, string>> = {
  "random bytes": "\x00\x01\x02\xff\xfe garbage \r\n\r\n",
  "no method": " / HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "no path": "GET\r\n\r\n",
  "unknown version": "GET /livez HTTP/3.7\r\nHost: localhost\r\n\r\n",
  "no version": "GET /livez\r\n\r\n",
  "header without a colon": "GET /livez HTTP/1.1\r\nHost: localhost\r\nBroken\r\n\r\n",
  "space before the colon": "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-A : b\r\n\r\n",
  "folded header": "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n c\r\n\r\n",
  "null in a header": "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-A: b\x00c\r\n\r\n",
  "control character in the path": "GET /liv\x01ez HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "huge method": `${"G".repeat(50_000)} / HTTP/1.1\r\nHost: localhost\r\n\r\n`,
  "huge path": `GET /${"a".repeat(200_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
  "huge header": `GET /livez HTTP/1.1\r\nHost: localhost\r\nX-A: ${"a".repeat(1_000_000)}\r\n\r\n`,
  "ten thousand headers": `GET /livez HTTP/1.1\r\nHost: localhost\r\n${"X-A: b\r\n".repeat(10_000)}\r\n`,
  "length below zero": post("Content-Length: -1\r\n"),
  "length with a sign": post(`Content-Length: +${CREATE.length}\r\n`),
  "length in hexadecimal": post("Content-Length: 0x29\r\n"),
  "length beyond numbers": post("Content-Length: 99999999999999999999\r\n"),
  "length beyond the limit": post("Content-Length: 4294967296\r\n"),
  "chunk size beyond numbers": post("Transfer-Encoding: chunked\r\n", "FFFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n"),
  "chunk size that is no number": post("Transfer-Encoding: chunked\r\n", "zz\r\nabc\r\n0\r\n\r\n"),
  CONNECT: "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n",
  TRACE: "TRACE / HTTP/1.1\r\nHost: localhost\r\nX-Secret: told-back\r\n\r\n",
  "HTTP/2 without TLS": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
  WebSocket:
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
};

const HIDDEN = "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";

/**
 * Requests whose end two readers could see in different places, with a second request inside. The hidden one must never
 * be answered: `/hidden` would be a 404.
 */
export const SMUGGLED: Readonly<Record<string, string>> = {
  "length and chunked": post(
    `Content-Length: ${5 + HIDDEN.length}\r\nTransfer-Encoding: chunked\r\n`,
    `0\r\n\r\n${HIDDEN}`,
  ),
  "chunked and length": post(`Transfer-Encoding: chunked\r\nContent-Length: 4\r\n`, `0\r\n\r\n${HIDDEN}`),
  "two lengths": post(
    `Content-Length: ${CREATE.length}\r\nContent-Length: ${CREATE.length + HIDDEN.length}\r\n`,
    CREATE + HIDDEN,
  ),
  "a list of lengths": post(`Content-Length: ${CREATE.length}, ${CREATE.length + HIDDEN.length}\r\n`, CREATE + HIDDEN),
  "unknown transfer coding": post("Transfer-Encoding: xchunked\r\n", `0\r\n\r\n${HIDDEN}`),
  "chunked twice": post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", `0\r\n\r\n${HIDDEN}`),
  "chunked with a tab": post("Transfer-Encoding:\tchunked\r\nContent-Length: 4\r\n", `0\r\n\r\n${HIDDEN}`),
  "space before the coding's colon": post(
    `Transfer-Encoding : chunked\r\nContent-Length: ${5 + HIDDEN.length}\r\n`,
    `0\r\n\r\n${HIDDEN}`,
  ),
  "bare line feeds": `POST /v1/keys/create HTTP/1.1\nHost: localhost\nContent-Length: 0\n\n${HIDDEN}`,
  "chunk extension with a line feed": post("Transfer-Encoding: chunked\r\n", `2;\nxx\r\n4c\r\n0\r\n\r\n${HIDDEN}`),
};

/** The statuses of all answers in a stream of bytes, or how it ended without any. */
export function statusesOf({ text, closed }: { text: string; closed: boolean }): string {
  const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => status);
  return statuses.length > 0 ? statuses.join("+") : closed ? "closed" : "open";
}

function tally(ends: readonly string[]): Ends {
  const counts: Record<string, number> = {};
  for (const end of ends) counts[end] = (counts[end] ?? 0) + 1;
  return counts;
}

async function inTurns<T>(count: number, atOnce: number, make: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (let start = 0; start < count; start += atOnce) {
    const turn = Array.from({ length: Math.min(atOnce, count - start) }, (_, index) => make(start + index));
    results.push(...(await Promise.all(turn)));
  }
  return results;
}

export const ATTACKS: readonly Attack[] = [
  ...(["http", "https"] as const).map((transport) => ({
    name: `malformed requests over ${transport}`,
    run: async (edge: AttackedEdge) =>
      tally(
        await Promise.all(
          Object.values(MALFORMED).map(async (bytes) => statusesOf(await exchange(edge, transport, bytes))),
        ),
      ),
  })),
  ...(["http", "https"] as const).map((transport) => ({
    name: `smuggled requests over ${transport}`,
    run: async (edge: AttackedEdge) =>
      tally(
        await Promise.all(
          Object.values(SMUGGLED).map(async (bytes) => statusesOf(await exchange(edge, transport, bytes))),
        ),
      ),
  })),
  {
    name: "garbage instead of TLS",
    async run(edge) {
      const hello = Buffer.from("16030100c8010000c40303", "hex");
      const kinds = [
        () => crypto.getRandomValues(new Uint8Array(512)),
        () => Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        () => Buffer.concat([hello, crypto.getRandomValues(new Uint8Array(200))]),
        () => hello,
        () => Buffer.from("1803030003014000", "hex"),
        () => Buffer.alloc(20_000, 0x16),
      ];
      const ends = await inTurns(120, 40, (index) => {
        const aim = { ...edge, httpPort: edge.httpsPort };
        return exchange(aim, "http", kinds[index % kinds.length]!(), { endHalf: index % 2 === 0, waitMs: 500 });
      });
      return tally(ends.map((end) => (end.closed ? "closed" : "open")));
    },
  },
  ...(["http", "https"] as const).map((transport) => ({
    name: `half-closed connections over ${transport}`,
    run: async (edge: AttackedEdge) => {
      const kinds = [
        framed(CREATE),
        post("Content-Length: 1000\r\n"),
        "POST /v1/keys/cre",
        "",
        framed(CREATE).repeat(3),
      ];
      const ends = await inTurns(100, 25, (index) =>
        exchange(edge, transport, kinds[index % kinds.length]!, { endHalf: true, waitMs: 1_000 }),
      );
      return tally(ends.map(statusesOf));
    },
  })),
  ...(["http", "https"] as const).map((transport) => ({
    name: `slow clients over ${transport}, while another is served`,
    run: async (edge: AttackedEdge) => {
      const slow = Array.from({ length: 150 }, () => connect(edge, transport));
      const head = "POST /v1/keys/create HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n";
      let sent = 0;
      const drip = setInterval(() => {
        for (const socket of slow) if (socket.writable) socket.write(head[sent] ?? "x");
        sent++;
      }, 20);
      try {
        const ends: string[] = [];
        for (let index = 0; index < 100; index++) {
          const { text } = await exchange(
            edge,
            "http",
            framed(CREATE).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
          );
          ends.push(statusesOf({ text, closed: true }));
          await Bun.sleep(10);
        }
        return tally(ends);
      } finally {
        clearInterval(drip);
        for (const socket of slow) socket.destroy();
      }
    },
  })),
  {
    name: "hostile JSON",
    async run(edge) {
      const bodies: (string | Uint8Array)[] = [
        "[".repeat(100_000),
        '{"a":'.repeat(100_000),
        `{"tenant":"${"a".repeat(1_000_000)}"}`,
        '{"tenant":"tenant-a","service":"billing","__proto__":{"length":64}}',
        '{"tenant":"tenant-a","service":"billing","constructor":{"prototype":{"plaintext":true}}}',
        '{"tenant":"tenant-a","service":"billing","context":{"__proto__":"x"}}',
        '{"tenant":"tenant-a","service":"billing","context":{"\\ud800":"x"}}',
        '{"tenant":"tenant-a","tenant":"tenant-b","service":"billing","length":1e400}',
        '{"tenant":["tenant-a"],"service":{"toString":"billing"}}',
        '{"tenant":"tenant-a","service":"billing","length":32.5}',
        '{"tenant":"tenant-a","service":"billing","length":"32"}',
        `{"tenant":"tenant-a","service":"billing","context":${JSON.stringify(Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`k${index}`, "v"])))}}`,
        "null",
        "1",
        '""',
        "",
        "\ufeff{}",
        Buffer.from([0xff, 0xfe, 0x00, 0x22]),
        Buffer.from([0x1f, 0x8b, 0x08, 0x00]),
      ];
      const paths = ["create", "decrypt", "rewrap", "create-batch", "decrypt-batch"];
      const ends: string[] = [];
      for (const path of paths) {
        for (const body of bodies) {
          const response = await fetch(`http://127.0.0.1:${edge.httpPort}/v1/keys/${path}`, {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: body as string,
          });
          await response.arrayBuffer();
          ends.push(String(response.status));
        }
      }
      return tally(ends);
    },
  },
  {
    name: "100,000 bad blobs in batches",
    async run(edge) {
      const ends: string[] = [];
      for (let batch = 0; batch < 10; batch++) {
        const items = Array.from({ length: 10_000 }, () => ({
          wrapped: Buffer.from(crypto.getRandomValues(new Uint8Array(133))).toString("base64url"),
        }));
        const response = await fetch(`http://127.0.0.1:${edge.httpPort}/v1/keys/decrypt-batch`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ items }),
        });
        const { results } = (await response.json()) as { results: { error?: { code: string } }[] };
        ends.push(...results.map(({ error }) => error?.code ?? "opened"));
      }
      return tally(ends);
    },
  },
  {
    name: "made-up tenants",
    async run(edge) {
      const ends = await inTurns(1_000, 50, async (index) => {
        const response = await fetch(`http://127.0.0.1:${edge.httpPort}/v1/keys/create`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ tenant: `made-up-${index}`, service: "billing" }),
        });
        await response.arrayBuffer();
        return String(response.status);
      });
      return tally(ends);
    },
  },
  {
    name: "bodies of 16 MB, of shapes that are slow to read",
    async run(edge) {
      const shapes = [
        () => `{"items":[${"[],".repeat(5_000_000)}[]]}`,
        () => `{"items":[${"{},".repeat(5_000_000)}{}]}`,
        () => `{"items":[{"wrapped":"${"A".repeat(15_000_000)}"}]}`,
        () => "[".repeat(16_000_000),
        () => `{${Array.from({ length: 1_000_000 }, (_, index) => `"${index}":1`).join()}}`,
      ];
      const ends: string[] = [];
      for (const shape of shapes) {
        const body = shape();
        for (const path of ["create", "create-batch", "decrypt-batch", "rewrap-batch"]) {
          const response = await fetch(`http://127.0.0.1:${edge.httpPort}/v1/keys/${path}`, {
            method: "POST",
            headers: { "content-type": "application/json" },
            body,
          }).catch(() => undefined);
          await response?.arrayBuffer().catch(() => undefined);
          ends.push(response === undefined ? "closed" : String(response.status));
        }
      }
      return tally(ends);
    },
  },
  {
    name: "batches whose answers nobody reads, and callers that are gone",
    async run(edge) {
      const batch = `{"tenant":"tenant-a","service":"billing","count":10000,"plaintext":true}`;
      const request = `POST /v1/keys/create-batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${batch.length}\r\n\r\n${batch}`;
      const sockets = Array.from({ length: 60 }, () => connect(edge, "http"));
      for (const socket of sockets) {
        socket.pause();
        socket.write(request.repeat(20));
      }
      await Bun.sleep(1_000);
      // Health is told whatever they hold.
      const probe = await fetch(`http://127.0.0.1:${edge.httpPort}/livez`);
      for (const socket of sockets) socket.destroy();
      const ends = [String(probe.status)];
      for (let tries = 0; tries < 300; tries++) {
        const one = await exchange(edge, "http", framed(CREATE), { endHalf: true, waitMs: 5_000 });
        ends.push(statusesOf(one));
        if (ends.at(-1) === "201") break;
        await Bun.sleep(100);
      }
      return tally(ends);
    },
  },
  {
    name: "pages of other sites",
    async run(edge) {
      const heads = [
        "Origin: http://evil.example",
        "Origin: null",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
      ];
      const plain = `POST /v1/keys/create HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: ${CREATE.length}\r\n\r\n${CREATE}`;
      const tries = [plain, ...heads.map((head) => post(`Content-Length: ${CREATE.length}\r\n${head}\r\n`))];
      return tally(
        await Promise.all(
          tries.map(async (bytes) => statusesOf(await exchange(edge, "http", bytes, { endHalf: true }))),
        ),
      );
    },
  },
  {
    name: "paths that mean another after tidying up",
    async run(edge) {
      const paths = [
        "/livez/%2e%2e/metrics",
        "/livez\\..\\metrics",
        "/v1/../livez",
        "/v1/keys/create/",
        "/%6Civez",
        "//livez",
      ];
      return tally(
        await Promise.all(
          paths.map(async (path) =>
            statusesOf(
              await exchange(edge, "http", `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`, { endHalf: true }),
            ),
          ),
        ),
      );
    },
  },
];

export async function manyConnections(edge: AttackedEdge, transport: Transport, count: number): Promise<Ends> {
  const sockets: Socket[] = [];
  const ends: string[] = [];
  const serve = async (): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${edge.httpPort}/v1/keys/create`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: CREATE,
    });
    await response.arrayBuffer();
    return `served ${response.status}`;
  };
  // A caller who has a connection keeps it; there may be no room for new ones.
  await serve();
  try {
    for (let start = 0; start < count; start += 250) {
      const turn = Array.from({ length: Math.min(250, count - start) }, () => connect(edge, transport));
      sockets.push(...turn);
      const event = transport === "http" ? "connect" : "secureConnect";
      const opened = turn.map(
        (socket) =>
          new Promise<string>((resolve) => {
            socket.once(event, () => resolve("held"));
            socket.once("close", () => resolve("closed"));
            setTimeout(() => resolve("open"), 10_000).unref();
          }),
      );
      ends.push(...(await Promise.all(opened)));
    }
    ends.push(await serve());
  } finally {
    for (const socket of sockets) socket.destroy();
  }
  return tally(ends);
}
