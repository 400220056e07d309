/**
 * Opens what the Core sealed to this edge (core-protocol.md, "Leases"): HPKE (RFC 9180), the recipient's half, base mode,
 * DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
 *
 * By `node:crypto` rather than a library on WebCrypto: that copies every key and plaintext to memory that it frees
 * unwiped, where 24 of 32 bytes stay for long. Here each secret is in a buffer that is known, and wiped.
 */
import { createDecipheriv, createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from "node:crypto";
import { allocateSecret, wipe } from "../../../base/wipe.ts";
import { hmacSha256 } from "../../cipher/hmac.ts";

const ascii = (text: string): Buffer => Buffer.from(text, "latin1");
/** The salt of every extraction here: none. */
const EMPTY = new Uint8Array(0);
const INFO = ascii("crypto-edge lease v1");
const VERSION = ascii("HPKE-v1");
/** RFC 9180, 4.1: "KEM" and the KEM's id. */
const KEM_SUITE = Buffer.concat([ascii("KEM"), Buffer.from([0x00, 0x20])]);
/** RFC 9180, 5.1: "HPKE" and the ids of KEM, KDF and AEAD. */
const HPKE_SUITE = Buffer.concat([ascii("HPKE"), Buffer.from([0x00, 0x20, 0x00, 0x01, 0x00, 0x02])]);
/** The SPKI encoding of an X25519 public key (RFC 8410): the raw bytes stand at its end. */
const X25519_SPKI = Buffer.concat([Buffer.from("302a300506032b656e032100", "hex"), Buffer.alloc(32)]);
const SPKI_KEY = { key: X25519_SPKI, format: "der", type: "spki" } as const;
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const TAG_LENGTH = { authTagLength: TAG_BYTES } as const;
/** As text, so that no call makes a key object and a buffer of it. */
const PUBLIC_AS_JWK = { publicKeyEncoding: { format: "jwk" } } as const;
/** What goes into the library, in buffers that are used again: opening waits for nothing, so one set serves every call. */
const RECIPIENT = Buffer.alloc(KEY_BYTES);
const NONCE = Buffer.alloc(NONCE_BYTES);
const TAG = Buffer.alloc(TAG_BYTES);
/** Two names of 128 letters, of up to three bytes each, and a number. */
const AAD = Buffer.alloc(1_024);
/** Those that were needed, by their length. */
const AAD_BEGINNINGS: (Uint8Array | undefined)[] = new Array(AAD.length + 1).fill(undefined);
/** Every expansion here takes one round of HKDF-Expand, whose counter stands at the end of its info. */
const FIRST_ROUND = Uint8Array.of(1);

/** RFC 9180, 4: what stands before the key in LabeledExtract, */
function extractPrefix(suite: Uint8Array, label: string): Uint8Array {
  return Buffer.concat([VERSION, suite, ascii(label)]);
}

/** and before the info in LabeledExpand. */
function expandPrefix(suite: Uint8Array, label: string, length: number): Uint8Array {
  return Buffer.concat([Uint8Array.of(length >> 8, length & 0xff), VERSION, suite, ascii(label)]);
}

const EAE_PRK = extractPrefix(KEM_SUITE, "eae_prk");
const SHARED_SECRET = expandPrefix(KEM_SUITE, "shared_secret", KEY_BYTES);
const SECRET = extractPrefix(HPKE_SUITE, "secret");
const KEY = expandPrefix(HPKE_SUITE, "key", KEY_BYTES);
const BASE_NONCE = expandPrefix(HPKE_SUITE, "base_nonce", NONCE_BYTES);

/** RFC 9180, 5.1: mode_base, the hash of no PSK id, the hash of `info`. */
function contextOf(info: Uint8Array): Uint8Array {
  return Buffer.concat([
    Buffer.from([0x00]),
    hmacSha256(EMPTY, extractPrefix(HPKE_SUITE, "psk_id_hash")),
    hmacSha256(EMPTY, extractPrefix(HPKE_SUITE, "info_hash"), info),
  ]);
}

const LEASE_CONTEXT = contextOf(INFO);

/** An ephemeral key pair, new for each lease call: its private half opens the answer and is then forgotten. */
export interface LeaseRecipient {
  /** base64url of 32 bytes, for the request. */
  readonly publicKey: string;
  /**
   * The service key that was sealed. The buffer is the caller's, who wipes it.
   *
   * @throws Error when the seal does not fit the key, the aad or this recipient.
   */
  open(enc: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Uint8Array;
}

export function createLeaseRecipient(): LeaseRecipient {
  const { publicKey, privateKey } = generateKeyPairSync("x25519", PUBLIC_AS_JWK);
  return new Recipient(privateKey, publicKey.x!, LEASE_CONTEXT);
}

/** A recipient whose key and `info` are given, as published vectors give them. */
export function recipientOf(privateKey: KeyObject, recipient: Uint8Array, info: Uint8Array): LeaseRecipient {
  return new Recipient(privateKey, Buffer.from(recipient).toString("base64url"), contextOf(info));
}

class Recipient implements LeaseRecipient {
  readonly publicKey: string;
  readonly #privateKey: KeyObject;
  readonly #context: Uint8Array;

  constructor(privateKey: KeyObject, publicKey: string, context: Uint8Array) {
    this.publicKey = publicKey;
    this.#privateKey = privateKey;
    this.#context = context;
  }

  open(enc: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Uint8Array {
    RECIPIENT.write(this.publicKey, "base64url");
    const sharedSecret = decapsulate(this.#privateKey, RECIPIENT, enc);
    const secret = hmacSha256(sharedSecret, SECRET);
    const key = hmacSha256(secret, KEY, this.#context, FIRST_ROUND);
    const nonce = hmacSha256(secret, BASE_NONCE, this.#context, FIRST_ROUND);
    try {
      for (let index = 0; index < NONCE_BYTES; index++) NONCE[index] = nonce[index]!;
      return decrypt(key, sealed, aad);
    } finally {
      wipe(sharedSecret);
      wipe(secret);
      wipe(key);
      wipe(nonce);
      wipe(NONCE);
    }
  }
}

/** The additional data of one sealed version, `<tenant>/<service>/<version>`, in memory that the next call uses again. */
export function leaseAad(tenant: string, service: string, version: number): Uint8Array {
  const text = `${tenant}/${service}/${version}`;
  const length = Buffer.byteLength(text);
  if (length > AAD.length) throw new RangeError("no tenant and service have names so long");
  AAD.write(text);
  let aad = AAD_BEGINNINGS[length];
  if (aad === undefined) {
    aad = AAD.subarray(0, length);
    AAD_BEGINNINGS[length] = aad;
  }
  return aad;
}

/** Under the nonce that stands in `NONCE`. */
function decrypt(key: Uint8Array, sealed: Uint8Array, aad: Uint8Array): Uint8Array {
  const end = sealed.length - TAG_BYTES;
  if (end < 0) throw new RangeError("what was sealed is shorter than its tag");
  for (let index = 0; index < TAG_BYTES; index++) TAG[index] = sealed[end + index]!;
  const decipher = createDecipheriv("aes-256-gcm", key, NONCE, TAG_LENGTH);
  decipher.setAAD(aad);
  decipher.setAuthTag(TAG);
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
  X25519_SPKI.set(enc, X25519_SPKI.length - KEY_BYTES);
  const publicKey = createPublicKey(SPKI_KEY);
  const dh = diffieHellman({ privateKey, publicKey });
  try {
    // RFC 9180, 7.1.4: the all-zero value is refused, whatever the library does.
    if (isZero(dh)) throw new RangeError("an encapsulated key of low order");
    const prk = hmacSha256(EMPTY, EAE_PRK, dh);
    const sharedSecret = hmacSha256(prk, SHARED_SECRET, enc, recipient, FIRST_ROUND);
    wipe(prk);
    return sharedSecret;
  } finally {
    wipe(dh);
  }
}

function isZero(bytes: Uint8Array): boolean {
  let bits = 0;
  for (const byte of bytes) bits |= byte;
  return bits === 0;
}
