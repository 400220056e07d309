/** Standard base64 with padding (RFC 4648, section 4): how bytes travel in the protocols of other systems. */

const STRICT = { lastChunkHandling: "strict" } as const;

export function toBase64(bytes: Uint8Array): string {
  return bytes.toBase64();
}

/** The bytes, or undefined for text that is not padded base64: other characters, no padding, bits left over. The caller owns them. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.fromBase64(text, STRICT);
  } catch {
    return undefined;
  }
}
