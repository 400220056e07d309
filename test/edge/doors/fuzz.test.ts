/** Thousands of requests that are nearly right, at the doors aws-kms and vault-transit: each is answered in the door's own words, none fails the edge. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type DoorEdge, startDoorEdge } from "../../support/door-edge.ts";

const ROUNDS = 6_000;
const SEED = 18;

let edge: DoorEdge;
const errors: string[] = [];
const consoleError = process.stderr.write.bind(process.stderr);
beforeAll(async () => {
  edge = await startDoorEdge({
    listeners: `  - { http: "127.0.0.1:0", principal: local, doors: [native, aws-kms, vault-transit] }`,
  });
  // What the edge logs is a defect: bad input is none.
  process.stderr.write = ((text: string | Uint8Array) => {
    errors.push(String(text));
    return true;
  }) as typeof process.stderr.write;
});
afterAll(async () => {
  process.stderr.write = consoleError;
  await edge.close();
});

function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

type Random = (below: number) => number;
const pick = <T>(random: Random, from: readonly T[]): T => from[random(from.length)]!;

const STRANGE = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  1e308,
  "",
  "AAAA",
  "AA==",
  "%",
  "\u0000",
  "\ud800",
  "ü".repeat(50),
  "x".repeat(9_000),
  [],
  [[]],
  {},
  { a: 1 },
  { a: "b" },
  { "": "" },
  { __proto__: null, constructor: "x" },
  "__proto__",
  "toString",
  "tenant-a/billing",
  "alias/tenant-a/billing",
  "vault:v1:AAAA",
  "vault:v2:TDQBAg==",
  ["x"],
  1e15,
  "256",
] as const;

/** A member changed, taken out, or put in; sometimes inside a list. */
function changed(random: Random, value: object, names: readonly string[]): object {
  const copy = structuredClone(value) as Record<string, unknown>;
  for (let changes = 1 + random(3); changes > 0; changes--) {
    const name = pick(random, [...Object.keys(copy), ...names, "__proto__", "constructor"]);
    const what = random(4);
    if (what === 0) delete copy[name];
    else
      Object.defineProperty(copy, name, {
        value: pick(random, STRANGE),
        enumerable: true,
        configurable: true,
        writable: true,
      });
  }
  return copy;
}

/** The text of a body: mostly JSON, sometimes cut, or with bytes that are none. */
function textOf(random: Random, value: object): string | Uint8Array<ArrayBuffer> {
  const text = JSON.stringify(value);
  switch (random(12)) {
    case 0:
      return text.slice(0, random(text.length + 1));
    case 1:
      return new Uint8Array(
        Buffer.concat([
          Buffer.from(text.slice(0, 10)),
          Buffer.from([0xff, 0xc0, random(256)]),
          Buffer.from(text.slice(10)),
        ]),
      );
    case 2:
      return "[".repeat(5_000);
    default:
      return text;
  }
}

/** Ciphertexts of this edge, and some with a byte changed, cut or too many. */
function mutated(random: Random, base64: string): string {
  const bytes = Buffer.from(base64, "base64");
  const kind = random(5);
  if (kind === 0) return base64;
  if (kind === 1) return bytes.subarray(0, random(bytes.length)).toString("base64");
  if (kind === 2) return Buffer.concat([bytes, Buffer.alloc(1 + random(40))]).toString("base64");
  const at = kind === 3 ? random(Math.min(40, bytes.length)) : random(bytes.length);
  bytes[at] = random(256);
  return bytes.toString("base64");
}

async function expectAnswered(
  request: () => Promise<Response>,
  check: (response: Response, text: string) => void,
): Promise<number> {
  const response = await request();
  check(response, await response.text());
  return response.status;
}

describe("nearly right requests", () => {
  test("at aws-kms are answered with a type and a message, or well", async () => {
    const random = seeded(SEED);
    const call = (target: string, body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) =>
      fetch(`${edge.url}/`, { method: "POST", headers: { "x-amz-target": target, ...headers }, body });
    const made = (await (
      await call("TrentService.GenerateDataKey", JSON.stringify({ KeyId: "tenant-a/billing", KeySpec: "AES_256" }))
    ).json()) as { CiphertextBlob: string };
    const statuses = new Map<number, number>();
    for (let round = 0; round < ROUNDS; round++) {
      const key = {
        KeyId: pick(random, [
          "tenant-a/billing",
          "alias/tenant-a/billing",
          "arn:aws:kms:us-east-1:000000000000:key/tenant-a/billing",
          "denied/x",
          "nosuch/x",
        ]),
      };
      const CiphertextBlob = mutated(random, made.CiphertextBlob);
      const requests = {
        GenerateDataKey: { ...key, NumberOfBytes: 1 + random(70), EncryptionContext: { a: "b" } },
        GenerateDataKeyWithoutPlaintext: { ...key, KeySpec: "AES_128" },
        Encrypt: { ...key, Plaintext: "AAAA", EncryptionContext: {} },
        Decrypt: { CiphertextBlob, ...(random(2) === 0 ? key : {}) },
        ReEncrypt: { CiphertextBlob, DestinationKeyId: key.KeyId, DestinationEncryptionContext: { x: "y" } },
        DescribeKey: key,
      };
      const operation = pick(random, Object.keys(requests) as (keyof typeof requests)[]);
      const names = [
        "KeyId",
        "SourceKeyId",
        "EncryptionContext",
        "SourceEncryptionContext",
        "GrantTokens",
        "DryRun",
        "Recipient",
        "EncryptionAlgorithm",
        "KeySpec",
        "NumberOfBytes",
      ];
      const body = random(6) === 0 ? requests[operation] : changed(random, requests[operation], names);
      const target =
        random(30) === 0
          ? pick(random, ["", "TrentService.", "x", "TrentService.toString", "TrentService.Sign"])
          : `TrentService.${operation}`;
      const authorization: Record<string, string> =
        random(5) === 0
          ? {
              authorization: pick(random, [
                "x",
                "AWS4-HMAC-SHA256 Credential=a/20260101/%22/kms/aws4_request",
                "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/kms/aws4_request, SignedHeaders=host, Signature=0",
              ]),
            }
          : {};
      const status = await expectAnswered(
        () => call(target, textOf(random, body), authorization),
        (response, text) => {
          const answer = JSON.parse(text) as Record<string, unknown>;
          if (response.status === 200) expect(answer.KeyId ?? answer.KeyMetadata).toBeDefined();
          else expect([typeof answer.__type, typeof answer.message]).toEqual(["string", "string"]);
          expect([200, 400]).toContain(response.status);
        },
      );
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
    // Both were reached, many times.
    expect([...statuses.values()].every((count) => count > 300) && statuses.size === 2).toBe(true);
    expect(errors).toEqual([]);
  }, 300_000);

  test("at vault-transit are answered with errors or an envelope", async () => {
    const random = seeded(SEED);
    const call = (
      method: string,
      path: string,
      body: string | Uint8Array<ArrayBuffer> | undefined,
      headers: Record<string, string>,
    ) => fetch(`${edge.url}/v1/${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
    const own = { "x-vault-token": "x", "x-vault-namespace": "tenant-a" };
    const made = (await (await call("PUT", "transit/datakey/wrapped/billing", undefined, own)).json()) as {
      data: { ciphertext: string };
    };
    const statuses = new Map<number, number>();
    for (let round = 0; round < ROUNDS; round++) {
      const ciphertext = (): string =>
        `vault:v${pick(random, [2, 2, 2, 1, 0])}:${mutated(random, made.data.ciphertext.split(":")[2]!)}`;
      const item = () =>
        random(3) === 0
          ? pick(random, STRANGE)
          : changed(random, { ciphertext: ciphertext(), plaintext: "AAAA" }, [
              "reference",
              "context",
              "nonce",
              "key_version",
            ]);
      const batch =
        random(4) === 0
          ? {
              batch_input: Array.from({ length: random(5) }, item),
              partial_failure_response_code: pick(random, [200, 207, 500, "x", null]),
            }
          : {};
      const operation = pick(random, [
        "encrypt",
        "decrypt",
        "rewrap",
        "datakey/plaintext",
        "datakey/wrapped",
        "keys",
        "sign",
        "",
      ]);
      const name = pick(random, [
        "billing",
        "billing",
        "billing",
        "a.b",
        "%62illing",
        "%",
        "-",
        "..",
        "billing/rotate",
        "",
        "x".repeat(300),
      ]);
      const mount = pick(random, [
        "transit",
        "transit",
        "transit",
        "tenant-a/transit",
        "transit/tenant-a",
        "transit/%00",
      ]);
      const method = pick(random, ["POST", "POST", "PUT", "PUT", "GET", "DELETE", "PATCH"]);
      const names = [
        "context",
        "associated_data",
        "key_version",
        "bits",
        "nonce",
        "type",
        "convergent_encryption",
        "batch_input",
        "partial_failure_response_code",
      ];
      const body = changed(
        random,
        { ciphertext: ciphertext(), plaintext: "AAAA", ...batch },
        random(2) === 0 ? names : ["name"],
      );
      const headers: Record<string, string> = random(8) === 0 ? { "x-vault-token": "x" } : random(20) === 0 ? {} : own;
      const bodyless = method === "GET" || random(10) === 0;
      const status = await expectAnswered(
        () => call(method, `${mount}/${operation}/${name}`, bodyless ? undefined : textOf(random, body), headers),
        (response, text) => {
          const answer = JSON.parse(text) as { data?: unknown; errors?: unknown };
          expect(Array.isArray(answer.errors) || answer.data !== undefined).toBe(true);
          expect([200, 207, 400, 403, 404, 405]).toContain(response.status);
        },
      );
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
    for (const status of [200, 400, 403, 405]) expect(statuses.get(status) ?? 0).toBeGreaterThan(100);
    expect(errors).toEqual([]);
  }, 300_000);
});
