/** What a Core does with tasks: its own commits, which reach every edge in order (docs/orbital.md). */
import type { CommittedCommand, CoreCommands, CoreOrder } from "crypto-edge/plugin";
import type { Authority } from "./edge-tasks.ts";
import type { TaskHandler, TaskResult } from "./operator.ts";
import { type OrderData, parseOrder } from "./orders.ts";

const DONE: TaskResult = { status: "DONE" };
const ASK_AGAIN_SECONDS = 1;

const ORDERS: Readonly<Record<string, (data: OrderData) => CoreOrder>> = {
  "crypto-edge.revoke": ({ scope, reason, destroy }) => ({
    type: "revoke",
    scope,
    state: destroy ? "destroyed" : "compromised",
    reason,
  }),
  "crypto-edge.restore": ({ scope }) => ({ type: "restore", scope }),
  "crypto-edge.rotate": ({ scope: { tenant, service } }) => {
    if (service === undefined) throw new Error("service is missing");
    return { type: "rotate", tenant, service };
  },
  "crypto-edge.create-tenant-context": ({ scope: { tenant, service } }) => ({ type: "create_tenant", tenant, service }),
  "crypto-edge.destroy-tenant-context": ({ scope: { tenant }, reason }) => ({
    type: "revoke",
    scope: { tenant },
    state: "destroyed",
    reason,
  }),
};

export function coreHandlers(commands: CoreCommands): Readonly<Record<string, TaskHandler<Authority>>> {
  const handler =
    (orderOf: (data: OrderData) => CoreOrder): TaskHandler<Authority> =>
    async ({ taskId: id, data }, authority) => {
      if (authority === undefined) throw new Error("an order has to be signed by a configured issuer");
      const parsed = parseOrder(data);
      if (parsed.lifts !== undefined) throw new Error("lifts is for an edge: a Core has one revocation of a scope");
      if (!authority.mayOrder(parsed.scope.tenant)) throw new Error("the issuer may not order this for that tenant");
      let committed: CommittedCommand;
      try {
        committed = await commands.commit({ ...orderOf(parsed), id, issuer: authority.issuer });
      } catch (error) {
        // Of the store: it is away, or full. What the order itself makes impossible stays so.
        if (!isOfTheStore(error)) throw error;
        return { status: "PROCESSING", reconcileAfterSec: ASK_AGAIN_SECONDS };
      }
      if (!parsed.waitForEdges) return DONE;
      const { edges, left, waitingFor } = await commands.edgesLeft(committed, parsed.scope);
      const progress = { committed: committed.seqs, edges, edges_left: left, waiting_for: waitingFor };
      const workingState = Buffer.from(JSON.stringify(progress));
      if (left === 0) return { ...DONE, workingState };
      return { status: "PROCESSING", reconcileAfterSec: ASK_AGAIN_SECONDS, workingState };
    };
  return Object.fromEntries(Object.entries(ORDERS).map(([type, orderOf]) => [type, handler(orderOf)]));
}

function isOfTheStore(error: unknown): boolean {
  return error instanceof Error && (error.name === "StoreUnavailable" || error.name === "StoreFull");
}
