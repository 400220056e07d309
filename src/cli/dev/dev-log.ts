/** What happens in `crypto-edge dev`, one readable line each: leases, revocations, refusals, and what is wrong. */
import { maskMaterial } from "../../base/masking.ts";

interface Line {
  readonly level: string;
  readonly time: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** Of a line of the log: what a person reads; undefined for what a person at a terminal need not see. */
export function readable(text: string): string | undefined {
  const line = JSON.parse(text) as Line;
  const said = sentence(line);
  if (said === undefined) return undefined;
  const time = new Date(line.time).toTimeString().slice(0, 8);
  return maskMaterial(`  ${time}  ${said}`);
}

function sentence(line: Line): string | undefined {
  const { level, msg, type, code, reason, tenant, service, version, state, wiped } = line;
  const key = `${tenant ?? ""}${service === undefined ? "" : `/${service}`}${version === undefined || version === 0 ? "" : ` version ${version}`}`;
  switch (msg) {
    case "lease":
      if (type === "granted" || type === "installed" || type === "renewed")
        return `lease       ${key} ${type === "renewed" ? "renewed" : "granted by the Core"}`;
      if (type === "expired" || type === "ended") return `lease       ${key} ended`;
      return undefined;
    case "a revocation was applied":
      return `revocation  ${key} is ${state}: ${wiped} keys wiped`;
    case "a block was lifted":
      return `restore     ${key} may be used again`;
    case "a request was refused":
      return `refusal     ${code}`;
    case "a request could not be served":
      return `refusal     lease_unavailable: ${reason}`;
    default:
      return level === "warn" || level === "error"
        ? `${level.padEnd(11)} ${msg}${reason === undefined ? "" : `: ${reason}`}`
        : undefined;
  }
}
