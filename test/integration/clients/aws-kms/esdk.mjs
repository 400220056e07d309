// AWS Encryption SDK for JavaScript: a message under two keys, opened by one of them, strictly and by discovery.
import assert from "node:assert";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.CLIENT_MODULES}/x.js`);
const { buildClient, CommitmentPolicy, KmsKeyringNode } = require("@aws-crypto/client-node");
const { encrypt, decrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT);
const generatorKeyId = process.env.KMS_ARN;
const keyIds = [generatorKeyId.replace("billing", "payments")];
const { result } = await encrypt(new KmsKeyringNode({ generatorKeyId, keyIds }), Buffer.from("hello"), {
  encryptionContext: { x: "y" },
});
for (const keyring of [new KmsKeyringNode({ keyIds }), new KmsKeyringNode({ discovery: true })]) {
  const { plaintext, messageHeader } = await decrypt(keyring, result);
  assert.equal(plaintext.toString(), "hello");
  assert.equal(messageHeader.encryptionContext.x, "y");
}
console.log("ok");
