// node-vault: an ordinary session, and a refusal.
import assert from "node:assert";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.CLIENT_MODULES}/x.js`);
const vault = require("node-vault")({
  apiVersion: "v1",
  endpoint: process.env.VAULT_ADDR,
  token: "any",
  namespace: process.env.VAULT_NAMESPACE,
});
const plaintext = Buffer.from("value").toString("base64");
const { data } = await vault.encryptData({ name: "billing", plaintext });
assert.equal((await vault.decryptData({ name: "billing", ciphertext: data.ciphertext })).data.plaintext, plaintext);
const made = await vault.write("transit/datakey/plaintext/billing", { bits: 256 });
assert.equal(Buffer.from(made.data.plaintext, "base64").length, 32);
assert.equal((await vault.health()).sealed, false);
assert.equal((await vault.read("transit/keys/billing")).data.name, "billing");
assert(Array.isArray((await vault.list("transit/keys")).data.keys));
await assert.rejects(
  vault.decryptData({ name: "billing", ciphertext: "vault:v1:AAAA" }),
  (error) => error.response.statusCode === 400,
);
console.log("ok");
