// Another implementation of the blob format, for Node and OpenSSL, written from docs/blob-format.md alone: it shares no line
// with src/. `node blob.mjs` reads one JSON request from standard input and prints one JSON answer; bytes are hex.
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

const request = JSON.parse(readFileSync(0, "utf8"));
const answer = request.do === "wrap" ? wrap(request) : open(request);
process.stdout.write(JSON.stringify(answer));

function wrap({ l3, tenant, service, version, context, l4 }) {
  const identity = Buffer.concat([
    Buffer.from([0x4c, 0x34, 1, 1]),
    unsigned(version, 4),
    unsigned(tenant.length, 1),
    Buffer.from(tenant, "ascii"),
    unsigned(service.length, 1),
    Buffer.from(service, "ascii"),
  ]);
  const salt = randomBytes(16);
  const nonce = randomBytes(12);
  const { key, commitment } = derive(l3, salt, identity);
  const start = Buffer.concat([identity, salt, nonce, commitment]);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(Buffer.concat([start, encodeContext(context)]));
  const ciphertext = Buffer.concat([cipher.update(Buffer.from(l4, "hex")), cipher.final()]);
  return { blob: Buffer.concat([start, ciphertext, cipher.getAuthTag()]).toString("hex") };
}

function open({ l3, blob, context }) {
  const bytes = Buffer.from(blob, "hex");
  const tenantLength = bytes[8];
  const identityLength = 10 + tenantLength + bytes[9 + tenantLength];
  const identity = bytes.subarray(0, identityLength);
  const salt = bytes.subarray(identityLength, identityLength + 16);
  const nonce = bytes.subarray(identityLength + 16, identityLength + 28);
  const start = bytes.subarray(0, identityLength + 60);
  const { key, commitment } = derive(l3, salt, identity);
  if (!commitment.equals(start.subarray(-32))) return { error: "commitment" };
  const decipher = createDecipheriv("aes-256-gcm", key, nonce);
  decipher.setAAD(Buffer.concat([start, encodeContext(context)]));
  decipher.setAuthTag(bytes.subarray(-16));
  const l4 = decipher.update(bytes.subarray(start.length, -16));
  try {
    decipher.final();
  } catch {
    return { error: "tag" };
  }
  return {
    l4: l4.toString("hex"),
    version: bytes.readUInt32BE(4),
    tenant: bytes.subarray(9, 9 + tenantLength).toString("ascii"),
    service: identity.subarray(10 + tenantLength).toString("ascii"),
  };
}

function derive(l3, salt, identity) {
  const info = Buffer.concat([Buffer.from("crypto-edge l4 wrap v1", "ascii"), Buffer.from([0]), identity]);
  const okm = Buffer.from(hkdfSync("sha256", Buffer.from(l3, "hex"), salt, info, 64));
  return { key: okm.subarray(0, 32), commitment: okm.subarray(32) };
}

function encodeContext(context) {
  const entries = Object.entries(context ?? {}).map((entry) => entry.map((text) => Buffer.from(text, "utf8")));
  if (entries.length === 0) return Buffer.alloc(0);
  entries.sort(([a], [b]) => Buffer.compare(a, b));
  const parts = [unsigned(entries.length, 2)];
  for (const text of entries.flat()) parts.push(unsigned(text.length, 2), text);
  return Buffer.concat(parts);
}

function unsigned(value, length) {
  const bytes = Buffer.alloc(length);
  bytes.writeUIntBE(value, 0, length);
  return bytes;
}
