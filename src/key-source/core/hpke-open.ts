/**
 * Opens what the Core sealed to this edge (core-protocol.md, "Leases"): HPKE base mode with DHKEM(X25519,
 * HKDF-SHA256), HKDF-SHA256, AES-256-GCM by `@hpke/core`, with an AEAD of our own.
 *
 * The library's AES-GCM is WebCrypto's, which leaves copies of the plaintext in native memory that nobody can wipe.
 * Ours decrypts synchronously, and every buffer that held the key is known and wiped.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { AeadId, type AeadInterface, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import { wipe } from "../../wipe.ts";

const INFO = new TextEncoder().encode("crypto-edge lease v1");
const TAG_BYTES = 16;

type Bytes = ArrayBufferLike | ArrayBufferView;

/** AES-256-GCM for `@hpke/core`, by synchronous `node:crypto`. */
class WipingAes256Gcm implements AeadInterface {
  readonly id = AeadId.Aes256Gcm;
  readonly keySize = 32;
  readonly nonceSize = 12;
  readonly tagSize = TAG_BYTES;

  createEncryptionContext(rawKey: Bytes) {
    const key = view(rawKey);
    return {
      async seal(iv: Bytes, data: Bytes, aad: Bytes): Promise<ArrayBuffer> {
        const cipher = createCipheriv("aes-256-gcm", key, view(iv));
        cipher.setAAD(view(aad));
        const sealed = Buffer.concat([cipher.update(view(data)), cipher.final(), cipher.getAuthTag()]);
        return Uint8Array.from(sealed).buffer;
      },
      async open(iv: Bytes, data: Bytes, aad: Bytes): Promise<ArrayBuffer> {
        const sealed = view(data);
        const decipher = createDecipheriv("aes-256-gcm", key, view(iv), { authTagLength: TAG_BYTES });
        decipher.setAAD(view(aad));
        decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
        const decrypted = decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
        const plaintext = Uint8Array.from(decrypted);
        wipe(decrypted);
        try {
          decipher.final();
        } catch (error) {
          wipe(plaintext);
          throw error;
        } finally {
          wipe(key);
        }
        return plaintext.buffer;
      },
    };
  }
}

const SUITE = new CipherSuite({
  kem: new DhkemX25519HkdfSha256(),
  kdf: new HkdfSha256(),
  aead: new WipingAes256Gcm(),
});

/** An ephemeral key pair, new for each lease call: its private half opens the answer and is then forgotten. */
export interface LeaseRecipient {
  /** 32 bytes, for the request. */
  readonly publicKey: Uint8Array;
  /**
   * The service key that was sealed. The buffer is the caller's, who wipes it.
   * Rejects when the seal does not fit the key, the aad or this recipient.
   */
  open(enc: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Promise<Uint8Array>;
}

export async function createLeaseRecipient(): Promise<LeaseRecipient> {
  const keys = await SUITE.kem.generateKeyPair();
  return {
    publicKey: new Uint8Array(await SUITE.kem.serializePublicKey(keys.publicKey)),
    async open(enc, sealed, aad) {
      const context = await SUITE.createRecipientContext({ recipientKey: keys.privateKey, enc, info: INFO });
      return new Uint8Array(await context.open(sealed, aad));
    },
  };
}

/** The additional data of one sealed version: `<tenant>/<service>/<version>`. */
export function leaseAad(tenant: string, service: string, version: number): Uint8Array {
  return new TextEncoder().encode(`${tenant}/${service}/${version}`);
}

function view(bytes: Bytes): Uint8Array {
  return ArrayBuffer.isView(bytes)
    ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    : new Uint8Array(bytes);
}
