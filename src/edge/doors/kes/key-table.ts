/** From the names of KES keys to tenants and services: a KES name says no tenant. */
import type { ServiceKeyName } from "../../operations/operations.ts";
import { nameInPath } from "../path-name.ts";
import { badRequest, keyNotFound } from "./answers.ts";
import type { KesConfiguration } from "./configuration.ts";

/** KES's own rule for names. */
const NAME = /^(?!-)[0-9A-Za-z_-]{1,80}(?<!-)$/;
const PREFIX = /^[0-9A-Za-z_-]{0,80}$/;

export class KeyTable {
  readonly #keys: ReadonlyMap<string, ServiceKeyName>;

  /** @throws {Error} for a name that KES's clients can't give */
  constructor({ keys }: KesConfiguration) {
    for (const name of Object.keys(keys)) {
      if (NAME.test(name)) continue;
      throw new Error(
        `"${name}" is no name of a KES key: they have 1 to 80 letters, digits, _ and -, and no - at either end`,
      );
    }
    this.#keys = new Map(Object.entries(keys));
  }

  /** `parameter`: a segment of the path, as sent. @throws {KesError} 400, 404 */
  find(parameter: string | undefined): { readonly name: string; readonly key: ServiceKeyName } {
    const name = nameInPath(parameter ?? "");
    if (name === undefined || !NAME.test(name)) throw badRequest("invalid key name");
    const key = this.#keys.get(name);
    if (key === undefined) throw keyNotFound();
    return { name, key };
  }

  /** Those whose names begin so, by name. A star at the end says nothing: the `kes` tool sends one. @throws {KesError} 400 */
  list(parameter: string | undefined): readonly (readonly [string, ServiceKeyName])[] {
    const prefix = nameInPath(parameter ?? "")?.replace(/\*$/, "");
    if (prefix === undefined || !PREFIX.test(prefix)) throw badRequest("invalid key name prefix");
    return [...this.#keys].filter(([name]) => name.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1));
  }
}
