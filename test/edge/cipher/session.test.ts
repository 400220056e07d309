/** What a wrapping session derives, keeps ready, closes and refuses, over an adapter that counts. */
import { describe, expect, test } from "bun:test";
import { type ParsedBlob, parseBlob, type ServiceKeyIdentity, type Suite } from "../../../src/edge/cipher/blob.ts";
import type { CipherAdapter, DerivedKey } from "../../../src/edge/cipher/cipher.ts";
import { createNodeAdapter } from "../../../src/edge/cipher/node-adapter.ts";
import { ReadyKeys } from "../../../src/edge/cipher/ready-keys.ts";
import { SaltKey } from "../../../src/edge/cipher/salt-key.ts";
import { Session, type SessionParts } from "../../../src/edge/cipher/session.ts";
import { createCipher } from "../../../src/edge/cipher/sessions.ts";
import { ADAPTERS } from "../../support/ciphers.ts";
import { errorOf } from "../../support/error-of.ts";
import { referenceSeal } from "../../support/reference-cipher.ts";

const NO_CONTEXT = new Uint8Array(0);
const SERVICE_KEY = new Uint8Array(32).fill(7);
const IDENTITY: ServiceKeyIdentity = { tenant: "tenant-a", service: "billing", version: 3 };

class CountingAdapter implements CipherAdapter {
  readonly name = "counting";
  readonly library = "node";
  readonly fips = false;
  readonly #node = createNodeAdapter();
  derivations = 0;
  opens = 0;
  /** Derived and not closed. */
  live = 0;

  fillRandom(target: Uint8Array): void {
    this.#node.fillRandom(target);
  }

  deriveKey(...given: Parameters<CipherAdapter["deriveKey"]>): DerivedKey | undefined {
    this.derivations++;
    const key = this.#node.deriveKey(...given);
    if (key === undefined) return undefined;
    this.live++;
    let closed = false;
    return {
      commitment: key.commitment,
      seal: (...sealed) => key.seal(...sealed),
      sealRandom: (...sealed) => key.sealRandom(...sealed),
      open: (...opened) => {
        this.opens++;
        return key.open(...opened);
      },
      close: () => {
        if (!closed) this.live--;
        closed = true;
        key.close();
      },
    };
  }

  reseed(): void {}
  close(): void {}
}

class Parts implements SessionParts {
  readonly adapter = new CountingAdapter();
  readonly ready: ReadyKeys;
  readonly blobsPerSalt: number;
  generation = 0;
  wiped = 0;
  readonly endedSessions: Session[] = [];
  readonly onWiped = (): void => {
    this.wiped++;
  };

  constructor(readyKeysMax = 100, blobsPerSalt = 1_000) {
    this.ready = new ReadyKeys(readyKeysMax);
    this.blobsPerSalt = blobsPerSalt;
  }

  ended(session: Session): void {
    this.endedSessions.push(session);
  }

  begin(identity = IDENTITY): Session {
    return new Session(this, identity, { use: (reader) => reader(SERVICE_KEY) });
  }
}

const salt = (...start: number[]): Buffer => Buffer.concat([Buffer.from(start), Buffer.alloc(16 - start.length, 0x5a)]);

/** A blob that this session has not made. */
function foreign(of: Buffer, suite: Suite = 1, identity = IDENTITY): ParsedBlob {
  const blob = referenceSeal(
    SERVICE_KEY,
    { ...identity, suite, context: {} },
    of,
    Buffer.alloc(12, 1),
    Buffer.alloc(32, 9),
  );
  return parseBlob(new Uint8Array(blob));
}

const altered = ({ bytes }: ParsedBlob, at: number): ParsedBlob => {
  const copy = bytes.slice();
  copy[at]! ^= 1;
  return parseBlob(copy);
};

describe("a salt's key", () => {
  /** Alike in all but one byte, or in bits that a shift by too much would lay over each other. */
  const ALIKE = [
    [0, 0, 0, 0],
    [1, 0, 0, 0],
    [0, 1, 0, 0],
    [0, 0, 1, 0],
    [0, 0, 0, 1],
    [0, 0, 0x80, 0],
    [0, 0, 0, 0x80],
    [0, 0x80, 0, 0],
  ];

  test("is derived once and kept, apart from those of every salt that begins otherwise", () => {
    const parts = new Parts();
    const session = parts.begin();
    const blobs = ALIKE.map((start) => foreign(salt(...start)));
    for (const blob of [...blobs, ...blobs]) session.unwrap(blob, NO_CONTEXT);
    expect(parts.adapter.derivations).toBe(ALIKE.length);
    expect(session.keptForOpening).toBe(ALIKE.length);
    expect(parts.ready.size).toBe(ALIKE.length);
  });

  test("takes the place of one whose salt begins alike, which is closed", () => {
    const parts = new Parts();
    const session = parts.begin();
    const blobs = [foreign(salt(1, 2, 3, 4, 5)), foreign(salt(1, 2, 3, 4, 6))];
    for (const blob of [...blobs, ...blobs]) session.unwrap(blob, NO_CONTEXT);
    expect(parts.adapter.derivations).toBe(4);
    expect([session.keptForOpening, parts.ready.size, parts.adapter.live]).toEqual([1, 1, 1]);
  });

  test("does not serve the other suite, though its salt be the same", () => {
    const parts = new Parts();
    const session = parts.begin();
    for (const suite of [1, 2, 1] as const)
      expect(session.unwrap(foreign(salt(1), suite), NO_CONTEXT)).toHaveLength(32);
    expect(parts.adapter.derivations).toBe(3);
  });

  test("gives way when it was used longest ago, closed and forgotten, and is derived again", () => {
    const parts = new Parts(2);
    const session = parts.begin();
    const [a, b, c] = [1, 2, 3].map((byte) => foreign(salt(byte))) as [ParsedBlob, ParsedBlob, ParsedBlob];
    for (const blob of [a, b, a, c]) session.unwrap(blob, NO_CONTEXT);
    expect([session.keptForOpening, parts.adapter.live, parts.adapter.derivations]).toEqual([2, 2, 3]);
    session.unwrap(a, NO_CONTEXT);
    expect(parts.adapter.derivations).toBe(3);
    session.unwrap(b, NO_CONTEXT);
    expect(parts.adapter.derivations).toBe(4);
  });

  test("for wrapping gives way too, keeps its salt, and is ready again with the next wrap", () => {
    const parts = new Parts(2);
    const session = parts.begin();
    const [a, b, c] = [1, 2, 3].map((byte) => foreign(salt(byte))) as [ParsedBlob, ParsedBlob, ParsedBlob];
    const saltOf = ({ bytes, saltOffset }: ParsedBlob): string =>
      Buffer.from(bytes.subarray(saltOffset, saltOffset + 16)).toString("hex");
    const wrap = (): ParsedBlob => parseBlob(session.createKey(32, NO_CONTEXT));
    const first = wrap();
    session.unwrap(a, NO_CONTEXT);
    wrap();
    session.unwrap(b, NO_CONTEXT);
    // `a` was used longest ago.
    expect([parts.adapter.derivations, session.keptForOpening]).toEqual([3, 1]);
    wrap();
    expect(parts.adapter.derivations).toBe(3);
    session.unwrap(b, NO_CONTEXT);
    session.unwrap(c, NO_CONTEXT);
    const again = wrap();
    expect(parts.adapter.derivations).toBe(5);
    expect(saltOf(again)).toBe(saltOf(first));
    expect([parts.ready.size, parts.adapter.live]).toEqual([2, 2]);
    expect(session.unwrap(again, NO_CONTEXT)).toEqual(session.unwrap(again, NO_CONTEXT));
    expect(parts.adapter.derivations).toBe(5);
  });

  test("for wrapping is closed when the next salt is drawn", () => {
    const parts = new Parts(100, 2);
    const session = parts.begin();
    for (let blob = 0; blob < 6; blob++) session.createKey(16, NO_CONTEXT);
    expect([parts.adapter.derivations, parts.ready.size, parts.adapter.live]).toEqual([3, 1, 1]);
  });

  test("tells its owner that it gave way, once it is closed", () => {
    const adapter = new CountingAdapter();
    const derived = adapter.deriveKey({ use: (reader) => reader(SERVICE_KEY) }, salt(1), NO_CONTEXT)!;
    const told: [SaltKey, number][] = [];
    const key = new SaltKey({ gaveWay: (gone) => told.push([gone, adapter.live]) }, 1, 0, salt(1, 2, 3, 4), derived);
    expect(key.saltStart).toBe(0x0102_0304);
    key.giveWay();
    expect(told).toEqual([[key, 0]]);
    expect(key.derived).toBeUndefined();
  });
});

describe("a blob that does not open", () => {
  test("by its commitment is refused before AES is asked, by whatever key of the session", () => {
    const parts = new Parts();
    const session = parts.begin();
    const own = parseBlob(session.wrap(new Uint8Array(32), NO_CONTEXT));
    const known = foreign(salt(1));
    session.unwrap(known, NO_CONTEXT);
    const { opens, derivations } = parts.adapter;
    for (const blob of [own, known]) {
      for (let at = blob.commitmentOffset; at < blob.ciphertextOffset; at++) {
        expect(errorOf(() => session.unwrap(altered(blob, at), NO_CONTEXT)).code).toBe("decryption_failed");
      }
    }
    expect([parts.adapter.opens, parts.adapter.derivations]).toEqual([opens, derivations]);
  });

  test("keeps nothing of the key that was derived for it", () => {
    const parts = new Parts();
    const session = parts.begin();
    const blob = foreign(salt(1));
    expect(errorOf(() => session.unwrap(altered(blob, blob.tagOffset), NO_CONTEXT)).message).toContain("wrapped key");
    expect([parts.adapter.derivations, parts.adapter.opens, parts.adapter.live]).toEqual([1, 1, 0]);
    expect([session.keptForOpening, parts.ready.size, parts.wiped]).toEqual([0, 0, 1]);
    session.unwrap(blob, NO_CONTEXT);
    expect([parts.adapter.live, parts.wiped]).toEqual([1, 1]);
    const value = foreign(salt(1), 2);
    expect(errorOf(() => session.unwrap(altered(value, value.tagOffset), NO_CONTEXT)).message).toContain(
      "encrypted value",
    );
  });

  test("of another tenant, service or version costs no derivation", () => {
    const parts = new Parts();
    const session = parts.begin();
    for (const other of [
      { ...IDENTITY, tenant: "tenant-b" },
      { ...IDENTITY, service: "billinh" },
      { ...IDENTITY, version: 4 },
      { ...IDENTITY, tenant: "tenant" },
    ]) {
      expect(errorOf(() => session.unwrap(foreign(salt(1), 1, other), NO_CONTEXT)).code).toBe("decryption_failed");
    }
    expect(parts.adapter.derivations).toBe(0);
  });
});

describe("what a blob holds", () => {
  const session = new Parts().begin();
  const wrap = (length: number, suite: Suite) => () => session.wrap(new Uint8Array(length), NO_CONTEXT, suite);

  test.each([
    [0, 1],
    [15, 1],
    [17, 1],
    [33, 1],
    [65, 1],
    [0, 2],
    [65_537, 2],
  ] as const)("is never %d bytes in suite %d", (length, suite) => {
    expect(wrap(length, suite)).toThrow(`A blob of suite ${suite} holds no ${length} bytes.`);
  });

  test.each([
    [16, 1],
    [32, 1],
    [64, 1],
    [1, 2],
    [65_535, 2],
    [65_536, 2],
  ] as const)("may be %d bytes in suite %d", (length, suite) => {
    const blob = parseBlob(wrap(length, suite)());
    expect(blob.suite).toBe(suite);
    expect(session.unwrap(blob, NO_CONTEXT)).toEqual(new Uint8Array(length));
  });
});

test("a session that is wiped closes every key, leaves the ready ones, and is told of once", () => {
  const parts = new Parts();
  const session = parts.begin();
  session.wrap(new Uint8Array(32), NO_CONTEXT, 1);
  session.wrap(new Uint8Array(32), NO_CONTEXT, 2);
  for (const byte of [1, 2, 3]) session.unwrap(foreign(salt(byte)), NO_CONTEXT);
  expect([parts.adapter.live, parts.ready.size]).toEqual([5, 5]);
  session.wipe();
  session.wipe();
  expect([parts.adapter.live, parts.ready.size, session.keptForOpening]).toEqual([0, 0, 0]);
  expect(parts.endedSessions).toEqual([session]);
  for (const use of [
    () => session.createKey(32, NO_CONTEXT),
    () => session.wrap(new Uint8Array(32), NO_CONTEXT, 2),
    () => session.unwrap(foreign(salt(1)), NO_CONTEXT),
  ]) {
    expect(use).toThrow("wiped");
  }
  expect(parts.adapter.derivations).toBe(5);
});

test("a session that nothing was asked of is wiped as well", () => {
  const parts = new Parts();
  const session = parts.begin();
  session.wipe();
  expect(parts.endedSessions).toEqual([session]);
});

test("keys of a batch are those of `createKey`, by an adapter with a way of its own for them and by one without", () => {
  for (const [name, adapter] of Object.entries(ADAPTERS)) {
    const session = createCipher({ adapter: adapter() }).begin(
      { tenant: "tenant-a", service: "billing", version: 1 },
      { use: (reader) => reader(new Uint8Array(32).fill(1)) },
    );
    const made: { blob: Uint8Array; dataKey: Uint8Array; lent: Uint8Array }[] = [];
    for (const length of [16, 32, 32, 64] as const) {
      session.createKeyTo(length, NO_CONTEXT, true, (blob, dataKey) => {
        made.push({ blob: blob.slice(), dataKey: dataKey!.slice(), lent: dataKey! });
      });
    }
    session.createKeyTo(32, NO_CONTEXT, false, (_blob, dataKey) => expect(dataKey, name).toBeUndefined());
    expect(made.map(({ dataKey }) => dataKey.length)).toEqual([16, 32, 32, 64]);
    for (const { blob, dataKey, lent } of made) {
      expect(session.unwrap(parseBlob(blob), NO_CONTEXT)).toEqual(dataKey);
      expect(lent.every((byte) => byte === 0)).toBe(true);
    }
    const fail = (): never => {
      throw new Error("no room");
    };
    expect(() => session.createKeyTo(32, NO_CONTEXT, true, fail)).toThrow("no room");
    session.wipe();
    expect(() => session.createKeyTo(32, NO_CONTEXT, true, fail)).toThrow("wiped");
  }
});
