// What an application would write with node:crypto alone: a data key, encrypted with AES-256-GCM under a key that it holds.
// No derivation, no commitment, no policy. Prints { create, decrypt }, each with its operations per
// second of processor time, and p50 and p99 in microseconds.
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";

const forMs = Number(process.argv[2] ?? 1000);
const key = randomBytes(32);
const header = Buffer.from("tenant-a/billing/3");

function create() {
  const dataKey = randomBytes(32);
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(header);
  return Buffer.concat([nonce, cipher.update(dataKey), cipher.final(), cipher.getAuthTag()]);
}

function decrypt(blob) {
  const decipher = createDecipheriv("aes-256-gcm", key, blob.subarray(0, 12));
  decipher.setAAD(header);
  decipher.setAuthTag(blob.subarray(44));
  return Buffer.concat([decipher.update(blob.subarray(12, 44)), decipher.final()]);
}

function rate(operation) {
  for (let index = 0; index < 5000; index++) operation();
  const startedCpu = process.cpuUsage();
  const started = performance.now();
  let calls = 0;
  do {
    for (let index = 0; index < 256; index++) operation();
    calls += 256;
  } while (performance.now() - started < forMs);
  const { user, system } = process.cpuUsage(startedCpu);
  return calls / ((user + system) / 1e6);
}

/** The median and the 99th percentile of single operations, in microseconds. */
function percentiles(operation) {
  const took = new Float64Array(20_000);
  for (let index = 0; index < took.length; index++) {
    const started = performance.now();
    operation();
    took[index] = (performance.now() - started) * 1000;
  }
  took.sort();
  return { p50: took[10_000], p99: took[19_800] };
}

const blob = create();
const opening = () => decrypt(blob);
console.log(
  JSON.stringify({
    create: { perSecond: rate(create), ...percentiles(create) },
    decrypt: { perSecond: rate(opening), ...percentiles(opening) },
  }),
);
