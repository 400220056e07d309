/** Base64url without padding (RFC 4648, section 5): how bytes travel in JSON. */

const TEXT = /^[A-Za-z0-9_-]*$/;
/** The last characters that leave no bit over, when two or three characters end the text. */
const LAST_OF_TWO = /[AQgw]$/;
const LAST_OF_THREE = /[AEIMQUYcgkosw048]$/;

const OPTIONS = { alphabet: "base64url", omitPadding: true } as const;

const hasBuffer = typeof Buffer !== "undefined";

/** By the language's own encoder, which is twice as fast as a Buffer's; Node 20 lacks it, and workers that run clients lack both. */
export const toBase64url: (bytes: Uint8Array) => string =
  "toBase64" in Uint8Array.prototype
    ? (bytes) => bytes.toBase64(OPTIONS)
    : hasBuffer
      ? (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64url")
      : (bytes) =>
          btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))
            .replaceAll("+", "-")
            .replaceAll("/", "_")
            .replace(/=+$/, "");

/** A Buffer's decoder is the fastest. */
const decode: (text: string) => Uint8Array = hasBuffer
  ? (text) => Buffer.from(text, "base64url")
  : (text) =>
      Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (character) => character.charCodeAt(0));

/** The bytes, or undefined for text that no encoder makes: padding, other characters, bits left over. */
export function fromBase64url(text: string): Uint8Array | undefined {
  if (!TEXT.test(text)) return undefined;
  const rest = text.length % 4;
  if (rest === 1 || (rest === 2 && !LAST_OF_TWO.test(text)) || (rest === 3 && !LAST_OF_THREE.test(text)))
    return undefined;
  return decode(text);
}
