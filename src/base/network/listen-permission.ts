/** What is used here of Deno's permissions. */
interface Deno {
  readonly permissions: {
    /** Asks the person at the terminal where there is one. */
    requestSync(descriptor: { readonly name: "net"; readonly host: string }): { readonly state: string };
  };
}

/**
 * Where Deno does not permit to listen on a port, `node:net` throws in a later turn, where nobody can catch it: so it is asked before.
 *
 * @throws Error that names the flag; nothing on other runtimes
 */
export function requireListenPermission(hostname: string, port: number): void {
  const { Deno } = globalThis as { Deno?: Deno };
  if (Deno === undefined) return;
  const host = `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
  if (Deno.permissions.requestSync({ name: "net", host }).state === "granted") return;
  throw new Error(`Deno does not let this process listen on ${host}: start it with --allow-net=${host} (docs/deno.md)`);
}
