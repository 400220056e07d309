// The AWS Encryption SDK for JavaScript with a raw AES keyring and its caching materials manager, as its documents show it:
// 32 bytes encrypted and decrypted, the data key behind them reused from the cache. Prints { create, decrypt }, each with its
// operations per second of processor time, and p50 and p99 in microseconds.

import { randomBytes } from "node:crypto";
import {
  AlgorithmSuiteIdentifier,
  buildClient,
  CommitmentPolicy,
  getLocalCryptographicMaterialsCache,
  NodeCachingMaterialsManager,
  RawAesKeyringNode,
  RawAesWrappingSuiteIdentifier,
} from "@aws-crypto/client-node";

const forMs = Number(process.argv[2] ?? 1000);
const { encrypt, decrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT);
const keyring = new RawAesKeyringNode({
  keyName: "billing",
  keyNamespace: "tenant-a",
  unencryptedMasterKey: new Uint8Array(randomBytes(32)),
  wrappingSuite: RawAesWrappingSuiteIdentifier.AES256_GCM_IV12_TAG16_NO_PADDING,
});
const manager = new NodeCachingMaterialsManager({
  backingMaterials: keyring,
  cache: getLocalCryptographicMaterialsCache(1000),
  maxAge: 300_000,
  maxMessagesEncrypted: 2 ** 32 - 1,
});
const dataKey = randomBytes(32);
// Without a signature over each message: the edge makes none either, and one alone takes milliseconds.
const suiteId = AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY;
const options = { encryptionContext: { tenant: "tenant-a" }, plaintextLength: 32, suiteId };

async function rate(operation) {
  for (let index = 0; index < 200; index++) await operation();
  const startedCpu = process.cpuUsage();
  const started = performance.now();
  let calls = 0;
  do {
    for (let index = 0; index < 16; index++) await operation();
    calls += 16;
  } while (performance.now() - started < forMs);
  const { user, system } = process.cpuUsage(startedCpu);
  return calls / ((user + system) / 1e6);
}

/** The median and the 99th percentile of single operations, in microseconds. */
async function percentiles(operation) {
  const took = new Float64Array(2_000);
  for (let index = 0; index < took.length; index++) {
    const started = performance.now();
    await operation();
    took[index] = (performance.now() - started) * 1000;
  }
  took.sort();
  return { p50: took[1_000], p99: took[1_980] };
}

const { result } = await encrypt(manager, dataKey, options);
const create = () => encrypt(manager, dataKey, options);
const opening = () => decrypt(manager, result);
console.log(
  JSON.stringify({
    create: { perSecond: await rate(create), ...(await percentiles(create)) },
    decrypt: { perSecond: await rate(opening), ...(await percentiles(opening)) },
  }),
);
