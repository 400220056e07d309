/** CreateKey and DecryptKey in this process, their lease held, against the processor's own speed at AES-256-GCM. */

import { execFile } from "node:child_process";
import { createCipheriv } from "node:crypto";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { BenchContext } from "./harness/context.ts";
import { opensslGcmPerSecond } from "./harness/openssl.ts";
import { compare, interleave, ratePerCpuSecond, type Sample } from "./harness/rounds.ts";
import { type Row, row } from "./harness/row.ts";

export const about = "CreateKey and DecryptKey in process against openssl speed at 32 bytes";
export const guards = true;

const MANY_SALTS = 1000;

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

export type Subject = keyof typeof SUBJECTS;

export async function run(context: BenchContext): Promise<Row[]> {
  const candidates: Record<string, Sample> = {
    openssl: opensslGcmPerSecond,
    calls: () => ratePerCpuSecond(bareCalls, context.sampleMs),
  };
  for (const adapter of ["openssl", "node"]) {
    for (const subject of Object.keys(SUBJECTS)) {
      candidates[`${adapter} ${subject}`] = () => rateOf(adapter, subject, context.sampleMs);
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

async function rateOf(adapter: string, subject: string, sampleMs: number): Promise<number> {
  const script = fileURLToPath(new URL("servers/wrap-rates.ts", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [script, adapter, subject, String(sampleMs)]);
  return Number(stdout);
}
