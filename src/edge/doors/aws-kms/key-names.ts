/**
 * How AWS names keys, and which service keys those are: `alias/TENANT/SERVICE`, `TENANT/SERVICE`, an ARN of either, or an entry of
 * the configured table. `/` is in no name of ours, so there is one reading.
 */
import { isName } from "../../../base/names.ts";
import type { ServiceKeyName } from "../../operations/operations.ts";
import { KmsError } from "./errors.ts";

/** A key as a request named it. */
export interface KmsKey extends ServiceKeyName {
  /** Of its ARN; undefined where the request named none. */
  readonly region: string | undefined;
  readonly partition: string;
}

export interface KeyNamesOptions {
  readonly account: string;
  readonly table: Readonly<Record<string, ServiceKeyName>>;
}

const ARN = /^arn:(aws[a-z-]{0,16}):kms:([a-z0-9-]{1,32}):([0-9]{12}):(key|alias)\/(.+)$/;
const KEY_ID_LENGTH_MAX = 2048;
const REMEMBERED_MAX = 1_024;

export class KeyNames {
  readonly #account: string;
  readonly #table: ReadonlyMap<string, ServiceKeyName>;
  /** `TENANT/SERVICE` to the id, or whole ARN, that the table gives it: what answers must name it by. */
  readonly #ids = new Map<string, string>();
  /** What was resolved lately: code asks for the same key again and again. */
  readonly #remembered = new Map<string, KmsKey>();

  /** @throws an error with a sentence, for an entry that can never be asked for */
  constructor({ account, table }: KeyNamesOptions) {
    this.#account = account;
    this.#table = new Map(Object.entries(table));
    for (const [id, { tenant, service }] of this.#table) {
      if (id.startsWith("arn:") && !ARN.test(id)) throw new Error(`keys: ${id} is not the ARN of a KMS key or alias.`);
      const pair = `${tenant}/${service}`;
      const isAlias = id.startsWith("alias/") || ARN.exec(id)?.[4] === "alias";
      if (!isAlias && !this.#ids.has(pair)) this.#ids.set(pair, id);
    }
  }

  /** @throws {KmsError} `NotFoundException`, `ValidationException` */
  resolve(keyId: string): KmsKey {
    const known = this.#remembered.get(keyId);
    if (known !== undefined) return known;
    const key = this.#read(keyId);
    if (this.#remembered.size >= REMEMBERED_MAX) this.#remembered.clear();
    this.#remembered.set(keyId, key);
    return key;
  }

  /** The one ARN that answers name this key by: clients compare it with the ARN that they were configured with. */
  arnOf({ tenant, service }: ServiceKeyName, region: string, partition = "aws"): string {
    const pair = `${tenant}/${service}`;
    const id = this.#ids.size === 0 ? pair : (this.#ids.get(pair) ?? pair);
    return id.startsWith("arn:") ? id : `arn:${partition}:kms:${region}:${this.#account}:key/${id}`;
  }

  #read(keyId: string): KmsKey {
    if (keyId.length === 0 || keyId.length > KEY_ID_LENGTH_MAX) {
      throw new KmsError("ValidationException", `KeyId has 1 to ${KEY_ID_LENGTH_MAX} characters.`);
    }
    const arn = ARN.exec(keyId);
    const [, partition = "aws", region, account, kind, rest] = arn ?? [];
    const configured = this.#table.get(keyId);
    if (configured !== undefined) return { ...configured, region, partition };
    if (arn === null && keyId.startsWith("arn:")) {
      throw new KmsError("InvalidArnException", "KeyId begins as an ARN does, and is none of a KMS key or alias.");
    }
    if (arn === null) return { ...this.#readId(keyId), region, partition };
    if (account !== this.#account) {
      throw new KmsError(
        "NotFoundException",
        `This edge serves keys of account ${this.#account}, and the key's ARN is of another: set doors.aws-kms.account, or name the key by an ARN of this account.`,
      );
    }
    return { ...this.#readId(kind === "alias" ? `alias/${rest}` : rest!), region, partition };
  }

  #readId(id: string): ServiceKeyName {
    const configured = this.#table.get(id);
    if (configured !== undefined) return configured;
    const [tenant = "", service = "", ...more] = (id.startsWith("alias/") ? id.slice("alias/".length) : id).split("/");
    if (more.length > 0 || !isName(tenant) || !isName(service) || tenant.startsWith("mrk-")) {
      throw new KmsError(
        "NotFoundException",
        "This edge knows no such key: name it TENANT/SERVICE, alias/TENANT/SERVICE or by an ARN of these, or list it in doors.aws-kms.keys.",
      );
    }
    return { tenant, service };
  }
}
