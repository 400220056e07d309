import { describe, expect, test } from "bun:test";
import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import { createSealer } from "../../../src/core/hpke.ts";
import { createLeaseRecipient, leaseAad } from "../../../src/edge/key-source/core/hpke-open.ts";

/** Each half of HPKE against an implementation that is not ours. */
const independent = new CipherSuite({
  kem: new DhkemX25519HkdfSha256(),
  kdf: new HkdfSha256(),
  aead: new Aes256Gcm(),
});
const info = new TextEncoder().encode("crypto-edge lease v1");
const aad = Uint8Array.from(leaseAad("tenant-a", "billing", 3));
const serviceKey = crypto.getRandomValues(new Uint8Array(32));

async function sealIndependently(publicKey: string): Promise<{ enc: Uint8Array; sealed: Uint8Array }> {
  const recipientPublicKey = await independent.kem.deserializePublicKey(
    Uint8Array.from(Buffer.from(publicKey, "base64url")).buffer,
  );
  const sender = await independent.createSenderContext({ recipientPublicKey, info });
  const sealed = await sender.seal(Uint8Array.from(serviceKey).buffer, Uint8Array.from(aad).buffer);
  return { enc: new Uint8Array(sender.enc), sealed: new Uint8Array(sealed) };
}

describe("HPKE between Core and edge", () => {
  test("the edge opens what another implementation seals", async () => {
    const recipient = createLeaseRecipient();
    const { enc, sealed } = await sealIndependently(recipient.publicKey);
    expect(Buffer.from(recipient.open(enc, sealed, aad))).toEqual(Buffer.from(serviceKey));
  });

  test("another implementation opens what the Core seals", async () => {
    const keys = await independent.kem.generateKeyPair();
    const publicKey = new Uint8Array(await independent.kem.serializePublicKey(keys.publicKey));
    const { enc, sealed } = createSealer("crypto-edge lease v1").seal(publicKey, serviceKey, aad);
    const recipient = await independent.createRecipientContext({
      recipientKey: keys.privateKey,
      enc: Uint8Array.from(enc).buffer,
      info,
    });
    const opened = await recipient.open(Uint8Array.from(sealed).buffer, Uint8Array.from(aad).buffer);
    expect(Buffer.from(opened)).toEqual(Buffer.from(serviceKey));
  });

  test("the edge opens nothing that was sealed for another name or edge, altered, cut short, or made with a weak key", () => {
    const recipient = createLeaseRecipient();
    const sealer = createSealer("crypto-edge lease v1");
    const { enc, sealed } = sealer.seal(Buffer.from(recipient.publicKey, "base64url"), serviceKey, aad);
    expect(recipient.open(enc, sealed, aad)).toHaveLength(32);

    expect(() => recipient.open(enc, sealed, leaseAad("tenant-b", "billing", 3))).toThrow();
    expect(() => createLeaseRecipient().open(enc, sealed, aad)).toThrow();
    expect(() => recipient.open(new Uint8Array(32), sealed, aad)).toThrow();
    expect(() => recipient.open(enc.subarray(1), sealed, aad)).toThrow();
    for (const length of [0, 15, 16, 47]) expect(() => recipient.open(enc, sealed.subarray(0, length), aad)).toThrow();
    for (let index = 0; index < sealed.length; index++) {
      const altered = Uint8Array.from(sealed);
      altered[index]! ^= 1;
      expect(() => recipient.open(enc, altered, aad)).toThrow();
    }
  });
});
