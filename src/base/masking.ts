/**
 * Takes key material out of texts for people: logs, messages. It knows the shapes that keys, blobs and tokens have, so that a
 * library's word, a path or a name stays readable whatever its length. It is the second line: nothing puts a key into a text.
 */

/** A JSON Web Token, or the beginning of one. */
const TOKEN = /\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,2}/g;
/** Characters of base64 and hex, as many as 16 bytes have in hex, or 24 in base64. A slash ends a run, since paths have many. */
const RUN = /[A-Za-z0-9_+=-]{32,}/g;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const HEX = /^[0-9a-fA-F]+$/;
/** The magic of a wrapped key or value, and of a record, in base64. */
const BLOB = /^(?:TDQB|TFIB)/;
/** Where one word of a name ends and the next begins: `PrivateKey_v2`. */
const WORD_ENDS = /[_+=-]+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])/;
/** Of the words that a run of random base64 falls into: about 2. */
const WORD_LENGTH_MIN = 5;
/** No word of a language has so many consonants in a row; of random letters most runs do. Acronyms are short. */
const NO_WORD = /[bcdfghjklmnpqrstvwxz]{5}|[BCDFGHJKLMNPQRSTVWXZ]{6}/;

const MASK = "[masked]";

export function maskMaterial(text: string): string {
  if (text.length < 12) return text;
  return text.replace(TOKEN, MASK).replace(RUN, (run) => (isMaterial(run) ? MASK : run));
}

function isMaterial(run: string): boolean {
  // A word of nothing but the letters a to f is no random hex.
  if (HEX.test(run)) return /[0-9]/.test(run);
  if (UUID.test(run)) return false;
  if (BLOB.test(run)) return true;
  // One case alone, and no hex: of random base64 that has this length, one in ten million looks so.
  if (run === run.toLowerCase() || run === run.toUpperCase()) return false;
  const words = run.split(WORD_ENDS).filter((word) => word !== "");
  return run.length < words.length * WORD_LENGTH_MIN || words.some((word) => NO_WORD.test(word));
}
