/** Blobs by an implementation of the page (docs/blob-format.md) that shares no line with the edge's. */
import { createCipheriv, createDecipheriv, hkdfSync } from "node:crypto";

export interface ReferenceBlob {
  readonly suite: 1 | 2;
  readonly tenant: string;
  readonly service: string;
  readonly version: number;
  readonly context: Readonly<Record<string, string>>;
}

export function referenceContext(context: Readonly<Record<string, string>>): Buffer {
  const entries = Object.entries(context).map(([key, value]) => [Buffer.from(key), Buffer.from(value)] as const);
  if (entries.length === 0) return Buffer.alloc(0);
  entries.sort(([one], [other]) => Buffer.compare(one, other));
  const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
  return Buffer.concat([
    u16(entries.length),
    ...entries.flatMap(([key, value]) => [u16(key.length), key, u16(value.length), value]),
  ]);
}

function identityOf({ suite, tenant, service, version }: Omit<ReferenceBlob, "context">): Buffer {
  const fixed = Buffer.from("4c340100" + "00000000", "hex");
  fixed[3] = suite;
  fixed.writeUInt32BE(version, 4);
  const names = [tenant, service].flatMap((name) => [Buffer.from([name.length]), Buffer.from(name)]);
  return Buffer.concat([fixed, ...names]);
}

function derive(serviceKey: Uint8Array, identity: Buffer, salt: Buffer): [key: Buffer, commitment: Buffer] {
  const info = Buffer.concat([Buffer.from("crypto-edge l4 wrap v1\0"), identity]);
  const okm = Buffer.from(hkdfSync("sha256", serviceKey, salt, info, 64));
  return [okm.subarray(0, 32), okm.subarray(32)];
}

export function referenceSeal(
  serviceKey: Uint8Array,
  blob: ReferenceBlob,
  salt: Buffer,
  nonce: Buffer,
  plaintext: Uint8Array,
): Buffer {
  const identity = identityOf(blob);
  const [key, commitment] = derive(serviceKey, identity, salt);
  const header = Buffer.concat([identity, salt, nonce, commitment]);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(Buffer.concat([header, referenceContext(blob.context)]));
  return Buffer.concat([header, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** Undefined where the blob must not open. */
export function referenceOpen(serviceKey: Uint8Array, blob: ReferenceBlob, bytes: Buffer): Buffer | undefined {
  const identity = identityOf(blob);
  const at = identity.length;
  if (!bytes.subarray(0, at).equals(identity) || bytes.length < at + 76) return undefined;
  const [salt, nonce] = [bytes.subarray(at, at + 16), bytes.subarray(at + 16, at + 28)];
  const [key, commitment] = derive(serviceKey, identity, salt);
  if (!bytes.subarray(at + 28, at + 60).equals(commitment)) return undefined;
  const decipher = createDecipheriv("aes-256-gcm", key, nonce);
  decipher.setAAD(Buffer.concat([bytes.subarray(0, at + 60), referenceContext(blob.context)]));
  decipher.setAuthTag(bytes.subarray(-16));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(at + 60, -16)), decipher.final()]);
  } catch {
    return undefined;
  }
}
