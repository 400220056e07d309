/** What the data of an order says: read the same by an edge and by a Core. */
import { isName, type RevocationScope } from "crypto-edge/plugin";

export interface OrderData {
  readonly scope: RevocationScope;
  readonly reason: string;
  /** A restore's: the task ids of the revocations that it lifts. */
  readonly lifts: readonly string[] | undefined;
  /** At a Core: end the task once the edges know, too. */
  readonly waitForEdges: boolean;
  /** At a Core: erase the keys for good. */
  readonly destroy: boolean;
}

const VERSION_MAX = 2 ** 32 - 1;
const REASON_MAX = 1_024;

/** @throws Error that names the field in question */
export function parseOrder(data: Uint8Array | undefined): OrderData {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data ?? new Uint8Array()));
  } catch {
    throw new Error("data is no JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error("data is no object");
  const fields = value as Readonly<Record<string, unknown>>;
  const { tenant, service, version, reason, lifts, wait_for_edges: waits, destroy, ...unknown } = fields;
  // A misspelt field would make the scope another one than was meant.
  const [misspelt] = Object.keys(unknown);
  if (misspelt !== undefined) throw new Error(`data has a field that is not known: ${misspelt.slice(0, 64)}`);
  if (!isNamed(tenant)) throw new Error("tenant is missing, or no name");
  if (service != null && !isNamed(service)) throw new Error("service is no name");
  if (version != null && !isVersion(version)) throw new Error("version is no version");
  if (version != null && service == null) throw new Error("version without a service");
  if (lifts != null && !isTexts(lifts)) throw new Error("lifts is no list of task ids");
  for (const [name, flag] of Object.entries({ wait_for_edges: waits, destroy })) {
    if (flag != null && typeof flag !== "boolean") throw new Error(`${name} is neither true nor false`);
  }
  return {
    scope: { tenant, ...(service == null ? {} : { service }), ...(version == null ? {} : { version }) },
    reason: typeof reason === "string" ? reason.slice(0, REASON_MAX) : "",
    lifts: lifts ?? undefined,
    waitForEdges: waits === true,
    destroy: destroy === true,
  };
}

const isNamed = (value: unknown): value is string => typeof value === "string" && isName(value);
const isVersion = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= VERSION_MAX;
const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.length <= 1_000 && value.every((each) => typeof each === "string");
