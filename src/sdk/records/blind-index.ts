/** Blind index, version 1 (docs/record-format.md): tokens by which an encrypted field is found, for equality alone. */
import { CryptoEdgeError } from "../client/index.ts";
import type { IndexKey } from "./index-key.ts";
import { idOf, type OpenedKeys } from "./opened-keys.ts";

/** Which field the tokens are for, and how long they are. */
export interface BlindIndexOptions {
  /** The field's name, such as `customers.email`: another field has other tokens for the same value. */
  readonly field: string;
  /** Bytes of a token, 8 to 32; 16 unless given. */
  readonly length?: number;
}

/**
 * Computes a field's tokens, by which equal values are found without being read. `Records.blindIndex` makes one.
 *
 * @example
 * ```ts
 * const emails = records.blindIndex(indexKey, { field: "users.email" });
 * const token = await emails.token("ada@example.com");
 * const users = await sql`SELECT * FROM users WHERE email_token = ${token}`;
 * ```
 */
export class BlindIndex {
  readonly #keys: OpenedKeys<IndexKey>;
  readonly #wrapped: Uint8Array;
  readonly #id: string;
  readonly #field: string;
  readonly #length: number;

  /** @throws {CryptoEdgeError} `invalid_request` */
  constructor(keys: OpenedKeys<IndexKey>, indexKey: Uint8Array, { field, length = 16 }: BlindIndexOptions) {
    if (!Number.isInteger(length) || length < 8 || length > 32) throw invalid("A token has 8 to 32 bytes.");
    if (!field.isWellFormed()) throw invalid("The field's name has a lone surrogate.");
    this.#keys = keys;
    this.#wrapped = indexKey.slice();
    this.#id = idOf(this.#wrapped);
    this.#field = field;
    this.#length = length;
  }

  /**
   * The token to store beside the record, and to look for. Normalize the value before (case, Unicode NFC): equal bytes alone
   * have equal tokens.
   *
   * @throws {CryptoEdgeError} the edge's, when the index key can't be opened
   */
  async token(value: string): Promise<Uint8Array> {
    if (!value.isWellFormed()) throw invalid("The text has a lone surrogate.");
    const tokenOf = (key: IndexKey): Uint8Array => key.token(this.#field, value, this.#length);
    const held = this.#keys.atHand(this.#id);
    return held === undefined ? this.#keys.use(this.#wrapped, this.#id, tokenOf) : tokenOf(held);
  }
}

function invalid(sentence: string): CryptoEdgeError {
  return new CryptoEdgeError("invalid_request", sentence);
}
