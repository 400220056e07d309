/**
 * No request, of whatever shape, at whatever door, keeps the event loop from its other callers for 20 ms (test/support/measured-turns.ts). The
 * Core's listener: test/core/longest-turn.test.ts.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { join } from "node:path";
import { type MeasuredServer, startMeasured } from "../../support/measured-turns.ts";
import { create, message } from "../doors/kmip/world.ts";

const SERVER = `
import { startDoorEdge } from "ROOT/test/support/door-edge.ts";
const edge = await startDoorEdge({
  listeners: \`  - { http: "127.0.0.1:0", principal: local, doors: [native, aws-kms, vault-transit] }
  - { http: "127.0.0.1:0", principal: local, doors: [kes] }
  - { unix: FOLDER/kmip.sock, mode: "0600", principal: local, doors: [kmip] }
  - { unix: FOLDER/kms.sock, mode: "0600", principal: local, doors: [kubernetes-kms] }\`,
  doors: '{ kes: { keys: { a: { tenant: tenant-a, service: billing } } }, kmip: { tenant: tenant-a, service: billing }, kubernetes-kms: { tenant: tenant-a, service: etcd } }',
});
const told = [...edge.urls.slice(0, 2), edge.folder];
`;

let server: MeasuredServer<readonly [main: string, kes: string, folder: string]>;
let main: string;
let kes: string;
let folder: string;
const measure = (what: string, run: () => Promise<void>): Promise<void> => server.measure(what, run);

beforeAll(async () => {
  server = await startMeasured(SERVER);
  [main, kes, folder] = server.told;
}, 60_000);
afterAll(() => server.kill());

const M = 1_000_000;
const BODY_MAX = 16 << 20;
const member = (name: string, count: number, value: string): string =>
  `"${name}":[${`${value},`.repeat(count - 1)}${value}]`;

/** What has to be read of a body before it is known to be good, or bad. `LIST` is the member that a batch has. */
const SHAPES: Readonly<Record<string, (list: string) => string>> = {
  "empty items": (list) => `{${member(list, 5 * M, "[]")}}`,
  "objects without members": (list) => `{${member(list, 5 * M, "{}")}}`,
  "10,000 items without members": (list) => `{${member(list, 10_000, "{}")}}`,
  "another member of empty lists": () => `{${member("other", 5 * M, "[]")}}`,
  "many members": () => `{${Array.from({ length: M }, (_, index) => `"${index}":1`).join()}}`,
  "one item of many members": (list) =>
    `{"${list}":[{${Array.from({ length: M }, (_, index) => `"${index}":1`).join()}}]}`,
  "a deep nest": () => "[".repeat(BODY_MAX),
  "a deep nest of objects": () => '{"a":'.repeat(3 * M),
  "one long text": (list) => `{"${list}":[{"wrapped":"${"A".repeat(15 * M)}"}]}`,
  "a long name": () => `{"${"A".repeat(15 * M)}":1}`,
  escapes: (list) => `{"${list}":[{"wrapped":"${"\\u0041".repeat(2 * M)}"}]}`,
  quotes: (list) => `{"${list}":["${'\\"'.repeat(7 * M)}"]}`,
  space: () => " ".repeat(BODY_MAX),
  numbers: (list) => `{${member(list, 3 * M, "1e1")}}`,
  "10,000 items with contexts": (list) =>
    `{"${list}":[${Array.from({ length: 10_000 }, (_, index) => `{"wrapped":"TDQB","context":{${Array.from({ length: 40 }, (_each, place) => `"k${place}":"v${index}"`).join()}}}`).join()}]}`,
};

const JSON_TYPE = { "content-type": "application/json" };
const VAULT = { ...JSON_TYPE, "x-vault-request": "true" };
const AWS = { "content-type": "application/x-amz-json-1.1", "x-amz-target": "TrentService.Decrypt" };

async function post(url: string, body: string | Uint8Array, headers: Record<string, string>): Promise<number> {
  const response = await fetch(url, { method: "POST", body: body as BodyInit, headers });
  await response.arrayBuffer();
  return response.status;
}

const NATIVE = [
  "keys/decrypt-batch",
  "keys/rewrap-batch",
  "values/decrypt-batch",
  "values/encrypt-batch",
  "keys/create-batch",
  "keys/create",
];
const DOORS: Readonly<Record<string, (body: string) => (() => Promise<number>)[]>> = {
  native: (body) => NATIVE.map((path) => () => post(`${main}/v1/${path}`, body, JSON_TYPE)),
  "vault-transit": (body) =>
    ["encrypt", "decrypt", "rewrap"].map(
      (operation) => () => post(`${main}/v1/tenant-a/transit/${operation}/billing`, body, VAULT),
    ),
  // Whole, at the door's own limits: a longer body is refused by its length.
  "aws-kms": (body) => [() => post(`${main}/`, body.slice(0, 131_072), AWS)],
  kes: (body) => [() => post(`${kes}/v1/key/decrypt/a`, body.slice(0, 1_048_576), JSON_TYPE)],
};
const LISTS: Readonly<Record<string, string>> = { "vault-transit": "batch_input" };

for (const [door, send] of Object.entries(DOORS)) {
  test(`is bounded by every JSON body that may be sent to ${door}`, async () => {
    for (const [shape, make] of Object.entries(SHAPES)) {
      const body = make(LISTS[door] ?? "items").slice(0, BODY_MAX);
      await measure(`${door}, ${shape}`, async () => {
        for (const one of send(body)) expect(await one()).toBeWithin(200, 500);
      });
    }
  }, 600_000);
}

test("is bounded by batches at their limit, made and opened", async () => {
  const made = (await (
    await fetch(`${main}/v1/keys/create-batch`, {
      method: "POST",
      headers: JSON_TYPE,
      body: '{"tenant":"tenant-a","service":"billing","count":10000,"plaintext":true,"context":{"a":"b"}}',
    })
  ).json()) as { keys: { wrapped: string }[] };
  const batch = JSON.stringify({ items: made.keys.map(({ wrapped }) => ({ wrapped, context: { a: "b" } })) });
  const values = (bytes: number): string => Buffer.alloc(bytes).toString("base64");
  const item = Buffer.concat([Buffer.from([0, 0, 0, 4, 1, 2, 3, 4]), Buffer.from([0, 0])]);
  const octets = Buffer.concat([Buffer.from([0, 0, 0x27, 0x10]), ...Array<Buffer>(10_000).fill(item)]);
  const many = values(100);
  const large = values(65_535);
  const vault = (text: string, count: number) =>
    `{"batch_input":[${Array(count).fill(`{"plaintext":"${text}"}`).join()}]}`;
  const toVault = (operation: string, body: string) =>
    fetch(`${main}/v1/tenant-a/transit/${operation}/billing`, { method: "POST", headers: VAULT, body });
  const sealed = async (body: string) => {
    const { data } = (await (await toVault("encrypt", body)).json()) as {
      data: { batch_results: { ciphertext: string }[] };
    };
    return JSON.stringify({ batch_input: data.batch_results.map(({ ciphertext }) => ({ ciphertext })) });
  };
  const [sealedMany, sealedLarge] = [await sealed(vault(many, 10_000)), await sealed(vault(large, 120))];
  const base64url = (text: string): string => text.replaceAll("=", "").replaceAll("+", "-").replaceAll("/", "_");
  const toEncrypt = (text: string, count: number) =>
    JSON.stringify({ items: Array(count).fill({ tenant: "tenant-a", service: "billing", value: base64url(text) }) });
  const native = (path: string, body: string | Uint8Array, type = "application/json") =>
    post(`${main}/v1/${path}`, body, { "content-type": type });

  for (const [what, run] of Object.entries({
    "10,000 keys made": () =>
      native("keys/create-batch", '{"tenant":"tenant-a","service":"billing","count":10000,"plaintext":true}'),
    "10,000 keys opened": () => native("keys/decrypt-batch", batch),
    "10,000 keys rewrapped": () => native("keys/rewrap-batch", batch),
    "10,000 items in bytes": () => native("keys/rewrap-batch", octets, "application/octet-stream"),
    "10,000 values encrypted": () => native("values/encrypt-batch", toEncrypt(many, 10_000)),
    "120 long values encrypted": () => native("values/encrypt-batch", toEncrypt(large, 120)),
    "vault: 10,000 encrypted": async () => (await toVault("encrypt", vault(many, 10_000))).arrayBuffer(),
    "vault: 120 long ones encrypted": async () => (await toVault("encrypt", vault(large, 120))).arrayBuffer(),
    "vault: 10,000 decrypted": async () => (await toVault("decrypt", sealedMany)).arrayBuffer(),
    "vault: 120 long ones decrypted": async () => (await toVault("decrypt", sealedLarge)).arrayBuffer(),
    "vault: 10,000 rewrapped": async () => (await toVault("rewrap", sealedMany)).arrayBuffer(),
  })) {
    await measure(what, async () => void (await run()));
  }
}, 600_000);

test("is bounded by heads at their limit, and by pipelined requests", async () => {
  const { hostname, port } = new URL(main);
  const send = (bytes: string | Uint8Array, path?: string): Promise<void> =>
    new Promise((done) => {
      const socket = path === undefined ? connect(Number(port), hostname) : connect(path);
      socket.on("error", () => undefined).on("close", () => done());
      socket.on("data", () => undefined);
      socket.end(bytes);
    });
  const head = (fields: string) => `GET /livez HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n`;
  const fields = (count: number) => Array.from({ length: count }, (_, index) => `x-${index}: ${index}\r\n`).join("");
  for (const [what, bytes] of Object.entries({
    "100 fields": head(fields(99)).repeat(50),
    "1,000 fields": head(fields(1_000)),
    "a long field": head(`x: ${"a".repeat(15_000)}\r\n`).repeat(50),
    "a head of line ends": "\r\n".repeat(500_000),
    "a head of bare line feeds": "\n".repeat(500_000),
    "5,000 pipelined requests": head("").repeat(5_000),
    "5,000 pipelined requests with long answers": head("").replace("livez", "metrics").repeat(5_000),
    "5,000 pipelined requests for the status": head("").replace("livez", "v1/status").repeat(5_000),
    "chunks of one byte": `POST /v1/keys/create-batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${"1;a=b\r\n{\r\n".repeat(200_000)}0\r\n\r\n`,
  })) {
    await measure(what, () => send(bytes));
  }
  await measure("900 connections at once, each with a request", async () => {
    await Promise.all(Array.from({ length: 900 }, () => send(head("Connection: close\r\n"))));
  });
  const socket = join(folder, "kmip.sock");
  const item = (content: Uint8Array): Buffer => {
    const header = Buffer.from([0x42, 0, 0x78, 1, 0, 0, 0, 0]);
    header.writeUInt32BE(content.length, 4);
    return Buffer.concat([header, content]);
  };
  let nest: Buffer = Buffer.alloc(0);
  for (let depth = 0; depth < 8_000; depth++) nest = item(nest);
  for (const [what, bytes] of Object.entries({
    "kmip: 64 keys made": message(14, Array<ReturnType<typeof create>>(64).fill(create(14))),
    "kmip: 64 long names": message(
      14,
      Array.from({ length: 64 }, () => create(14)),
    ).fill(0x41, 200),
    "kmip: a nest of 8,000": nest,
    "kmip: 100,000 empty items": item(Buffer.concat(Array<Buffer>(100_000).fill(item(Buffer.alloc(0))))),
    "kmip: a text of 1 MB": item(item(Buffer.alloc(1_000_000, 0x41))),
    "kmip: 1,000 messages one after another": Buffer.concat(Array<Uint8Array>(1_000).fill(message(14, [create(14)]))),
    "kmip: 8,000 empty items": item(Buffer.concat(Array<Buffer>(8_000).fill(item(Buffer.alloc(0))))),
  })) {
    await measure(what, () => send(bytes, socket));
  }
}, 600_000);

/** A call of gRPC over HTTP/2, written by hand. */
function grpcCall(client: ClientHttp2Session, method: string, body: Uint8Array): Promise<void> {
  const call = client.request({
    ":method": "POST",
    ":path": `/v2.KeyManagementService/${method}`,
    "content-type": "application/grpc",
    te: "trailers",
  });
  return new Promise((done) => {
    call
      .on("data", () => undefined)
      .on("error", () => undefined)
      .on("close", () => done());
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(body.length, 1);
    call.end(Buffer.concat([prefix, body]));
  });
}

test("is bounded by calls to kubernetes-kms, of whatever shape and as many as it lets", async () => {
  const client = connectHttp2("http://localhost", { createConnection: () => connect(join(folder, "kms.sock")) });
  client.on("error", () => undefined);
  const field = (number: number, content: Uint8Array): Buffer => {
    const length: number[] = [];
    for (let left = content.length; ; left >>>= 7) {
      length.push(left > 127 ? (left & 127) | 128 : left);
      if (left <= 127) break;
    }
    return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), content]);
  };
  try {
    for (const [what, method, body, count] of [
      ["kubernetes-kms: 256 seeds at once", "Encrypt", field(1, Buffer.alloc(32)), 256],
      ["kubernetes-kms: 256 bad ciphertexts at once", "Decrypt", field(1, Buffer.alloc(200, 0x41)), 256],
      ["kubernetes-kms: a plaintext of 60 KB", "Encrypt", field(1, Buffer.alloc(60_000)), 20],
      [
        "kubernetes-kms: 60,000 fields",
        "Decrypt",
        Buffer.concat(Array<Buffer>(60_000).fill(field(9, Buffer.alloc(0)))),
        20,
      ],
      ["kubernetes-kms: no message", "Decrypt", Buffer.alloc(120_000, 0xff), 20],
    ] as const) {
      await measure(what, async () => {
        await Promise.all(Array.from({ length: count }, () => grpcCall(client, method, body)));
      });
    }
  } finally {
    client.destroy();
  }
}, 600_000);
