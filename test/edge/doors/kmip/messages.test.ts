/** docs/door-kmip.md: messages as a whole: versions, headers, batches, and what is refused before anything is done. */
import { describe, expect, test } from "bun:test";
import { OperationError } from "../../../../src/base/errors.ts";
import { OPERATION, RESULT_REASON, TAG } from "../../../../src/edge/doors/kmip/enumerations.ts";
import { integerOf, textOf } from "../../../../src/edge/doors/kmip/ttlv.ts";
import type { TtlvWriter } from "../../../../src/edge/doors/kmip/ttlv-writer.ts";
import {
  ask,
  create,
  type Envelope,
  field,
  identifierOf,
  makeWorld,
  message,
  NOW_SECONDS,
  named,
  type Request,
  type Response,
  registerSecret,
  type Write,
} from "./world.ts";

const send = (
  version: number,
  requests: readonly Request[],
  envelope?: Envelope,
  world = makeWorld(),
): Promise<Response> => ask(world, message(version, requests, envelope));

const ID_1 = Uint8Array.of(1);
const ID_2 = Uint8Array.of(2, 2);
const GET: Request = { operation: OPERATION.get, id: ID_2 };
const UNKNOWN: Request = { operation: OPERATION.get, payload: named("nope") };

const option =
  (value: number): Write =>
  (writer) =>
    writer.enumeration(TAG.batchErrorContinuationOption, value);

function bool(writer: TtlvWriter, tag: number, value: boolean): void {
  writer.items(Uint8Array.of(tag >>> 16, tag >>> 8, tag, 6, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, value ? 1 : 0));
}

describe("a version that is not spoken", () => {
  test.each<[number, number, string]>([
    [3, 0, "2.1"],
    [2, 2, "2.1"],
    [1, 5, "1.4"],
    [1, 9, "1.4"],
    [0, 9, "1.0"],
    [-1, 0, "1.0"],
    [1, -1, "1.0"],
    [1, 10, "1.4"],
    [2_147_483_647, 2_147_483_647, "2.1"],
  ])("%d.%d is Invalid Message, answered in %s", async (major, minor, answered) => {
    const response = await send(14, [create(14)], { major, minor });
    expect(response.version).toBe(answered);
    expect(response.answers).toHaveLength(1);
    expect(response.answers[0]).toMatchObject({ ok: false, reason: RESULT_REASON.invalidMessage });
    expect(response.last).toBe(true);
  });
});

describe("the header", () => {
  test("of a response has the version, the time and the count", async () => {
    const { header } = await send(12, [create(12), create(12)]);
    expect(header.items.map(({ tag }) => tag)).toEqual([TAG.protocolVersion, TAG.timeStamp, TAG.batchCount]);
    expect(Buffer.from(header.items[1]!.value).readBigUInt64BE()).toBe(BigInt(NOW_SECONDS));
    expect(integerOf(header.items[2]!)).toBe(2);
  });

  test("of a request may have all that KMIP puts there; a credential, empty or not, is passed over", async () => {
    for (const credential of [
      () => undefined,
      (writer: TtlvWriter) =>
        writer.structure(0x420023, () => {
          writer.enumeration(0x420024, 1);
          writer.structure(0x420025, () => writer.text(0x4200a1, "password"));
        }),
    ]) {
      const { answers } = await send(14, [create(14)], {
        header(writer) {
          writer.integer(TAG.maximumResponseSize, 8_192);
          bool(writer, TAG.asynchronousIndicator, false);
          bool(writer, TAG.attestationCapableIndicator, true);
          writer.enumeration(0x4200c7, 1);
          writer.structure(TAG.authentication, () => credential(writer));
          writer.enumeration(TAG.batchErrorContinuationOption, 2);
          bool(writer, TAG.batchOrderOption, true);
          writer.dateTime(TAG.timeStamp, NOW_SECONDS);
        },
      });
      expect(answers[0]!.ok).toBe(true);
    }
  });

  test("gets its correlation value back from 1.4 on, where KMIP has it", async () => {
    const mine = "m".repeat(128);
    const header: Write = (writer) => writer.text(TAG.clientCorrelationValue, mine);
    for (const [version, echoed] of [
      [13, undefined],
      [14, mine],
      [20, mine],
    ] as const) {
      const value = field((await send(version, [create(version)], { header })).header, TAG.clientCorrelationValue);
      expect(value && textOf(value)).toBe(echoed);
    }
  });

  test.each<[string, Envelope, number]>([
    ["a batch count that is not that of the items", { batchCount: 2 }, RESULT_REASON.invalidMessage],
    ["a batch count of 0", { batchCount: 0 }, RESULT_REASON.invalidMessage],
    ["a negative batch count", { batchCount: -1 }, RESULT_REASON.invalidMessage],
    ["a field that is no one's", { header: (w) => w.integer(0x4200ee, 1) }, RESULT_REASON.invalidMessage],
    [
      "fields in another order",
      { header: (w) => [TAG.timeStamp, TAG.timeStamp].map((tag) => w.dateTime(tag, 1)) },
      RESULT_REASON.invalidMessage,
    ],
    [
      "a field of the wrong type",
      { header: (w) => w.text(TAG.maximumResponseSize, "1") },
      RESULT_REASON.invalidMessage,
    ],
    ["a continuation option of no one", { header: option(9) }, RESULT_REASON.invalidMessage],
    [
      "a negative response size",
      { header: (w) => w.integer(TAG.maximumResponseSize, -1) },
      RESULT_REASON.invalidMessage,
    ],
    [
      "a long correlation value",
      { header: (w) => w.text(TAG.clientCorrelationValue, "x".repeat(129)) },
      RESULT_REASON.invalidMessage,
    ],
    ["answers later", { header: (w) => w.enumeration(TAG.asynchronousIndicator, 1) }, RESULT_REASON.invalidMessage],
  ])("with %s is refused, and ends the connection", async (_name, envelope, reason) => {
    const response = await send(20, [create(20)], envelope);
    expect(response.answers).toHaveLength(1);
    expect(response.answers[0]).toMatchObject({ ok: false, reason, operation: undefined });
    expect(response.last).toBe(true);
  });
});

test("a message that is none of KMIP's requests is refused, whatever is in it", async () => {
  const response = message(14, [create(14)]).with(2, 0x7b);
  const { answers, last } = await ask(makeWorld(), response);
  expect(answers[0]).toMatchObject({ ok: false, reason: RESULT_REASON.invalidMessage });
  expect(last).toBe(true);
});

describe("a batch", () => {
  test("is answered in order, with the ids of its items, and later items take the object of earlier ones", async () => {
    const { answers, last } = await send(14, [
      { ...create(14), id: ID_1 },
      GET,
      { operation: OPERATION.activate },
      registerSecret(14, Buffer.from("seed")),
      { operation: OPERATION.getAttributeList },
    ]);
    expect(answers.map(({ ok }) => ok)).toEqual([true, true, true, true, true]);
    expect(answers.map(({ operation }) => operation)).toEqual([1, 10, 18, 3, 12]);
    expect(answers.map(({ id }) => id && [...id])).toEqual([[1], [2, 2], undefined, undefined, undefined]);
    const [made, got, activated, secret, listed] = answers.map(identifierOf);
    expect([got, activated]).toEqual([made, made]);
    expect(made).toStartWith("k.");
    expect(secret).toStartWith("s.");
    expect(listed).toBe(secret);
    expect(last).toBe(false);
  });

  test("may name the placeholder from 2.0 on, by its number; other numbers are refused", async () => {
    const by = (value: number): Request => ({
      operation: OPERATION.get,
      payload: (writer) => writer.enumeration(TAG.uniqueIdentifier, value),
    });
    const { answers } = await send(20, [create(20), by(1)]);
    expect(identifierOf(answers[1]!)).toBe(identifierOf(answers[0]!));
    expect((await send(20, [create(20), by(3)])).answers[1]).toMatchObject({
      ok: false,
      reason: RESULT_REASON.featureNotSupported,
    });
    expect((await send(14, [create(14), by(1)])).answers[1]!.ok).toBe(false);
  });

  test("without an object to take is Missing Data", async () => {
    expect((await send(14, [GET])).answers[0]).toMatchObject({ ok: false, reason: RESULT_REASON.missingData });
  });

  test("stops at the first failure, or goes on where that is asked; an object before a failure is not taken for a later one", async () => {
    const requests = [create(14), UNKNOWN, GET, create(14)];
    const stopped = await send(14, requests);
    expect(stopped.answers.map(({ ok }) => ok)).toEqual([true, false]);
    expect(integerOf(stopped.header.items.at(-1)!)).toBe(2);
    expect((await send(14, requests, { header: option(2) })).answers).toHaveLength(2);
    const all = await send(14, requests, { header: option(1) });
    expect(all.answers.map(({ ok }) => ok)).toEqual([true, false, false, true]);
    expect(all.answers[2]!.reason).toBe(RESULT_REASON.missingData);
  });

  test("that should be undone is refused before anything is done; one item needs no undoing", async () => {
    const refused = await send(14, [create(14), create(14)], { header: option(3) });
    expect(refused.answers).toHaveLength(1);
    expect(refused.answers[0]!.ok).toBe(false);
    expect((await send(14, [create(14)], { header: option(3) })).answers[0]!.ok).toBe(true);
  });

  test("has at most 64 items", async () => {
    const many = (count: number): Promise<Response> =>
      send(
        14,
        Array.from({ length: count }, () => create(14)),
      );
    expect((await many(64)).answers.filter(({ ok }) => ok)).toHaveLength(64);
    expect((await many(65)).answers[0]).toMatchObject({ ok: false, reason: RESULT_REASON.invalidMessage });
  });

  test("whose response is longer than the caller takes, or than the bound, says so for the item that is too much", async () => {
    const world = makeWorld();
    const [made] = (await send(14, [registerSecret(14, new Uint8Array(40_000))], {}, world)).answers;
    const get: Request = { operation: OPERATION.get, payload: named(identifierOf(made!)) };
    const short = await send(14, [get], { header: (writer) => writer.integer(TAG.maximumResponseSize, 8_192) }, world);
    expect(short.answers[0]).toMatchObject({ ok: false, reason: RESULT_REASON.responseTooLarge, payload: undefined });
    expect(short.bytes.length).toBeLessThan(8_192);
    // Each takes the object of the first, whose identifier is in the answer too.
    const bound = await send(
      14,
      [registerSecret(14, new Uint8Array(40_000)), ...Array.from({ length: 10 }, () => ({ operation: OPERATION.get }))],
      {},
      world,
    );
    expect(bound.answers.map(({ ok }) => ok)).toEqual([true, true, true, false]);
    expect(bound.answers.at(-1)).toMatchObject({ reason: RESULT_REASON.responseTooLarge });
    expect(bound.bytes.length).toBeLessThan(256 * 1024);
  });

  test("with a message extension goes on, unless the extension is critical", async () => {
    const extension =
      (critical: boolean): Write =>
      (writer) =>
        writer.structure(TAG.messageExtension, () => {
          writer.text(TAG.vendorIdentification, "acme");
          bool(writer, TAG.criticalityIndicator, critical);
          writer.structure(0x42009c, () => writer.integer(0x540001, 1));
        });
    expect((await send(14, [{ ...create(14), extension: extension(false) }])).answers[0]!.ok).toBe(true);
    expect((await send(14, [{ ...create(14), extension: extension(true) }])).answers[0]).toMatchObject({
      ok: false,
      reason: RESULT_REASON.featureNotSupported,
    });
  });
});

describe("a payload", () => {
  test("with a field too many, out of order, or of another type is refused, and nothing is done", async () => {
    const world = makeWorld();
    const identifier = identifierOf((await send(14, [create(14)], {}, world)).answers[0]!);
    for (const payload of [
      named(identifier, (writer) => writer.integer(0x4200ee, 1)),
      named(identifier, (writer) => writer.text(TAG.uniqueIdentifier, identifier)),
      (writer: TtlvWriter) => writer.byteString(TAG.uniqueIdentifier, Buffer.from(identifier)),
      (writer: TtlvWriter) => {
        writer.enumeration(TAG.keyFormatType, 1);
        writer.text(TAG.uniqueIdentifier, identifier);
      },
    ]) {
      const { answers, last } = await send(14, [{ operation: OPERATION.get, payload }], {}, world);
      expect(answers[0]!.ok).toBe(false);
      expect([RESULT_REASON.invalidField, RESULT_REASON.missingData]).toContain(answers[0]!.reason as 6);
      expect(last).toBe(false);
    }
    expect(world.defects).toEqual([]);
  });
});

describe("secrets", () => {
  test("are wiped in what was written, once the answer is sent, and in what was taken back", async () => {
    const world = makeWorld();
    const { answerMessage } = await import("../../../../src/edge/doors/kmip/message.ts");
    const { CALLER } = await import("./world.ts");
    const { writer } = await answerMessage(
      message(14, [registerSecret(14, Buffer.from("a secret")), GET]),
      CALLER,
      world.parts,
    );
    const { bytes } = writer;
    expect(Buffer.from(bytes).includes("a secret")).toBe(true);
    writer.wipe();
    expect(bytes.every((byte) => byte === 0)).toBe(true);
  });

  test("of the policy's are no part of a failure's message", async () => {
    const world = makeWorld();
    world.denial = new OperationError("access_denied", "This principal may not do this.");
    const { answers } = await send(14, [registerSecret(14, Buffer.from("a secret"))], {}, world);
    expect(answers[0]!.message).toBe("This principal may not do this.");
  });
});
