/** The front door `kubernetes-kms` of a whole edge, over its Unix socket: docs/door-kubernetes-kms.md. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import protobuf from "protobufjs";
import { type DoorEdge, startDoorEdge } from "../../../support/door-edge.ts";
import { until } from "../../../support/until.ts";

const types = protobuf.parse(
  `syntax = "proto3";
   message StatusRequest {} message StatusResponse { string version = 1; string healthz = 2; string key_id = 3; }
   message DecryptRequest { bytes ciphertext = 1; string uid = 2; string key_id = 3; } message DecryptResponse { bytes plaintext = 1; }
   message EncryptRequest { bytes plaintext = 1; string uid = 2; } message EncryptResponse { bytes ciphertext = 1; string key_id = 2; }`,
  { keepCase: true },
).root;

type Answer = Record<string, unknown> & { ciphertext: Buffer; plaintext: Buffer; key_id: string };

function call(client: Client, method: string, request: object, deadlineMs = 30_000): Promise<Answer> {
  const [input, output] = [types.lookupType(`${method}Request`), types.lookupType(`${method}Response`)];
  return new Promise((done, failed) => {
    client.makeUnaryRequest(
      `/v2.KeyManagementService/${method}`,
      (message: object) => Buffer.from(input.encode(message).finish()),
      (bytes) => output.toObject(output.decode(bytes), { defaults: true }) as Answer,
      request,
      new Metadata(),
      { deadline: Date.now() + deadlineMs },
      (error, answer) => (error === null ? done(answer!) : failed(error)),
    );
  });
}

const codeOf = (made: Promise<unknown>): Promise<status> =>
  made.then(
    () => status.OK,
    (error: ServiceError) => error.code,
  );

let edge: DoorEdge;
const clients: Client[] = [];
const clientOf = (socket: string): Client => {
  const client = new Client(`unix://${edge.folder}/${socket}`, credentials.createInsecure());
  clients.push(client);
  return client;
};
const listener = (name: string, pair: string): string => {
  const [tenant, service] = pair.split("/");
  return `  - { unix: FOLDER/${name}.sock, mode: "0600", principal: local, doors: [kubernetes-kms], kubernetes-kms: { tenant: ${tenant}, service: ${service} } }`;
};

beforeAll(async () => {
  edge = await startDoorEdge({
    listeners: [
      `  - { unix: FOLDER/kms.sock, mode: "0600", principal: local, doors: [kubernetes-kms] }`,
      listener("other", "tenant-b/etcd"),
      listener("denied", "denied/etcd"),
      listener("nosuch", "nosuch/billing"),
      listener("revoked", "revoked/billing"),
      listener("rotated", "tenant-r/etcd"),
    ].join("\n"),
    doors: "{ kubernetes-kms: { tenant: tenant-a, service: etcd } }",
    ttlMs: 500,
    extra: "audit: { operations: all, file: { path: audit.jsonl }, write_after: 1ms }",
  });
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(() => edge.close());

const SEED = Buffer.from("a seed of thirty-two bytes ......");

describe("the plugin API", () => {
  test("encrypts a seed, opens it again, and has one key id in Status and Encrypt", async () => {
    const client = clientOf("kms.sock");
    const health = await call(client, "Status", {});
    expect(health).toEqual({ version: "v2", healthz: "ok", key_id: "tenant-a/etcd/2" } as never);
    const made = await call(client, "Encrypt", { plaintext: SEED, uid: "3f1b" });
    expect(made.key_id).toBe(health.key_id);
    expect(made.ciphertext.length).toBeLessThanOrEqual(1_024);
    const opened = await call(client, "Decrypt", { ciphertext: made.ciphertext, uid: "3f1c", key_id: made.key_id });
    expect(Buffer.from(opened.plaintext)).toEqual(SEED);
    expect(Buffer.from((await call(client, "Decrypt", { ciphertext: made.ciphertext })).plaintext)).toEqual(SEED);
  });

  test("has the API server's uid as the request id of its audit, where it is a name", async () => {
    const client = clientOf("kms.sock");
    await call(client, "Encrypt", { plaintext: SEED, uid: "uid-of-the-audit" });
    await call(client, "Encrypt", { plaintext: SEED, uid: 'no "name"' });
    const lines = (): string[] => readFileSync(`${edge.folder}/audit.jsonl`, "utf8").split("\n");
    const line = await until(() => lines().find((each) => each.includes('"uid-of-the-audit"')));
    expect(JSON.parse(line)).toMatchObject({
      principal: "local",
      tenant: "tenant-a",
      service: "etcd",
      operation: "encrypt",
    });
    expect(lines().some((each) => each.includes("no \\"))).toBe(false);
  });

  test("refuses what was altered, another key's ciphertext, and another key id", async () => {
    const client = clientOf("kms.sock");
    const made = await call(client, "Encrypt", { plaintext: SEED });
    const altered = Buffer.from(made.ciphertext);
    altered[altered.length - 1]! ^= 1;
    const other = await call(clientOf("other.sock"), "Encrypt", { plaintext: SEED });
    for (const request of [
      { ciphertext: altered },
      { ciphertext: Buffer.from("rubbish") },
      { ciphertext: Buffer.alloc(0) },
      { ciphertext: other.ciphertext },
      { ciphertext: made.ciphertext, key_id: "tenant-a/etcd/1" },
      { ciphertext: made.ciphertext, key_id: "x" },
    ]) {
      expect(await codeOf(call(client, "Decrypt", request))).toBe(status.INVALID_ARGUMENT);
    }
    expect(await codeOf(call(client, "Encrypt", { plaintext: Buffer.alloc(0) }))).toBe(status.INVALID_ARGUMENT);
  });

  test("gives an error of the call, never an unhealthy text, where there is no key", async () => {
    const expected = {
      "denied.sock": status.PERMISSION_DENIED,
      "nosuch.sock": status.NOT_FOUND,
      "revoked.sock": status.FAILED_PRECONDITION,
    };
    for (const [socket, code] of Object.entries(expected)) {
      for (const [method, request] of [
        ["Status", {}],
        ["Encrypt", { plaintext: SEED }],
      ] as const) {
        expect([socket, method, await codeOf(call(clientOf(socket), method, request))]).toEqual([socket, method, code]);
      }
    }
  });

  test("follows a rotation: Status and Encrypt go to the new version together, and the old one opens", async () => {
    const client = clientOf("rotated.sock");
    const before = await call(client, "Encrypt", { plaintext: SEED });
    edge.activeVersion = 3;
    let health = await call(client, "Status", {});
    for (let tries = 0; health.key_id === before.key_id && tries < 600; tries++) {
      await new Promise((passed) => setTimeout(passed, 50));
      const made = await call(client, "Encrypt", { plaintext: SEED });
      health = await call(client, "Status", {});
      // Between the two the lease may have been renewed, never gone back.
      expect(made.key_id <= health.key_id).toBe(true);
    }
    expect(health.key_id).toBe("tenant-r/etcd/3");
    expect((await call(client, "Encrypt", { plaintext: SEED })).key_id).toBe(health.key_id);
    const opened = await call(client, "Decrypt", { ciphertext: before.ciphertext, key_id: before.key_id });
    expect(Buffer.from(opened.plaintext)).toEqual(SEED);
  });
});

describe("a socket", () => {
  test("serves a thousand calls at once", async () => {
    const client = clientOf("kms.sock");
    const { ciphertext } = await call(client, "Encrypt", { plaintext: SEED });
    const answers = await Promise.all(Array.from({ length: 1_000 }, () => call(client, "Decrypt", { ciphertext })));
    expect(answers.every(({ plaintext }) => SEED.equals(plaintext))).toBe(true);
  });

  test("outlives calls that are given up, and connections that break off", async () => {
    const client = clientOf("kms.sock");
    const { ciphertext } = await call(client, "Encrypt", { plaintext: SEED });
    for (let round = 0; round < 5; round++) {
      await Promise.all(Array.from({ length: 300 }, () => codeOf(call(client, "Decrypt", { ciphertext }, 1))));
    }
    for (let count = 0; count < 50; count++) {
      const session = connectHttp2("http://localhost", { createConnection: () => connect(`${edge.folder}/kms.sock`) });
      session.on("error", () => {});
      await new Promise((connected) => session.once("connect", connected));
      const stream = session.request({
        ":method": "POST",
        ":path": "/v2.KeyManagementService/Status",
        "content-type": "application/grpc",
        te: "trailers",
      });
      stream.on("error", () => {});
      if (count % 2 === 0) stream.end(Buffer.alloc(5));
      else stream.write(Buffer.from([0, 0]));
      if (count % 3 === 0) stream.close();
      session.destroy();
    }
    expect((await call(client, "Decrypt", { ciphertext })).plaintext).toEqual(SEED as never);
  });

  test("refuses a message of 3 MiB without reading it whole, and goes on", async () => {
    const client = clientOf("kms.sock");
    expect(await codeOf(call(client, "Decrypt", { ciphertext: Buffer.alloc(3 << 20) }))).toBe(
      status.RESOURCE_EXHAUSTED,
    );
    expect((await call(client, "Status", {})).healthz).toBe("ok");
  });

  test("answers no other service, and outlives whatever bytes come", async () => {
    const client = clientOf("kms.sock");
    const unknown = new Promise((done) => {
      client.makeUnaryRequest(
        "/v1beta1.KeyManagementService/Encrypt",
        (bytes: Buffer) => bytes,
        (bytes) => bytes,
        Buffer.alloc(0),
        (error) => done(error?.code),
      );
    });
    expect(await unknown).toBe(status.UNIMPLEMENTED);
    await throwBytesAt(`${edge.folder}/kms.sock`, 400);
    expect((await call(client, "Status", {})).healthz).toBe("ok");
  }, 300_000);

  test("refuses messages that are none as an invalid argument, whatever their bytes", async () => {
    const client = clientOf("kms.sock");
    const random = seeded(18);
    const send = (method: string, message: Buffer) =>
      new Promise<status>((done) => {
        client.makeUnaryRequest(
          `/v2.KeyManagementService/${method}`,
          (bytes: Buffer) => bytes,
          (bytes) => bytes,
          message,
          (error) => done(error?.code ?? status.OK),
        );
      });
    for (let round = 0; round < 3_000; round++) {
      const message = Buffer.from(Array.from({ length: random(40) }, () => random(256)));
      const code = await send((["Status", "Encrypt", "Decrypt"] as const)[round % 3]!, message);
      expect([status.OK, status.INVALID_ARGUMENT]).toContain(code);
    }
  }, 300_000);
});

/** HTTP/2 prefaces with frames that were changed, cut or made up. */
async function throwBytesAt(path: string, rounds: number): Promise<void> {
  const random = seeded(4711);
  const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "latin1");
  for (let round = 0; round < rounds; round++) {
    const noise = Buffer.from(Array.from({ length: random(120) }, () => random(256)));
    const frame = Buffer.concat([
      Buffer.from([0, 0, noise.length, random(12), random(256), 0, 0, 0, random(4)]),
      noise,
    ]);
    const bytes = random(5) === 0 ? noise : Buffer.concat([preface, frame]);
    await new Promise<void>((done) => {
      const socket: Socket = connect(path, () => socket.end(bytes));
      socket.on("error", () => done());
      socket.on("close", () => done());
      socket.resume();
      setTimeout(() => socket.destroy(), 20);
    });
  }
}

function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
