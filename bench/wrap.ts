/** CreateKey and DecryptKey in this process, their lease held, against the processor's own speed at AES-256-GCM. */

import { createCipheriv } from "node:crypto";
import type { Cipher } from "../src/edge/cipher/cipher.ts";
import type { Opened } from "../src/edge/operations/operations.ts";
import { createOperations } from "../src/edge/operations/pipeline.ts";
import { openBenchCipher } from "./harness/ciphers.ts";
import type { BenchContext } from "./harness/context.ts";
import { allowAll, CALLER, heldLeases, ignoreAll } from "./harness/edge-in-process.ts";
import { opensslGcmPerSecond } from "./harness/openssl.ts";
import { compare, interleave, ratePerCpuSecond, type Sample } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "CreateKey and DecryptKey in process against openssl speed at 32 bytes";
export const guards = true;

const MANY_SALTS = 1000;
const CONTEXT = { purpose: "invoice", customer: "4711" };

const KEY = crypto.getRandomValues(new Uint8Array(32));
const NONCE = new Uint8Array(12);
const HEADER = new Uint8Array(85);
const DATA_KEY = new Uint8Array(32);

function bareCalls(): void {
  const cipher = createCipheriv("aes-256-gcm", KEY, NONCE);
  cipher.setAAD(HEADER);
  cipher.update(DATA_KEY);
  cipher.final();
  cipher.getAuthTag();
}

/** What is measured of each adapter, and what share of openssl's own figure is asked of `openssl`. */
const SUBJECTS = {
  create: { name: "CreateKey, lease held", atLeast: 0.8 },
  createInContext: { name: "CreateKey, a context of two entries", atLeast: 0.5 },
  decrypt: { name: "DecryptKey, one salt", atLeast: 0.8 },
  decryptInContext: { name: "DecryptKey, a context of two entries", atLeast: 0.5 },
  decryptMany: { name: `DecryptKey, ${MANY_SALTS} salts at random`, atLeast: 0.35 },
} as const;

type Subject = keyof typeof SUBJECTS;

export async function run(context: BenchContext): Promise<Row[]> {
  const candidates: Record<string, Sample> = {
    openssl: opensslGcmPerSecond,
    calls: () => ratePerCpuSecond(bareCalls, context.sampleMs),
  };
  for (const adapter of ["openssl", "node"]) {
    for (const [subject, run] of Object.entries(subjectsOf(await openBenchCipher(adapter)))) {
      candidates[`${adapter} ${subject}`] = () => ratePerCpuSecond(run, context.sampleMs);
    }
  }
  const samples = await interleave(candidates, context.rounds);
  const against = (values: number[]) => ({
    ...compare(values, samples.openssl!),
    baselineName: "openssl speed",
    unit: "ops/s",
  });
  const rowOf = (adapter: string, subject: Subject): Row => {
    const { name, atLeast } = SUBJECTS[subject];
    return row({
      name: `wrap: ${name}, by ${adapter}`,
      ...against(samples[`${adapter} ${subject}`]!),
      ...(adapter === "openssl" ? { goal: { of: "ratio", atLeast } } : undefined),
    });
  };
  const subjects = Object.keys(SUBJECTS) as Subject[];
  return [
    row({
      name: "wrap: the same node:crypto calls and nothing else",
      ...against(samples.calls!),
      note: "createCipheriv, setAAD, update, final, getAuthTag: a GCM context for each message",
    }),
    ...subjects.map((subject) => rowOf("openssl", subject)),
    ...subjects.map((subject) => rowOf("node", subject)),
  ];
}

function subjectsOf(cipher: Cipher): Record<Subject, () => void> {
  const leases = heldLeases(undefined, cipher);
  const edge = createOperations({ access: allowAll, leases, recorder: ignoreAll });
  const create = { tenant: "tenant-a", service: "billing" };
  const createInContext = { ...create, context: CONTEXT };
  const blobOf = (request: typeof create) => (edge.createKey(CALLER, request) as { wrapped: Uint8Array }).wrapped;
  const open = (request: { wrapped: Uint8Array }): void => {
    (edge.decryptKey(CALLER, request) as Opened).plaintext.fill(0);
  };
  const one = { wrapped: blobOf(create) };
  const inContext = { wrapped: blobOf(createInContext), context: CONTEXT };
  const many = Array.from({ length: MANY_SALTS }, () => {
    // Each session draws its own salt, as each process of a fleet does.
    const session = leases.begin(cipher);
    const wrapped = session.createKey(32, new Uint8Array(0));
    session.wipe();
    return { wrapped };
  });
  // A fixed shuffle that visits all of them in no order that a cache of the processor could learn.
  let place = 0;
  return {
    create: () => void edge.createKey(CALLER, create),
    createInContext: () => void edge.createKey(CALLER, createInContext),
    decrypt: () => open(one),
    decryptInContext: () => open(inContext),
    decryptMany() {
      place = (place + 617) % MANY_SALTS;
      open(many[place]!);
    },
  };
}
