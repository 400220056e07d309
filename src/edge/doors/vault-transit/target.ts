/**
 * What a path under the mount asks for. The tenant is the namespace, the service the key's name: the namespace comes as
 * `X-Vault-Namespace`, before the mount (`/v1/tenant-a/transit/…`) or after it (`/v1/transit/tenant-a/…`).
 */
import { OperationError } from "../../../base/errors.ts";
import { isName } from "../../../base/names.ts";
import type { ServiceKeyName } from "../../operations/operations.ts";
import { nameInPath } from "../path-name.ts";
import { invalid, VaultError } from "./answers.ts";
import type { VaultTransitConfiguration } from "./configuration.ts";

export type TransitOperation = "encrypt" | "decrypt" | "rewrap" | "datakey" | "keys";

export interface Target {
  readonly operation: TransitOperation;
  /** Of `datakey`: `plaintext` or `wrapped`; of others empty. */
  readonly variant: string;
  /** As the path has it, decoded; empty for the list of all keys. */
  readonly name: string;
  readonly namespace: string | undefined;
}

const OPERATIONS: ReadonlySet<string> = new Set(["encrypt", "decrypt", "rewrap", "datakey", "keys"]);

/** `rest`: what follows the mount. @throws {OperationError} */
export function readTarget(
  rest: string,
  pathNamespace: string | undefined,
  headerNamespace: string | undefined,
): Target {
  const namespace = joinNamespaces(headerNamespace, pathNamespace);
  const slash = rest.indexOf("/");
  const first = slash < 0 ? rest : rest.slice(0, slash);
  const name = slash < 0 ? "" : rest.slice(slash + 1);
  if (OPERATIONS.has(first) && first !== "datakey" && !name.includes("/")) {
    return { operation: first as TransitOperation, variant: "", name: decode(name), namespace };
  }
  return readLongTarget(rest.split("/"), namespace);
}

function readLongTarget(segments: readonly string[], namespace: string | undefined): Target {
  const [operation = "", second = "", third = ""] = segments;
  const count = segments.length;
  if (operation === "datakey" && count === 3 && isDataKeyVariant(second)) {
    return { operation, variant: second, name: decode(third), namespace };
  }
  // `keys/` with a slash at its end.
  if (operation === "keys" && count === 2 && second === "") return { operation, variant: "", name: "", namespace };
  if (operation !== "" && OPERATIONS.has(second) && (count > 2 || second === "keys")) {
    const inner = readTarget(segments.slice(1).join("/"), undefined, undefined);
    // A path that names two is none of ours: neither is dropped.
    if (inner.namespace === undefined) return { ...inner, namespace: joinNamespaces(namespace, operation) };
  }
  throw new VaultError(
    403,
    "permission denied: this edge has encrypt, decrypt, rewrap, datakey and the reading of a key. Keys are made, rotated and destroyed at the Core.",
  );
}

function isDataKeyVariant(text: string): boolean {
  return text === "plaintext" || text === "wrapped";
}

function joinNamespaces(outer: string | undefined, inner: string | undefined): string | undefined {
  const first = outer === undefined ? "" : trimSlashes(outer);
  const second = inner === undefined ? "" : decode(inner);
  if (first === "" || first === "root") return second === "" ? undefined : second;
  return second === "" || second === first ? first : `${first}/${second}`;
}

function trimSlashes(text: string): string {
  if (!text.includes("/")) return text;
  return text.slice(text.startsWith("/") ? 1 : 0, text.endsWith("/") ? -1 : undefined);
}

function decode(segment: string): string {
  const name = nameInPath(segment);
  if (name === undefined) throw invalid("A name in the path is percent-encoded wrongly, or without need.");
  return name;
}

export class TransitKeys {
  readonly #table: ReadonlyMap<string, ServiceKeyName>;
  readonly #tenant: string | undefined;

  constructor({ keys, tenant }: Pick<VaultTransitConfiguration, "keys" | "tenant">) {
    this.#table = new Map(Object.entries(keys));
    this.#tenant = tenant;
  }

  /** The service key of a name. @throws {OperationError} `key_not_found`, `invalid_request` */
  resolve({ name, namespace }: Pick<Target, "name" | "namespace">): ServiceKeyName {
    if (this.#table.size > 0) {
      const configured = this.#table.get(namespace === undefined ? name : `${namespace}/${name}`);
      if (configured !== undefined) return configured;
    }
    const tenant = namespace ?? this.#tenant;
    if (tenant === undefined) {
      throw invalid(
        "Name the tenant: as X-Vault-Namespace (VAULT_NAMESPACE), or as a part of the mount's path (transit/TENANT).",
      );
    }
    if (!isName(tenant) || !isName(name)) throw new OperationError("key_not_found", "No service key has such a name.");
    return { tenant, service: name };
  }

  /** The tenant whose services a list of this namespace has; undefined where it names none. */
  tenantOf(namespace: string | undefined): string | undefined {
    return namespace ?? this.#tenant;
  }

  /** The table's names that a list of this namespace has. */
  namesIn(namespace: string | undefined): readonly (readonly [name: string, key: ServiceKeyName])[] {
    const prefix = namespace === undefined ? "" : `${namespace}/`;
    return [...this.#table]
      .filter(([name]) => name.startsWith(prefix) && !name.slice(prefix.length).includes("/"))
      .map(([name, key]) => [name.slice(prefix.length), key]);
  }
}
