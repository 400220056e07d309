/**
 * For what keeps a Core's database: the stores are Bun's own SQLite and PostgreSQL.
 *
 * @throws Error on another runtime, with what to do
 */
export function requireBun(what: string): void {
  if (process.versions.bun !== undefined) return;
  throw new Error(
    `${what} needs Bun, or the crypto-edge executable: its databases are Bun's. The edge and the other commands run on Deno too (docs/deno.md)`,
  );
}
