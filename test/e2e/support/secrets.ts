import type { Client, ClientCreatedKey } from "../../../src/sdk/client/operations.ts";
import type { Running } from "./binary.ts";

/** Enough to find a leak, few enough to search for in every output. */
const MOST = 500;

/** Every form in which bytes end up in a text by mistake. */
export function textForms(bytes: Uint8Array): string[] {
  const buffer = Buffer.from(bytes);
  return [buffer.toString("hex"), buffer.toString("base64"), buffer.toString("base64url"), Array.from(bytes).join(",")];
}

/** What no log may hold: noted while it passes by, searched for in what processes printed when all is over. */
export class Secrets {
  readonly #forms = new Set<string>();

  add(bytes: Uint8Array): void {
    if (this.#forms.size < MOST * 4) for (const form of textForms(bytes)) this.#forms.add(form);
  }

  /** The same client; the keys that it makes and the context values that it sends are noted. */
  watching(client: Client): Client {
    const note = ({ wrapped, plaintext }: ClientCreatedKey): void => {
      this.add(wrapped);
      if (plaintext !== undefined) this.add(plaintext);
    };
    return {
      ...client,
      createKey: async (options) => {
        for (const value of Object.values(options.context ?? {})) if (value.length >= 16) this.#forms.add(value);
        const made = await client.createKey(options);
        note(made);
        return made;
      },
      createKeys: async (options, count) => {
        const made = await client.createKeys(options, count);
        made.forEach(note);
        return made;
      },
    };
  }

  /** @throws when an output holds one of them; which, is not said. */
  expectNoneIn(processes: readonly Running[]): void {
    for (const { output } of processes) {
      const text = output();
      for (const form of this.#forms) {
        if (!text.includes(form)) continue;
        const line = text.split("\n").find((candidate) => candidate.includes(form))!;
        throw new Error(`a process printed a secret, in a line that begins: ${line.slice(0, line.indexOf(form))}`);
      }
    }
  }
}
