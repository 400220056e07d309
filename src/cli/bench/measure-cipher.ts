/** Wrapping and unwrapping in this process, beside the runtime's AES-256-GCM alone: rounds in turn, medians. */
import { createCipheriv, randomBytes } from "node:crypto";
import { loadSystemCalls } from "../../base/system/system-calls.ts";
import { parseBlob } from "../../edge/cipher/blob.ts";
import { CIPHERS, openCipher } from "../../edge/cipher/open-cipher.ts";
import { createCipher } from "../../edge/cipher/sessions.ts";
import { regionTaker } from "../../edge/key-memory/region.ts";

const ROUNDS = 7;
const CALLS_AT_ONCE = 2_000;
const NO_CONTEXT = new Uint8Array(0);

export interface CipherRate {
  readonly name: string;
  readonly perSecond: number;
  /** To AES-256-GCM alone, in the same run. */
  readonly ratio: number;
}

/** With the adapter that an edge takes by itself on this machine. */
export async function measureCipher(totalMs: number): Promise<CipherRate[]> {
  const serviceKey = randomBytes(32);
  const { calls } = await loadSystemCalls();
  const takeMemory = regionTaker("heap", calls);
  const adapter = await openCipher({
    use: "auto",
    requireFips: false,
    takeMemory,
    ciphers: CIPHERS,
    warn: (message) => console.error(message),
  });
  const session = createCipher({ adapter }).begin(
    { tenant: "tenant-a", service: "billing", version: 1 },
    { use: (reader) => reader(serviceKey) },
  );
  const dataKey = new Uint8Array(32);
  const blob = session.wrap(dataKey, NO_CONTEXT);
  const key = randomBytes(32);
  const nonce = new Uint8Array(12);
  const header = blob.subarray(0, blob.length - 48);
  const subjects: [name: string, run: () => unknown][] = [
    ["AES-256-GCM alone", () => encryptAlone(key, nonce, header, dataKey)],
    [`make and wrap a data key (${adapter.name})`, () => session.createKey(32, NO_CONTEXT)],
    [`unwrap a data key (${adapter.name})`, () => session.unwrap(parseBlob(blob), NO_CONTEXT)],
  ];
  const sliceMs = totalMs / (subjects.length * (ROUNDS + 1));
  const rates = subjects.map((): number[] => []);
  for (let round = 0; round <= ROUNDS; round++) {
    subjects.forEach(([, run], index) => {
      const rate = ratePerSecond(run, sliceMs);
      // The first round warms up.
      if (round > 0) rates[index]!.push(rate);
    });
  }
  session.wipe();
  const baseline = median(rates[0]!);
  return subjects.map(([name], index) => {
    const perSecond = median(rates[index]!);
    return { name, perSecond, ratio: perSecond / baseline };
  });
}

function encryptAlone(key: Uint8Array, nonce: Uint8Array, additionalData: Uint8Array, plaintext: Uint8Array): void {
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(additionalData);
  cipher.update(plaintext);
  cipher.final();
  cipher.getAuthTag();
}

function ratePerSecond(run: () => unknown, durationMs: number): number {
  const startMs = performance.now();
  let calls = 0;
  let elapsedMs = 0;
  do {
    for (let call = 0; call < CALLS_AT_ONCE; call++) run();
    calls += CALLS_AT_ONCE;
    elapsedMs = performance.now() - startMs;
  } while (elapsedMs < durationMs);
  return (calls * 1000) / elapsedMs;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
