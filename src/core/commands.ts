/** Orders of other systems (`CoreTarget`), committed as an administrator's are, each once. */
import type { CommittedCommand, CoreCommand, CoreCommands, EdgesLeft } from "../edge/revocation/core-target.ts";
import type { CoreLog } from "./answers.ts";
import { DoneBefore } from "./keys/done-before.ts";
import type { KeyRegistry } from "./keys/registry.ts";
import type { Presence } from "./presence.ts";
import { CoreError } from "./protocol/core-error.ts";
import type { LoggedEvent } from "./protocol/events.ts";
import type { Store } from "./store/store.ts";

/** From an order to its commit at the latest: the database refuses what takes longer. Leases may be granted until then. */
const COMMITTED_WITHIN_MS = 10_000;
const NOBODY: EdgesLeft = { edges: 0, left: 0, waitingFor: [] };
const MAX_TOLD = 10;

export interface CommandsParts {
  readonly registry: KeyRegistry;
  readonly presence: Pick<Presence, "progress">;
  /** Another Core may be asked of an order that this one took: times are the store's, whose clock is one for both. */
  readonly store: Pick<Store, "nowMs">;
  /** How long the longest lease lasts. */
  readonly leaseMs: number;
  readonly log: CoreLog;
}

export function createCommands({ registry, presence, store, leaseMs, log }: CommandsParts): CoreCommands {
  async function perform(command: CoreCommand, at: string): Promise<readonly LoggedEvent[]> {
    const once = { id: `${command.issuer} ${command.id}`, at };
    switch (command.type) {
      case "revoke":
        return registry.revoke(command.scope, command.state, command.reason, { once });
      case "restore":
        // A signature has no expiry, and an old restoration that is played again would lift a revocation.
        return [await registry.restore(command.scope, { ...once, forEver: true })];
      case "rotate":
        return [await registry.rotate(command.tenant, command.service, once)];
      case "create_tenant":
        await made(
          command.service === undefined
            ? registry.createTenant(command.tenant, once)
            : registry.createService(command.tenant, command.service, once),
        );
        return [];
    }
  }

  return {
    async commit(command) {
      const at = new Date(await store.nowMs()).toISOString();
      try {
        const events = await perform(command, at);
        const { id, issuer, type } = command;
        const seqs = events.map(({ seq }) => seq);
        log("info", "an order was carried out", { id, issuer, type, seqs });
        return { seqs, at };
      } catch (error) {
        if (error instanceof DoneBefore) return error.committed;
        throw error;
      }
    },

    async edgesLeft({ seqs, at }: CommittedCommand, scope) {
      const newest = Math.max(0, ...seqs);
      // A lease from before is over, and one from after knows.
      if (newest === 0 || (await store.nowMs()) - Date.parse(at) >= leaseMs + COMMITTED_WITHIN_MS) return NOBODY;
      const { edges, left, untoldCores } = await presence.progress(newest, scope);
      // A Core that has not told may know of any number: of one at least.
      const unknown = untoldCores.length > 0 ? 1 : 0;
      return {
        edges: Math.max(edges, unknown),
        left: Math.max(left.length, unknown),
        waitingFor: [...left, ...untoldCores.map((core) => `Core ${core}`)].slice(0, MAX_TOLD),
      };
    },
  };
}

/** What is there already is what was wanted. */
async function made(making: Promise<void>): Promise<void> {
  try {
    await making;
  } catch (error) {
    if (!(error instanceof CoreError) || error.code !== "conflict") throw error;
  }
}
