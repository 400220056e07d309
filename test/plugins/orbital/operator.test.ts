/** The operator without its ways: codecs against another implementation, signatures by another one, tasks against a real guard. */
import { beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { edgeHandlers } from "../../../plugins/orbital/edge-tasks.ts";
import { Operator } from "../../../plugins/orbital/operator.ts";
import { protobufCodec } from "../../../plugins/orbital/protobuf.ts";
import { authoritiesOf, checkOrbital, type OrbitalConfiguration, signerOf } from "../../../plugins/orbital/settings.ts";
import { SignatureRefused } from "../../../plugins/orbital/signatures.ts";
import { jsonCodec, MalformedTask, type TaskResponse } from "../../../plugins/orbital/task.ts";
import { systemClock } from "../../../src/base/time/system-clock.ts";
import { type PluginContext, SectionError } from "../../../src/edge/plugin-host/plugin.ts";
import { createWorld, revoke } from "../../edge/revocation/world.ts";
import { makeSigningKey, type SigningKey } from "../../support/orbital-keys.ts";
import {
  isSigned,
  jsonWire,
  type ManagerKey,
  type ManagerTask,
  newTask,
  protobufWire,
  signTask,
} from "../../support/orbital-manager.ts";
import { fc } from "../../support/properties.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

let trusted: SigningKey;
let own: SigningKey;
let folder: string;
const at = (name: string): string => join(folder, name);
const ISSUER = "https://orbital.example";

beforeAll(() => {
  trusted = makeSigningKey();
  own = makeSigningKey();
  folder = mkdtempSync(join(tmpdir(), "crypto-edge-orbital-"));
  writeFileSync(at("jwks.json"), trusted.jwks("one"));
  writeFileSync(at("answers.key"), own.privateKey);
}, 300_000);

const managerKey = (more: Partial<ManagerKey> = {}): ManagerKey => ({
  issuer: ISSUER,
  keyId: "one",
  privateKey: trusted.privateKey,
  ...more,
});

function configuration(more: Partial<OrbitalConfiguration> = {}): OrbitalConfiguration {
  return {
    amqp: { server: "amqp://127.0.0.1:1", requests: "in", answers: "out", codec: "json", login: "anonymous" },
    issuers: [{ issuer: ISSUER, keys: at("jwks.json"), tenants: ["t", "tenant-*"], restores: "any" }],
    require_signature: true,
    sign: { issuer: "https://edge.example", key_id: "answers", key: at("answers.key") },
    ...more,
  };
}

const CONTEXT = { clock: systemClock, log: { info() {}, warn() {}, error() {} } } as unknown as PluginContext;

function createOperator(more: Partial<OrbitalConfiguration> = {}) {
  const world = createWorld({ verifier: { verify: async (jws) => JSON.parse(jws) as never } });
  const chosen = configuration(more);
  const signer = signerOf(chosen.sign);
  const operator = new Operator({
    handlers: edgeHandlers(world.guard.sink("orbital")),
    issuers: authoritiesOf(chosen, CONTEXT),
    requireSignature: chosen.require_signature,
    signer: () => signer,
    clock: systemClock,
  });
  const send = async (task: ManagerTask, key: ManagerKey | undefined = managerKey()) => {
    const request = key === undefined ? task : signTask(task, key);
    return jsonWire.decode(
      jsonCodec.encodeResponse(await operator.answer(jsonCodec.decodeRequest(jsonWire.encode(request)))),
    );
  };
  return { ...world, operator, send };
}

const ORDER = { tenant: "t", service: "s", reason: "red button" };

describe("codecs", () => {
  const bytes = fc.option(
    fc.uint8Array({ maxLength: 300 }).map((value) => Buffer.from(value)),
    { nil: undefined },
  );
  const texts = fc.string({ unit: "grapheme", maxLength: 60 });
  const task = fc.record({
    taskId: fc.uuid(),
    type: texts,
    externalId: texts,
    eTag: texts,
    data: bytes,
    workingState: bytes.map((value) => (value?.length === 0 ? undefined : value)),
    metaData: fc.dictionary(
      fc.string({ minLength: 1, maxLength: 20 }).filter((key) => key !== "__proto__"),
      texts,
      { maxKeys: 5 },
    ),
  });

  for (const [name, codec, wire] of [
    ["JSON", jsonCodec, jsonWire],
    ["protobuf", protobufCodec, protobufWire],
  ] as const) {
    test(`${name} requests are read as another implementation writes them`, () => {
      fc.assert(
        fc.property(task, (request) => {
          const read = codec.decodeRequest(wire.encode(request));
          expect({
            ...read,
            data: read.data && Buffer.from(read.data),
            workingState: read.workingState && Buffer.from(read.workingState),
          }).toEqual(request);
        }),
        { numRuns: 300 },
      );
    });

    test(`${name} answers are what another implementation reads`, () => {
      const answer = task.chain((from) =>
        fc
          .record({
            status: fc.constantFrom("PROCESSING", "DONE", "FAILED"),
            errorMessage: fc.option(texts, { nil: undefined }),
            reconcileAfterSec: fc.nat(2 ** 31),
          })
          .map((more) => {
            const { data: _, ...rest } = from;
            return { ...rest, ...more } as TaskResponse;
          }),
      );
      fc.assert(
        fc.property(answer, (response) => {
          const read = wire.decode(codec.encodeResponse(response));
          expect(read).toEqual({
            ...response,
            workingState: response.workingState && Buffer.from(response.workingState),
            errorMessage: response.errorMessage,
          } as never);
        }),
        { numRuns: 300 },
      );
    });

    test(`${name}: whatever comes is read or refused as malformed`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 200 }), (anything) => {
          try {
            codec.decodeRequest(anything);
          } catch (error) {
            expect(error).toBeInstanceOf(MalformedTask);
          }
        }),
        { numRuns: 1_000 },
      );
    });

    test(`${name}: cut anywhere, a request is malformed or lacks what was cut`, () => {
      const whole = wire.encode(newTask("crypto-edge.revoke", ORDER));
      for (let length = 0; length < whole.length; length += 3) {
        try {
          codec.decodeRequest(whole.subarray(0, length));
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedTask);
        }
      }
      expect(() => codec.decodeRequest(Buffer.alloc(300_000))).toThrow(MalformedTask);
    });
  }
});

describe("an operator", () => {
  test("echoes the task, signs its answer, and has done what it says", async () => {
    const { send, guard } = createOperator();
    const task = newTask("crypto-edge.revoke", ORDER, { workingState: Buffer.from("state") });
    const answer = await send(task);
    expect(answer).toMatchObject({
      taskId: task.taskId,
      type: task.type,
      externalId: task.externalId,
      eTag: task.eTag,
      status: "DONE",
      reconcileAfterSec: 0,
    });
    expect(answer.workingState?.toString()).toBe("state");
    expect(isSigned(answer, own.certificate)).toBe(true);
    expect(isSigned({ ...answer, status: "FAILED" }, own.certificate)).toBe(false);
    expect(guard.isBlocked("t", "s", 1)).toBe(true);
  });

  test("knows no other type, and says so as an operator owes it", async () => {
    const { send } = createOperator();
    for (const type of ["x", "__proto__", "toString", "crypto-edge.rotate"]) {
      expect(await send(newTask(type, {}))).toMatchObject({
        status: "FAILED",
        errorMessage: `no handler registered for task type ${type}`,
      });
    }
  });

  test("does a task once, however often it comes, also after others have changed what it did", async () => {
    const { send, guard } = createOperator();
    const first = newTask("crypto-edge.revoke", ORDER);
    await send(first);
    await send(newTask("crypto-edge.restore", ORDER));
    expect(guard.isBlocked("t", "s", 1)).toBe(false);
    expect(await send({ ...first, eTag: "another" })).toMatchObject({ status: "DONE", eTag: "another" });
    expect(guard.isBlocked("t", "s", 1)).toBe(false);
    // Another order is not taken for it, whatever id it has.
    await send({ ...newTask("crypto-edge.revoke", { ...ORDER, service: "other" }), taskId: first.taskId });
    expect(guard.isBlocked("t", "other", 1)).toBe(true);
  });

  test("keeps the order in which requests came", async () => {
    const { send, guard } = createOperator();
    for (let times = 0; times < 30; times++) {
      const sent = [send(newTask("crypto-edge.revoke", ORDER)), send(newTask("crypto-edge.restore", ORDER))];
      for (const answer of await Promise.all(sent)) expect(answer.status).toBe("DONE");
      expect(guard.isBlocked("t", "s", 1)).toBe(false);
    }
  });

  test("takes orders for the tenants of the issuer alone, and none that is misspelt", async () => {
    const { send, guard } = createOperator();
    const refused: [object | string, RegExp][] = [
      [{ ...ORDER, tenant: "other" }, /may not order this/],
      [{ service: "s" }, /tenant is missing/],
      [{ tenant: "t", servcie: "s" }, /not known: servcie/],
      [{ tenant: "t", version: 3 }, /version without a service/],
      [{ ...ORDER, version: 0 }, /version is no version/],
      [{ ...ORDER, service: "a/b" }, /service is no name/],
      ["{", /no JSON/],
      ["[]", /no object/],
    ];
    for (const [data, message] of refused) {
      const answer = await send(newTask("crypto-edge.revoke", data));
      expect(answer.status).toBe("FAILED");
      expect(answer.errorMessage).toMatch(message);
    }
    expect(guard.status().authorities).toEqual([]);
  });

  test("takes a restore only by name where the issuer's have to be so", async () => {
    const issuers = [{ issuer: ISSUER, keys: at("jwks.json"), tenants: ["t"], restores: "named" as const }];
    const { send, guard } = createOperator({ issuers });
    const order = newTask("crypto-edge.revoke", ORDER);
    await send(order);
    expect(await send(newTask("crypto-edge.restore", ORDER))).toMatchObject({ status: "FAILED" });
    expect(guard.isBlocked("t", "s")).toBe(true);
    expect(await send(newTask("crypto-edge.restore", { ...ORDER, lifts: [order.taskId] }))).toMatchObject({
      status: "DONE",
    });
    expect(guard.isBlocked("t", "s")).toBe(false);
  });

  test("says what has become of an event: applied, waiting, refused", async () => {
    const { send, clock } = createOperator();
    const now = new Date(clock.wallMs()).toISOString();
    const event = (seq: number, more: object) =>
      newTask("crypto-edge.event", { ...revoke(seq, { tenant: "t" }), at: now, ...more });
    expect(await send(event(1, {}))).toMatchObject({ status: "DONE" });
    expect(await send(event(1, {}))).toMatchObject({ status: "DONE" });
    expect(await send(event(3, { type: "restore" }))).toMatchObject({ status: "PROCESSING", reconcileAfterSec: 1 });
    expect(await send(newTask("crypto-edge.event", "not a jws"))).toMatchObject({
      status: "FAILED",
      errorMessage: expect.stringContaining("malformed"),
    });
  });

  test("asks again rather than fail while the Core's keys can't be had", async () => {
    const { guard } = createWorld();
    const operator = new Operator({
      handlers: edgeHandlers(guard.sink("orbital")),
      issuers: [],
      requireSignature: false,
      signer: () => undefined,
      clock: systemClock,
    });
    const request = jsonCodec.decodeRequest(jsonWire.encode(newTask("crypto-edge.event", "a.b.c")));
    expect(await operator.answer(request)).toMatchObject({ status: "PROCESSING" });
  });

  test("is given before the manager stops waiting: a task that takes longer goes on, and is done once", async () => {
    const clock = new VirtualClock();
    const ending = Promise.withResolvers<{ readonly status: "DONE" }>();
    let begun = 0;
    const handlers = {
      slow: () => {
        begun++;
        return ending.promise;
      },
    };
    const operator = new Operator({ handlers, issuers: [], requireSignature: false, signer: () => undefined, clock });
    const task = newTask("slow", {}, { workingState: Buffer.from("kept") });
    const ask = () => operator.answer(jsonCodec.decodeRequest(jsonWire.encode(task)));
    const first = ask();
    await clock.advance(3_000);
    expect(await first).toMatchObject({
      status: "PROCESSING",
      reconcileAfterSec: 1,
      workingState: Buffer.from("kept"),
    });
    const again = ask();
    ending.resolve({ status: "DONE" });
    expect(await again).toMatchObject({ status: "DONE", reconcileAfterSec: 0 });
    expect(await ask()).toMatchObject({ status: "DONE" });
    expect(begun).toBe(1);
    expect(clock.pending).toBe(0);
  });
});

describe("a signature", () => {
  const refuses = async (task: ManagerTask, key: ManagerKey | undefined, more: Partial<OrbitalConfiguration> = {}) => {
    const { send, guard } = createOperator(more);
    await expect(send(task, key)).rejects.toThrow(SignatureRefused);
    await send(task, key).catch(() => {});
    expect(guard.isBlocked("t", "s")).toBe(false);
  };
  const task = (): ManagerTask => newTask("crypto-edge.revoke", ORDER);

  test("has to be there", async () => {
    const { operator } = createOperator();
    const request = jsonCodec.decodeRequest(jsonWire.encode(task()));
    await expect(operator.answer(request)).rejects.toThrow("not signed");
  });

  test("has to be there for an authority's order, even where others need none", async () => {
    const { operator, guard } = createOperator({ require_signature: false });
    const answer = await operator.answer(jsonCodec.decodeRequest(jsonWire.encode(task())));
    expect(answer).toMatchObject({ status: "FAILED", errorMessage: expect.stringContaining("signed") });
    expect(guard.isBlocked("t", "s")).toBe(false);
  });

  test("of another issuer, by another key, or for a key that is not in the set does not hold", async () => {
    await refuses(task(), managerKey({ issuer: "https://elsewhere.example" }));
    await refuses(task(), managerKey({ privateKey: own.privateKey }));
    await refuses(task(), managerKey({ keyId: "two" }));
  });

  test("covers everything that says what is to be done", async () => {
    const { operator, guard } = createOperator();
    const signed = signTask(task(), managerKey());
    for (const altered of [
      { taskId: newTask("x", "").taskId },
      { type: "crypto-edge.restore" },
      { externalId: "another" },
      { eTag: "another" },
      { data: Buffer.from(JSON.stringify({ tenant: "t" })) },
      { workingState: Buffer.from("x") },
    ]) {
      const request = jsonCodec.decodeRequest(jsonWire.encode({ ...signed, ...altered }));
      await expect(operator.answer(request)).rejects.toThrow(SignatureRefused);
      await operator.answer(request).catch(() => {});
    }
    expect(guard.isBlocked("t", "s")).toBe(false);
  });

  test("by a weak key, or one whose certificate is over, does not hold", async () => {
    const weak = makeSigningKey(2_048);
    writeFileSync(at("weak.json"), weak.jwks("one"));
    const issuers = [{ issuer: ISSUER, keys: at("weak.json"), tenants: ["t"], restores: "any" as const }];
    await refuses(task(), managerKey({ privateKey: weak.privateKey }), { issuers });
    const { operator } = createOperator();
    expect(operator).toBeDefined();
  }, 300_000);

  test("of any other form is refused, and nothing else happens", async () => {
    const { operator } = createOperator();
    for (const token of [
      "",
      "a.b.c",
      "x".repeat(10_000),
      `${Buffer.from('{"alg":"none"}').toString("base64url")}.e30.`,
    ]) {
      const request = jsonCodec.decodeRequest(
        jsonWire.encode({ ...task(), metaData: { "X-Message-Signature": token } }),
      );
      await expect(operator.answer(request)).rejects.toThrow(SignatureRefused);
      await operator.answer(request).catch(() => {});
    }
  });

  test("by a key that the set has got since holds: the set is read again", async () => {
    const next = makeSigningKey();
    writeFileSync(at("changing.json"), trusted.jwks("one"));
    const { send } = createOperator({
      issuers: [{ issuer: ISSUER, keys: at("changing.json"), tenants: ["t"], restores: "any" }],
    });
    writeFileSync(at("changing.json"), next.jwks("two"));
    expect(await send(task(), managerKey({ keyId: "two", privateKey: next.privateKey }))).toMatchObject({
      status: "DONE",
    });
  }, 300_000);
});

describe("a section", () => {
  test("that can never work is refused at the start, with its place", () => {
    const amqp = configuration().amqp!;
    const wrong: [Partial<OrbitalConfiguration>, string][] = [
      [{ amqp: undefined } as never, ""],
      [{ issuers: [] }, "issuers"],
      [{ amqp: { ...amqp, login: "plain" } }, "amqp.login"],
      [{ amqp: { ...amqp, user: "a", password: "b" } }, "amqp.login"],
      [{ amqp: { ...amqp, user: "a", login: "plain" } }, "amqp.password"],
      [{ amqp: { ...amqp, login: "external" } }, "amqp.login"],
      [{ amqp: { ...amqp, tls: {} } }, "amqp.server"],
      [
        { grpc: { listen: { host: "127.0.0.1", port: 0 }, cert: "/none", key: "/none", client_ca: "/none" } },
        "grpc.cert",
      ],
      [{ issuers: [{ issuer: "a", keys: "http://x", tenants: [], restores: "any" }] }, "issuers.0.keys"],
      [{ issuers: [{ issuer: "a", keys: "/none", tenants: [], restores: "any" }] }, "issuers.0.keys"],
      [{ sign: { issuer: "a", key_id: "b", key: at("jwks.json") } }, "sign.key"],
    ];
    for (const [more, place] of wrong) {
      let told: unknown;
      try {
        checkOrbital(configuration(more));
      } catch (error) {
        told = error;
      }
      expect(told).toBeInstanceOf(SectionError);
      expect((told as SectionError).path.join(".")).toBe(place);
    }
    expect(() => checkOrbital(configuration())).not.toThrow();
  });
});
