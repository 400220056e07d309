import { compileGlobs } from "../edge/access/glob.ts";

/** Which edges may lease which service keys. Nothing is allowed by default. */
export interface EdgeAllowance {
  /** Globs over edge ids: `*` stands for any characters. */
  readonly edges: readonly string[];
  readonly tenants: readonly string[];
  readonly services: readonly string[];
}

/** Without a service: whether there is any of the tenant that the edge may lease. */
export type AllowsLease = (edge: string, tenant: string, service: string | undefined) => boolean;

/** What `dev` and a Core for one team use: every edge with a certificate of the CA may lease everything. */
export const ALLOW_EVERY_EDGE: readonly EdgeAllowance[] = [{ edges: ["*"], tenants: ["*"], services: ["*"] }];

export function compileAllowances(allowances: readonly EdgeAllowance[]): AllowsLease {
  const compiled = allowances.map((allowance) => ({
    edges: compileGlobs(allowance.edges),
    tenants: compileGlobs(allowance.tenants),
    services: compileGlobs(allowance.services),
  }));
  return (edge, tenant, service) =>
    compiled.some((one) => one.edges(edge) && one.tenants(tenant) && (service === undefined || one.services(service)));
}
