import { createHash } from "node:crypto";

/** The same tenants' names in two processes: those of a seed. */
export function seededNames(seed: string, count: number): string[] {
  return Array.from(
    { length: count },
    (_, index) => `tenant-${createHash("sha256").update(`${seed} ${index}`).digest("hex").slice(0, 12)}`,
  );
}
