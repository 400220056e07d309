/** A real edge's client, with a bound for keeping keys that the test sets, and revocations that the test sends. */
import type { Client, RevocationListener } from "../../../src/sdk/client/index.ts";
import type { RecordsEdge } from "../../../src/sdk/records/index.ts";

export interface KeepingEdge extends RecordsEdge {
  cacheSeconds: number | undefined;
  /** Calls so far, by name. */
  readonly calls: Record<string, number>;
  /** Whoever hears revocations now. */
  readonly listeners: Set<RevocationListener>;
  /** Called before each answer is handed on. */
  beforeAnswer: (() => Promise<void> | void) | undefined;
}

export function keepingEdge(client: Client, cacheSeconds: number | undefined = 60): KeepingEdge {
  const calls: Record<string, number> = {};
  const count = (name: string): void => {
    calls[name] = (calls[name] ?? 0) + 1;
  };
  const edge: KeepingEdge = {
    cacheSeconds,
    calls,
    listeners: new Set(),
    beforeAnswer: undefined,
    async createKey(options) {
      count("createKey");
      const key = await client.createKey(options);
      await edge.beforeAnswer?.();
      return { ...key, cacheSeconds: edge.cacheSeconds };
    },
    async createKeys(options, number) {
      count("createKeys");
      return client.createKeys(options, number);
    },
    async decryptKey(options) {
      count("decryptKey");
      const key = await client.decryptKey(options);
      await edge.beforeAnswer?.();
      return { ...key, cacheSeconds: edge.cacheSeconds };
    },
    async decryptKeys(items) {
      count("decryptKeys");
      const keys = await client.decryptKeys(items);
      await edge.beforeAnswer?.();
      return keys.map((key) => (key instanceof Error ? key : { ...key, cacheSeconds: edge.cacheSeconds }));
    },
    async rewrapKeys(items) {
      count("rewrapKeys");
      return Promise.all(items.map((item) => client.rewrapKey(item).catch((error) => error)));
    },
    watchRevocations(listener) {
      edge.listeners.add(listener);
      return { live: true, close: () => void edge.listeners.delete(listener) };
    },
  };
  return edge;
}
