import { allocateSecret, wipe } from "../../base/wipe.ts";
import { cryptography, hkdf } from "./cryptography.ts";

const INFO = new TextEncoder().encode("crypto-edge blind index v1");
const encoder = new TextEncoder();

/** The data key of blind indexes, and the keys of its fields (docs/record-format.md, "Blind index"). */
export class IndexKey {
  readonly #dataKey: Uint8Array;
  readonly #fields = new Map<string, Uint8Array>();
  #isWiped = false;

  /** Takes the data key. */
  constructor(dataKey: Uint8Array) {
    this.#dataKey = dataKey;
  }

  get isWiped(): boolean {
    return this.#isWiped;
  }

  /** The first `length` bytes of the value's token. */
  token(field: string, value: string, length: number): Uint8Array {
    let key = this.#fields.get(field);
    if (key === undefined) {
      key = allocateSecret(32);
      hkdf(this.#dataKey, Uint8Array.from([...INFO, 0, ...encoder.encode(field)]), key);
      this.#fields.set(field, key);
    }
    const full = cryptography().createHmac("sha256", key).update(encoder.encode(value)).digest();
    const token = new Uint8Array(full.subarray(0, length));
    wipe(full);
    return token;
  }

  wipe(): void {
    this.#isWiped = true;
    wipe(this.#dataKey);
    for (const key of this.#fields.values()) wipe(key);
  }
}
