/** As many as fill about two megabytes. */
const REMEMBERED_MAX = 10_000;

interface Remembered {
  readonly name: string;
  readonly untilMs: number;
}

/** The names of tokens that were verified lately, by the tokens' digests: a token itself is a secret and is not kept. */
export class RememberedTokens {
  readonly #byDigest = new Map<string, Remembered>();

  /** Undefined for a token that was not seen, or has to be looked at anew. */
  nameOf(digest: string, nowMs: number): string | undefined {
    const known = this.#byDigest.get(digest);
    return known !== undefined && nowMs < known.untilMs ? known.name : undefined;
  }

  /** All are forgotten where there is no room for one more: each is soon verified again. */
  remember(digest: string, name: string, untilMs: number): void {
    if (this.#byDigest.size >= REMEMBERED_MAX) this.#byDigest.clear();
    this.#byDigest.set(digest, { name, untilMs });
  }

  clear(): void {
    this.#byDigest.clear();
  }
}
