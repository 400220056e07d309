/** Which edges may lease which service keys. Nothing is allowed by default. */
export interface EdgeAllowance {
  /** Globs over edge ids: `*` stands for any characters. */
  readonly edges: readonly string[];
  readonly tenants: readonly string[];
  readonly services: readonly string[];
}

export type AllowsLease = (edge: string, tenant: string, service: string) => boolean;

/** What `dev` and a Core for one team use: every edge with a certificate of the CA may lease everything. */
export const ALLOW_EVERY_EDGE: readonly EdgeAllowance[] = [{ edges: ["*"], tenants: ["*"], services: ["*"] }];

export function compileAllowances(allowances: readonly EdgeAllowance[]): AllowsLease {
  const compiled = allowances.map((allowance) => ({
    edges: compileGlobs(allowance.edges),
    tenants: compileGlobs(allowance.tenants),
    services: compileGlobs(allowance.services),
  }));
  return (edge, tenant, service) =>
    compiled.some((one) => one.edges(edge) && one.tenants(tenant) && one.services(service));
}

function compileGlobs(globs: readonly string[]): (text: string) => boolean {
  const parts = globs.map((glob) => glob.split("*"));
  return (text) => parts.some((pieces) => matches(pieces, text));
}

/** Leftmost match of each piece: linear, where a regular expression of many stars is not. */
function matches(pieces: readonly string[], text: string): boolean {
  const first = pieces[0] ?? "";
  const last = pieces[pieces.length - 1] ?? "";
  if (pieces.length === 1) return text === first;
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  let from = first.length;
  const end = text.length - last.length;
  for (const piece of pieces.slice(1, -1)) {
    const at = text.indexOf(piece, from);
    if (at < 0 || at + piece.length > end) return false;
    from = at + piece.length;
  }
  return from <= end;
}
