// The AWS Encryption SDK for JavaScript with a raw AES keyring and its caching materials manager, as its documents show it:
// the records of peers/records.mjs encrypted and decrypted, the data key behind them reused from the cache. Prints { seal, open } in
// operations per second of processor time.

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
const value = new Uint8Array(100).fill(7);
// Without a signature over each message: the edge makes none either, and one alone takes milliseconds.
const suiteId = AlgorithmSuiteIdentifier.ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY;
const encryptionContext = { tenant: "tenant-a", column: "iban", id: "4711" };
const options = { encryptionContext, plaintextLength: value.length, suiteId };

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

const { result } = await encrypt(manager, value, options);
const found = {
  seal: await rate(() => encrypt(manager, value, options)),
  open: await rate(() => decrypt(manager, result)),
};
console.log(JSON.stringify(found));
