/** Reads the fields of a structure in KMIP's order: each is where it belongs, of its type, and nothing is left over. */
import { RESULT_REASON, TAG } from "./enumerations.ts";
import { invalidField, KmipFailure } from "./failure.ts";
import { type Item, type ItemType, showTag, TYPE } from "./ttlv.ts";

/** `42008f` is "Symmetric Key": for messages. */
const NAME_OF_TAG = new Map<number, string>(
  Object.entries(TAG).map(([name, tag]) => [tag, name.replace(/[A-Z]/g, " $&").replace(/^./, (c) => c.toUpperCase())]),
);

const nameOfTag = (tag: number): string => NAME_OF_TAG.get(tag) ?? showTag(tag);

export class Fields {
  readonly #structure: Item;
  #next = 0;

  /** @throws {KmipFailure} `invalidField` for an item that is no structure */
  constructor(structure: Item) {
    if (structure.type !== TYPE.structure) throw invalidField(`The ${nameOfTag(structure.tag)} is not a structure.`);
    this.#structure = structure;
  }

  /** The next field if it has this tag. `types`: which it may have. @throws {KmipFailure} `invalidField` for another type */
  optional(tag: number, ...types: readonly ItemType[]): Item | undefined {
    const item = this.#structure.items[this.#next];
    if (item?.tag !== tag) return undefined;
    if (!types.includes(item.type)) throw invalidField(`The ${nameOfTag(tag)} has the wrong type.`);
    this.#next++;
    return item;
  }

  /** @throws {KmipFailure} `missingData` when the next field is another */
  required(tag: number, ...types: readonly ItemType[]): Item {
    const item = this.optional(tag, ...types);
    if (item !== undefined) return item;
    throw new KmipFailure(
      RESULT_REASON.missingData,
      `The ${nameOfTag(tag)} is missing in the ${nameOfTag(this.#structure.tag)}, or not where KMIP has it.`,
    );
  }

  repeated(tag: number, ...types: readonly ItemType[]): Item[] {
    const items: Item[] = [];
    for (let item = this.optional(tag, ...types); item !== undefined; item = this.optional(tag, ...types)) {
      items.push(item);
    }
    return items;
  }

  /** The items that are left, whatever they are. */
  rest(): readonly Item[] {
    const items = this.#structure.items.slice(this.#next);
    this.#next = this.#structure.items.length;
    return items;
  }

  /** @throws {KmipFailure} `invalidField` when something is left */
  end(): void {
    const item = this.#structure.items[this.#next];
    if (item === undefined) return;
    throw invalidField(
      `The ${nameOfTag(item.tag)} is not understood in the ${nameOfTag(this.#structure.tag)}, or not where KMIP has it.`,
    );
  }
}
