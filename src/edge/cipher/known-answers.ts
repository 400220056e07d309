/**
 * Known-answer tests: what an adapter must give for two published blobs, one of each suite (test/vectors). Run at start,
 * before an adapter touches a real key: a library that answers wrong, or a plugin's mistake, must not make a blob.
 */
import { fromBase64url } from "../../base/base64url.ts";
import { allocateSecret, wipe } from "../../base/wipe.ts";
import { encodeIdentity, parseBlob } from "./blob.ts";
import type { CipherAdapter, DerivedKey, ServiceKeyReader } from "./cipher.ts";
import { type EncryptionContext, encodeContext } from "./context.ts";
import { copyOf } from "./copy.ts";
import { infoFor } from "./key-derivation.ts";

interface KnownAnswer {
  readonly serviceKey: string;
  readonly context: EncryptionContext;
  readonly blob: string;
  readonly plaintext: string;
}

/** "one context entry" of blob-v1.json, and "96 bytes with a context" of blob-v1-suite-2.json. */
const KNOWN_ANSWERS: readonly KnownAnswer[] = [
  {
    serviceKey: "aJERVzPYRdIaD8gB_gIvRuH5f6ltP06Y7xEFaq0m8NE",
    context: { purpose: "invoice" },
    blob: "TDQBAQAAAAEIdGVuYW50LWIHZGVmYXVsdDiPP_qqbBwG_nnyyd5vGhh-uwpJ46wqhy2TxJY435wqC87EGnxxNdWvsJV9MzPT2pCk5qNLANp7jjOevgq91Gqi0egPiafENw9sKObyKAs_jgUaeYrvDUhcoCOPHM9XtgedHkmPZMTtXp326Q",
    plaintext: "KXqXuOcQ8HDIy5P3fXtPoBpqhDGh0tSPzk5JC08xAKI",
  },
  {
    serviceKey: "phCb__e9BZUrLAhI1mOdpGcvJBx8jmDD0wN245DuasI",
    context: { invoice: "4711" },
    blob: "TDQBAgAAAAMIdGVuYW50LWEHYmlsbGluZ461nTlOnC5QOhwjy8OYXmDpty7_uNeAxODBtuXjamTV-yYlIKMM3OWHdBPFVeWZJFVTWFp80wUKg7FjxVKyNhNSEGeO3UlJGzCZGE0SvIxNlMZaCfWqrLm6JWce2XjeG8aEhb0GvANQK0cdH2PDDwFg011v7IuqjhoA50vv2znq0Z3GUHLDnS6yleU5l4hAvU2Zs__7eDAgeXMiwXVDg_7tWSNn3WYmCUISbk0",
    plaintext:
      "IsIjOWVQk3qtvEahLWdQnNhRQ74Px5rdqU01LZKqfasvfCmfHhRhkHGh2IhAqTcRAtZNMYVMbWIdQHU_m0FQEzMaYnvQiyZnmTNvGbLTxFzIbdFSbEXTNHr8Sfp1_19_",
  },
];

/** Undefined when every answer is right; else the first that is not. */
export function wrongAnswer(adapter: CipherAdapter): string | undefined {
  for (const known of KNOWN_ANSWERS) {
    const wrong = wrongAnswerTo(adapter, known);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

function wrongAnswerTo(adapter: CipherAdapter, known: KnownAnswer): string | undefined {
  const bytes = fromBase64url(known.blob)!;
  const expected = fromBase64url(known.plaintext)!;
  const key = fromBase64url(known.serviceKey)!;
  const serviceKey: ServiceKeyReader = { use: (reader) => reader(key) };
  const context = encodeContext(known.context);
  const { saltOffset, nonceOffset, commitmentOffset, ciphertextOffset, suite, ...name } = parseBlob(bytes);
  const salt = copyOf(bytes, saltOffset, nonceOffset);
  const info = infoFor(encodeIdentity(name, suite));
  const commitment = copyOf(bytes, commitmentOffset, ciphertextOffset);
  const changed = copyOf(commitment, 0, 32);
  changed[31]! ^= 1;

  if (adapter.deriveKey(serviceKey, salt, info, changed) !== undefined) return "it takes a commitment that differs";
  const derived = adapter.deriveKey(serviceKey, salt, info, commitment);
  if (derived === undefined) return "HKDF-SHA-256 gives another key";
  try {
    const opened = derived.open(bytes, nonceOffset, ciphertextOffset, context);
    if (opened === undefined || !isEqual(opened, expected)) return "AES-256-GCM opens a published blob otherwise";
    const altered = copyOf(bytes, 0, bytes.length);
    altered[altered.length - 1]! ^= 1;
    if (derived.open(altered, nonceOffset, ciphertextOffset, context) !== undefined) return "it opens an altered blob";
    if (derived.open(bytes, nonceOffset, ciphertextOffset, new Uint8Array(0)) !== undefined) {
      return "it opens a blob under another context";
    }
    const sealed = derived.seal(copyOf(bytes, 0, ciphertextOffset), nonceOffset, context, expected);
    const again = derived.open(sealed, nonceOffset, ciphertextOffset, context);
    if (again === undefined || !isEqual(again, expected)) return "it does not open what it sealed";
    if (isEqual(sealed, bytes)) return "it uses a nonce twice";
    return wrongDataKey(derived, copyOf(bytes, 0, ciphertextOffset), nonceOffset, context);
  } finally {
    derived.close();
  }
}

/** Two data keys that it draws: each opens to what it told, and they differ. */
function wrongDataKey(
  derived: DerivedKey,
  header: Uint8Array,
  nonceOffset: number,
  context: Uint8Array,
): string | undefined {
  const told = [allocateSecret(32), allocateSecret(32)] as const;
  try {
    for (const dataKey of told) {
      const seal = dataKey === told[1] ? sealTo : sealRandom;
      const blob = seal(derived, header, nonceOffset, context, dataKey);
      const opened = derived.open(blob, nonceOffset, header.length, context);
      if (opened === undefined || !isEqual(opened, dataKey)) return "it does not open the data key that it made";
    }
    return isEqual(...told) ? "it makes a data key twice" : undefined;
  } finally {
    for (const dataKey of told) wipe(dataKey);
  }
}

type Seal = (
  derived: DerivedKey,
  header: Uint8Array,
  nonceOffset: number,
  context: Uint8Array,
  dataKey: Uint8Array,
) => Uint8Array;

const sealRandom: Seal = (derived, header, nonceOffset, context, dataKey) =>
  derived.sealRandom(header, nonceOffset, context, dataKey.length, dataKey);

const sealTo: Seal = (derived, header, nonceOffset, context, dataKey) => {
  if (derived.sealRandomTo === undefined) return sealRandom(derived, header, nonceOffset, context, dataKey);
  let blob = new Uint8Array(0);
  derived.sealRandomTo(header, nonceOffset, context, dataKey.length, true, (sealed, told) => {
    blob = new Uint8Array(sealed);
    if (told !== undefined) dataKey.set(told);
  });
  return blob;
};

function isEqual(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index]);
}
