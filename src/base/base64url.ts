/** Base64url without padding (RFC 4648, section 5): how bytes travel in JSON. */

const TEXT = /^[A-Za-z0-9_-]*$/;
/** The last characters that leave no bit over, when two or three characters end the text. */
const LAST_OF_TWO = /[AQgw]$/;
const LAST_OF_THREE = /[AEIMQUYcgkosw048]$/;

const OPTIONS = { alphabet: "base64url", omitPadding: true } as const;

/** By the language's own encoder, which is twice as fast as a Buffer's; Node 20 lacks it. */
export const toBase64url: (bytes: Uint8Array) => string =
  "toBase64" in Uint8Array.prototype
    ? (bytes) => bytes.toBase64(OPTIONS)
    : (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64url");

/** A Buffer's decoder is the fastest; runtimes that have no Buffer have the language's own. */
const decode: (text: string) => Uint8Array =
  typeof Buffer === "undefined"
    ? (text) => Uint8Array.fromBase64(text, { alphabet: "base64url" })
    : (text) => Buffer.from(text, "base64url");

/** The bytes, or undefined for text that no encoder makes: padding, other characters, bits left over. */
export function fromBase64url(text: string): Uint8Array | undefined {
  if (!TEXT.test(text)) return undefined;
  const rest = text.length % 4;
  if (rest === 1 || (rest === 2 && !LAST_OF_TWO.test(text)) || (rest === 3 && !LAST_OF_THREE.test(text)))
    return undefined;
  return decode(text);
}
