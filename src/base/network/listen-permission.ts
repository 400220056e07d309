/** What is used here of Deno's permissions. */
interface Deno {
  readonly permissions: {
    /** Asks the person at the terminal where there is one. */
    requestSync(descriptor: NetPermission): { readonly state: string };
    querySync(descriptor: NetPermission): { readonly state: string };
  };
}

interface NetPermission {
  readonly name: "net";
  readonly host: string;
}

/** Whether this process may listen there, without asking anybody: always, on other runtimes than Deno. */
export function mayListen(hostname: string, port: number): boolean {
  const { Deno } = globalThis as { Deno?: Deno };
  return Deno === undefined || Deno.permissions.querySync(netPermission(hostname, port)).state === "granted";
}

/**
 * Where Deno does not permit to listen on a port, `node:net` throws in a later turn, where nobody can catch it: so it is asked before.
 *
 * @throws Error that names the flag; nothing on other runtimes
 */
export function requireListenPermission(hostname: string, port: number): void {
  const { Deno } = globalThis as { Deno?: Deno };
  if (Deno === undefined) return;
  const permission = netPermission(hostname, port);
  const { host } = permission;
  if (Deno.permissions.requestSync(permission).state === "granted") return;
  throw new Error(`Deno does not let this process listen on ${host}: start it with --allow-net=${host} (docs/deno.md)`);
}

function netPermission(hostname: string, port: number): NetPermission {
  return { name: "net", host: `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}` };
}
