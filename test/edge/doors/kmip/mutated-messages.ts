/**
 * Messages of every operation and version, changed in every way that bytes can be, sent to the door each on a connection of its own:
 *
 *     sh scripts/bun.sh test/edge/doors/kmip/mutated-messages.ts 1000000 [SEED]
 *
 * Throws at the first that is accepted wrongly, costs more steps than its length allows, or leaves something open.
 */
import { Duplex } from "node:stream";
import { OPERATION, TAG } from "../../../../src/edge/doors/kmip/enumerations.ts";
import { decodeItem, ITEMS_MAX, type Item, textOf, unsignedOf } from "../../../../src/edge/doors/kmip/ttlv.ts";
import type { TtlvWriter } from "../../../../src/edge/doors/kmip/ttlv-writer.ts";
import { VERSIONS } from "../../../../src/edge/doors/kmip/version.ts";
import {
  type Answer,
  ask,
  create,
  type Door,
  field,
  identifierOf,
  message,
  named,
  openDoor,
  type Request,
  readResponse,
  registerKey,
  registerSecret,
} from "./world.ts";

export interface Tally {
  readonly messages: number;
  /** In which some item was carried out. */
  readonly accepted: number;
  /** Of all messages: the most items that were read of one. */
  readonly mostSteps: number;
}

/** Numbers that are the same for the same seed (xorshift32). */
function numbers(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const SECRET = Buffer.from("what was registered as secret data");

interface Corpus {
  readonly messages: readonly Uint8Array[];
  /** By the identifiers that are good: what Get may give for them. */
  readonly objects: ReadonlyMap<string, Uint8Array | undefined>;
}

async function makeCorpus({ world }: Door): Promise<Corpus> {
  const messages: Uint8Array[] = [];
  const objects = new Map<string, Uint8Array | undefined>();
  for (const version of VERSIONS) {
    const first = [create(version), registerSecret(version, SECRET), registerKey(version, SECRET)];
    const { answers } = await ask(world, message(version, first));
    const identifiers = answers.map(identifierOf);
    for (const [index, identifier] of identifiers.entries()) objects.set(identifier, index === 0 ? undefined : SECRET);
    const parameters = (writer: TtlvWriter): void => {
      writer.structure(TAG.cryptographicParameters, () => {
        writer.enumeration(TAG.blockCipherMode, 1);
        writer.enumeration(TAG.paddingMethod, 3);
      });
      writer.byteString(TAG.data, SECRET);
    };
    const use = (operation: number, identifier: string): Request => ({ operation, payload: named(identifier) });
    const uses = identifiers.flatMap((identifier) =>
      [OPERATION.get, OPERATION.activate, OPERATION.getAttributes, OPERATION.getAttributeList, OPERATION.destroy].map(
        (operation) => use(operation, identifier),
      ),
    );
    const encrypt = { operation: OPERATION.encrypt, payload: named(identifiers[0]!, parameters) };
    for (const request of [...first, ...uses, encrypt, { operation: OPERATION.query }]) {
      messages.push(message(version, [request]));
    }
    messages.push(message(version, [...first, { operation: OPERATION.get }, use(OPERATION.get, identifiers[1]!)]));
  }
  return { messages, objects };
}

function mutate(corpus: Corpus, random: (below: number) => number): Uint8Array {
  const pick = (): Uint8Array => corpus.messages[random(corpus.messages.length)]!;
  let bytes: Buffer = Buffer.from(pick());
  for (let changes = 1 + random(3); changes > 0; changes--) {
    const at = random(Math.max(1, bytes.length));
    const aligned = at - (at % 8);
    const length = random(24);
    switch (random(11)) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
        break;
      case 1:
        bytes[at] = random(256);
        break;
      case 2:
        bytes = bytes.subarray(0, at);
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, aligned), pick().subarray(0, length * 8), bytes.subarray(aligned)]);
        break;
      case 5:
        if (aligned + 8 <= bytes.length)
          bytes.writeUInt32BE([0, 1, 7, 8, 9, 2 ** 31, 2 ** 32 - 1, 65_536][random(8)]!, aligned + 4);
        break;
      case 6:
        bytes = Buffer.concat([
          bytes.subarray(0, aligned),
          bytes.subarray(aligned, aligned + 16),
          bytes.subarray(aligned),
        ]);
        break;
      case 7:
        if (at + 4 < bytes.length) bytes[at - (at % 8) + 3] = random(13);
        break;
      case 8:
        bytes = Buffer.concat([bytes, Buffer.alloc(length)]);
        break;
      case 9:
        bytes = nested(8 * random(200));
        break;
      default:
        bytes = Buffer.concat([bytes.subarray(0, aligned), Buffer.from(pick()).subarray(aligned)]);
    }
  }
  // What the outer length says is checked first: most messages shall come further than that.
  if (bytes.length >= 8 && random(8) > 0) bytes.writeUInt32BE(bytes.length - 8, 4);
  return bytes;
}

/** A tower of structures of this length. */
function nested(length: number): Buffer {
  const bytes = Buffer.alloc(8 + length);
  for (let at = 0; at < bytes.length; at += 8) {
    bytes.writeUInt32BE(0x42007801, at);
    bytes.writeUInt32BE(length - at, at + 4);
  }
  return bytes;
}

export async function attack(count: number, seed: number): Promise<Tally> {
  const door = await openDoor({ handshakes_per_second: 100_000 });
  try {
    const corpus = await makeCorpus(door);
    const random = numbers(seed);
    let [accepted, mostSteps] = [0, 0];
    for (let turn = 0; turn < count; turn++) {
      const bytes = mutate(corpus, random);
      const fail = (why: string): never => {
        throw new Error(`seed ${seed}, message ${turn}: ${why}: ${Buffer.from(bytes).toString("hex")}`);
      };
      const steps = stepsOf(bytes);
      if (steps > bytes.length / 8 + 1) fail(`${steps} steps for ${bytes.length} bytes`);
      mostSteps = Math.max(mostSteps, steps);
      const responses = await exchange(door, bytes);
      if (responses === undefined) return fail("the connection is left open");
      if (door.inFlight.length > 0 || door.world.defects.length > 0) fail("something is left in flight, or a defect");
      const done = readAll(responses).filter(({ ok }) => ok);
      if (done.length > 0) accepted++;
      for (const answer of done) {
        const wrong = wronglyAccepted(answer, corpus);
        if (wrong !== undefined) fail(wrong);
      }
      if (turn % 1_000 === 0) await door.clock.advance(60_000);
    }
    return { messages: count, accepted, mostSteps };
  } finally {
    door.close();
  }
}

function stepsOf(bytes: Uint8Array): number {
  const budget = { left: ITEMS_MAX };
  try {
    decodeItem(bytes, budget);
  } catch {
    // How far it came is what is asked.
  }
  return ITEMS_MAX - budget.left;
}

/** What the door wrote before it ended the connection; undefined where it has not. */
function exchange(door: Door, bytes: Uint8Array): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const written: Buffer[] = [];
    const stream = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, sent) {
        written.push(Buffer.from(chunk));
        sent();
      },
    });
    const late = setTimeout(() => resolve(undefined), 30_000);
    stream.once("finish", () => stream.destroy());
    stream.once("close", () => {
      clearTimeout(late);
      resolve(Buffer.concat(written));
    });
    door.serve(stream);
    stream.push(Buffer.from(bytes));
    stream.push(null);
  });
}

/** Throws for what is not a row of sound responses. */
function readAll(bytes: Buffer): Answer[] {
  const answers: Answer[] = [];
  for (let offset = 0; offset < bytes.length; ) {
    const length = 8 + bytes.readUInt32BE(offset + 4);
    const response = readResponse(Uint8Array.from(bytes.subarray(offset, offset + length)));
    if (unsignedOf(field(response.header, TAG.batchCount)!) !== response.answers.length)
      throw new Error("a wrong count");
    answers.push(...response.answers);
    offset += length;
  }
  return answers;
}

/** Only what was registered comes back, and only for identifiers that were given out. */
function wronglyAccepted({ operation, payload }: Answer, { objects }: Corpus): string | undefined {
  if (operation === undefined || payload === undefined) return "a success without an operation";
  if (operation === OPERATION.destroy || operation === OPERATION.revoke) return "Destroy or Revoke succeeded";
  if (operation === OPERATION.query || operation === OPERATION.discoverVersions) return undefined;
  const identifier = textOf(field(payload, TAG.uniqueIdentifier)!);
  // A new object's identifier is new; what it holds comes back in the same message at most.
  const isNew = operation === OPERATION.create || operation === OPERATION.register;
  if (isNew) {
    (objects as Map<string, Uint8Array | undefined>).set(identifier, undefined);
    return undefined;
  }
  if (!objects.has(identifier)) return "an identifier that was never given out opened";
  const registered = objects.get(identifier);
  if (operation !== OPERATION.get || registered === undefined) return undefined;
  const material = materialOf(payload);
  return material !== undefined && Buffer.from(material).equals(registered) ? undefined : "Get gave something else";
}

function materialOf(payload: Item): Uint8Array | undefined {
  const object = field(payload, TAG.symmetricKey) ?? field(payload, TAG.secretData);
  return field(object, TAG.keyBlock, TAG.keyValue, TAG.keyMaterial)?.value;
}

if (import.meta.main) {
  const [count = "1000000", seed = String(Date.now() % 2 ** 31)] = process.argv.slice(2);
  console.log(`seed ${seed}`);
  console.log(await attack(Number(count), Number(seed)));
}
