/**
 * Opens what the Core sealed to this edge (core-protocol.md, "Leases"): HPKE (RFC 9180), the recipient's half, base mode,
 * DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
 *
 * By `node:crypto` rather than a library on WebCrypto: that copies every key and plaintext to memory that it frees
 * unwiped, where 24 of 32 bytes stay for long. Here each secret is in a buffer that is known, and wiped.
 */
import {
  createDecipheriv,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
} from "node:crypto";
import { allocateSecret, wipe } from "../../../base/wipe.ts";
import { hmacSha256 } from "../../cipher/hmac.ts";

const ascii = (text: string): Buffer => Buffer.from(text, "latin1");
const EMPTY = new Uint8Array(0);
const INFO = ascii("crypto-edge lease v1");
const VERSION = ascii("HPKE-v1");
/** RFC 9180, 4.1: "KEM" and the KEM's id. */
const KEM_SUITE = Buffer.concat([ascii("KEM"), Buffer.from([0x00, 0x20])]);
/** RFC 9180, 5.1: "HPKE" and the ids of KEM, KDF and AEAD. */
const HPKE_SUITE = Buffer.concat([ascii("HPKE"), Buffer.from([0x00, 0x20, 0x00, 0x01, 0x00, 0x02])]);
/** What stands before the 32 raw bytes in the SPKI encoding of an X25519 public key (RFC 8410). */
const X25519_SPKI = Buffer.from("302a300506032b656e032100", "hex");
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** RFC 9180, 5.1: mode_base, the hash of no PSK id, the hash of `info`. */
function contextOf(info: Uint8Array): Uint8Array {
  return Buffer.concat([
    Buffer.from([0x00]),
    labeledExtract(HPKE_SUITE, "psk_id_hash", EMPTY),
    labeledExtract(HPKE_SUITE, "info_hash", info),
  ]);
}

const LEASE_CONTEXT = contextOf(INFO);

/** An ephemeral key pair, new for each lease call: its private half opens the answer and is then forgotten. */
export interface LeaseRecipient {
  /** 32 bytes, for the request. */
  readonly publicKey: Uint8Array;
  /**
   * The service key that was sealed. The buffer is the caller's, who wipes it.
   *
   * @throws Error when the seal does not fit the key, the aad or this recipient.
   */
  open(enc: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Uint8Array;
}

export function createLeaseRecipient(): LeaseRecipient {
  const { publicKey, privateKey } = generateKeyPairSync("x25519");
  const recipient = publicKey.export({ format: "der", type: "spki" }).subarray(X25519_SPKI.length);
  return createRecipient(privateKey, recipient, LEASE_CONTEXT);
}

/** A recipient whose key and `info` are given, as published vectors give them. */
export function recipientOf(privateKey: KeyObject, recipient: Uint8Array, info: Uint8Array): LeaseRecipient {
  return createRecipient(privateKey, recipient, contextOf(info));
}

function createRecipient(privateKey: KeyObject, recipient: Uint8Array, context: Uint8Array): LeaseRecipient {
  return {
    publicKey: recipient,
    open(enc, sealed, aad) {
      const sharedSecret = decapsulate(privateKey, recipient, enc);
      const secret = hmacSha256(sharedSecret, VERSION, HPKE_SUITE, ascii("secret"));
      const key = labeledExpand(HPKE_SUITE, secret, "key", context, KEY_BYTES);
      const nonce = labeledExpand(HPKE_SUITE, secret, "base_nonce", context, NONCE_BYTES);
      try {
        return decrypt(key, nonce, sealed, aad);
      } finally {
        for (const bytes of [sharedSecret, secret, key]) wipe(bytes);
      }
    },
  };
}

/** The additional data of one sealed version: `<tenant>/<service>/<version>`. */
export function leaseAad(tenant: string, service: string, version: number): Uint8Array {
  return new TextEncoder().encode(`${tenant}/${service}/${version}`);
}

function decrypt(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Uint8Array {
  const end = sealed.length - TAG_BYTES;
  if (end < 0) throw new RangeError("what was sealed is shorter than its tag");
  const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(end));
  const decrypted = decipher.update(sealed.subarray(0, end));
  try {
    decipher.final();
    const plaintext = allocateSecret(decrypted.length);
    plaintext.set(decrypted);
    return plaintext;
  } finally {
    wipe(decrypted);
  }
}

/** RFC 9180, 4.1: Decap. */
function decapsulate(privateKey: KeyObject, recipient: Uint8Array, enc: Uint8Array): Uint8Array {
  if (enc.length !== KEY_BYTES) throw new RangeError("an encapsulated key has 32 bytes");
  const publicKey = createPublicKey({ key: Buffer.concat([X25519_SPKI, enc]), format: "der", type: "spki" });
  const dh = diffieHellman({ privateKey, publicKey });
  try {
    // RFC 9180, 7.1.4: the all-zero value is refused, whatever the library does.
    if (dh.every((byte) => byte === 0)) throw new RangeError("an encapsulated key of low order");
    const prk = labeledExtract(KEM_SUITE, "eae_prk", dh);
    const sharedSecret = labeledExpand(KEM_SUITE, prk, "shared_secret", Buffer.concat([enc, recipient]), KEY_BYTES);
    wipe(prk);
    return sharedSecret;
  } finally {
    wipe(dh);
  }
}

/** Without a salt, as all here but one are: the secret is the message, which the library does not copy. */
function labeledExtract(suite: Uint8Array, label: string, inputKey: Uint8Array): Uint8Array {
  return createHmac("sha256", EMPTY).update(VERSION).update(suite).update(ascii(label)).update(inputKey).digest();
}

/** For at most 32 bytes: one round of HKDF-Expand. The result is the caller's to wipe. */
function labeledExpand(
  suite: Uint8Array,
  secret: Uint8Array,
  label: string,
  info: Uint8Array,
  length: number,
): Uint8Array {
  const lengthBytes = Uint8Array.of(length >> 8, length & 0xff);
  const block = hmacSha256(secret, lengthBytes, VERSION, suite, ascii(label), info, Uint8Array.of(1));
  const wanted = allocateSecret(length);
  for (let index = 0; index < length; index++) wanted[index] = block[index]!;
  wipe(block);
  return wanted;
}
