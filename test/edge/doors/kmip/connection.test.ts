/** The stream: how messages are cut out of it, and how a connection ends. */
import { afterEach, describe, expect, test } from "bun:test";
import { Duplex } from "node:stream";
import { OPERATION, RESULT_REASON } from "../../../../src/edge/doors/kmip/enumerations.ts";
import { create, type Door, message, openDoor, readResponse, registerSecret } from "./world.ts";

const CREATE = message(14, [create(14)]);
let door: Door;
afterEach(() => door.close());

/** Lets what was sent arrive, and be worked on. */
const arrive = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

describe("messages", () => {
  test("are answered on one connection, one after the other", async () => {
    door = await openDoor();
    const { socket, next } = await door.connect();
    for (let turn = 0; turn < 3; turn++) {
      socket.write(CREATE);
      expect((await next()).answers[0]!.ok).toBe(true);
    }
    expect(door.inFlight).toEqual([]);
    socket.end();
  });

  test("come in any pieces: byte by byte, half a head, two and a half in one packet", async () => {
    door = await openDoor();
    const { socket, next } = await door.connect();
    for (const byte of CREATE) {
      socket.write(Uint8Array.of(byte));
      await new Promise(setImmediate);
    }
    expect((await next()).answers[0]!.ok).toBe(true);
    socket.write(CREATE.subarray(0, 4));
    await arrive();
    socket.write(CREATE.subarray(4));
    expect((await next()).answers[0]!.ok).toBe(true);
    const two = message(10, [create(10)]);
    socket.write(Buffer.concat([CREATE, two, CREATE.subarray(0, 9)]));
    expect((await next()).version).toBe("1.4");
    expect((await next()).version).toBe("1.0");
    socket.write(CREATE.subarray(9));
    expect((await next()).version).toBe("1.4");
    socket.write(Buffer.concat(Array.from({ length: 100 }, () => CREATE)));
    for (let count = 0; count < 100; count++) expect((await next()).answers[0]!.ok).toBe(true);
    expect(door.inFlight).toEqual([]);
  });

  test("that a stream brings while another is being answered wait for their turn", async () => {
    door = await openDoor();
    const versions: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const stream = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, sent) {
        versions.push(readResponse(Uint8Array.from(chunk)).version);
        if (versions.length === 3) resolve();
        sent();
      },
    });
    door.serve(stream);
    const last = message(20, [create(20)]);
    stream.emit("data", Buffer.from(CREATE));
    stream.emit("data", Buffer.concat([message(10, [create(10)]), last.subarray(0, 30)]));
    stream.emit("data", Buffer.from(last.subarray(30)));
    await promise;
    expect(versions).toEqual(["1.4", "1.0", "2.0"]);
  });

  test("whose caller has no more to send are still answered", async () => {
    door = await openDoor();
    const { socket, next, ended } = await door.connect();
    socket.end(CREATE);
    expect((await next()).answers[0]!.ok).toBe(true);
    await ended;
  });

  test("of a caller that goes away leave nothing in flight", async () => {
    door = await openDoor();
    const { socket } = await door.connect();
    socket.write(Buffer.concat([CREATE, CREATE, CREATE.subarray(0, 20)]));
    await arrive();
    socket.destroy();
    await arrive();
    expect(door.inFlight).toEqual([]);
    expect(door.world.defects).toEqual([]);
  });
});

describe("a connection is ended, with Invalid Message,", () => {
  test.each<[string, Uint8Array]>([
    ["at a length of 2^32 - 8", Buffer.from("42007801fffffff8", "hex")],
    ["at a length of 2^32 - 1", Buffer.from("42007801ffffffff", "hex")],
    ["at a length over 64 KiB", Buffer.from("42007801000ffff8", "hex")],
    ["at a length that is no multiple of eight", Buffer.from("4200780100000009", "hex")],
    ["at a response", Buffer.from("42007b0100000008", "hex")],
    ["at another type", Buffer.from("4200780200000008", "hex")],
    ["at HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["at a message that is empty", Buffer.from("4200780100000000", "hex")],
    ["at a message of zeros", Buffer.concat([Buffer.from("4200780100000010", "hex"), Buffer.alloc(16)])],
    ["at padding that is not zero", CREATE.with(CREATE.length - 1, 1)],
  ])("%s, and nothing behind it is read", async (_name, bytes) => {
    door = await openDoor();
    const { socket, next, ended } = await door.connect();
    socket.write(Buffer.concat([bytes, CREATE, CREATE]));
    const response = await next();
    expect(response.answers).toHaveLength(1);
    expect(response.answers[0]).toMatchObject({ ok: false, reason: RESULT_REASON.invalidMessage });
    await ended;
    expect(door.inFlight).toEqual([]);
    expect(door.world.defects).toEqual([]);
  });
});

test("a message of 64 KiB is the longest", async () => {
  door = await openDoor();
  const around = message(14, [registerSecret(14, new Uint8Array(8))]).length - 8;
  for (const [length, ok] of [
    [65_536, true],
    [65_544, false],
  ] as const) {
    const { socket, next } = await door.connect();
    const request = message(14, [registerSecret(14, new Uint8Array(length - around))]);
    expect(request).toHaveLength(length);
    socket.write(request);
    expect((await next()).answers[0]!.ok).toBe(ok);
  }
});

test("a message that takes longer than 30 seconds to arrive ends the connection, however it trickles", async () => {
  door = await openDoor();
  const { socket, next, ended } = await door.connect();
  socket.write(CREATE.subarray(0, 10));
  await arrive();
  await door.clock.advance(29_000);
  socket.write(CREATE.subarray(10, 20));
  await arrive();
  socket.write(CREATE.subarray(20));
  expect((await next()).answers[0]!.ok).toBe(true);
  // The time between messages is the listener's to bound.
  await door.clock.advance(120_000);
  socket.write(CREATE.subarray(0, 10));
  await arrive();
  await door.clock.advance(31_000);
  socket.write(CREATE.subarray(10, 12));
  await ended;
});

test("an overloaded edge is a General Failure in the caller's version", async () => {
  door = await openDoor();
  door.overloaded = true;
  const { socket, next, ended } = await door.connect();
  socket.write(message(12, [create(12)]));
  const response = await next();
  expect(response.version).toBe("1.2");
  expect(response.answers[0]).toMatchObject({ ok: false, reason: RESULT_REASON.generalFailure });
  await ended;
});

test("connections beyond a principal's rate are General Failures, after a second, until the rate has room again", async () => {
  door = await openDoor({ handshakes_per_second: 3 });
  const outcome = async (): Promise<boolean> => {
    const { socket, next } = await door.connect();
    const startMs = performance.now();
    socket.write(CREATE);
    const { answers } = await next();
    socket.destroy();
    if (!answers[0]!.ok) {
      expect(answers[0]!.reason).toBe(RESULT_REASON.generalFailure);
      expect(performance.now() - startMs).toBeGreaterThan(900);
    }
    return answers[0]!.ok;
  };
  const outcomes: boolean[] = [];
  for (let count = 0; count < 5; count++) outcomes.push(await outcome());
  expect(outcomes).toEqual([true, true, true, false, false]);
  // The listener turns an address away that goes on so: its next handshakes are not paid for.
  expect(door.countedAgainstAddress).toBe(2);
  await door.clock.advance(1_000);
  expect(await outcome()).toBe(true);
});

test("what a caller sends and gets is wiped once the answer has gone out", async () => {
  door = await openDoor();
  const request = Buffer.from(message(14, [registerSecret(14, Buffer.from("a secret")), { operation: OPERATION.get }]));
  const pieces = [request.subarray(0, 100), request.subarray(100)].map((piece) => Buffer.from(piece));
  const written: Buffer[] = [];
  const answered = Promise.withResolvers<boolean>();
  const stream = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, sent) {
      written.push(chunk);
      answered.resolve(chunk.includes("a secret"));
      sent();
    },
  });
  door.serve(stream);
  for (const piece of pieces) stream.push(piece);
  expect(await answered.promise).toBe(true);
  await arrive();
  for (const bytes of [...pieces, ...written]) expect(bytes.every((byte) => byte === 0)).toBe(true);
});

test("new objects belong where the first place says that names the caller, and nowhere where none does", async () => {
  const place = (principals: string[], service: string) => ({ principals, tenant: "tenant-a", service });
  door = await openDoor({ places: [place(["dns:other"], "other"), place(["dns:*"], "orders"), place(["*"], "all")] });
  const { socket, next } = await door.connect();
  socket.write(CREATE);
  expect((await next()).answers[0]!.ok).toBe(true);
  expect(door.world.authorized).toEqual(["create tenant-a/orders"]);
  door.close();
  door = await openDoor({ places: [place(["dns:other"], "other")] });
  const other = await door.connect();
  other.socket.write(CREATE);
  expect((await other.next()).answers[0]).toMatchObject({ ok: false, reason: RESULT_REASON.permissionDenied });
  expect(door.world.authorized).toEqual([]);
});

test("a section that can't work is refused with what to do", async () => {
  door = await openDoor();
  await expect(openDoor({ forward: "core" })).rejects.toThrow("core:");
  await expect(openDoor({ revoke_principals: ["*"] })).rejects.toThrow("forward: core");
  const core = { url: "https://core", ca: "a", cert: "b", key: "c" };
  await expect(openDoor({ forward: "core", core })).rejects.toThrow("revoke_principals");
});
