/** Runs each attack once for each message `round`, from a process of its own; it is sent what it attacks first. */
import type { AttackedEdge } from "../../test/support/attacked-edge.ts";
import { ATTACKS, type Ends, manyConnections } from "../../test/support/attacks.ts";

/** One attack, by the clock on the wall. */
export interface Attacked {
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly ends: Ends;
}

const CONNECTIONS = { http: 2_000, https: 400 } as const;

interface Orders {
  readonly edge: AttackedEdge;
  /** A part of the names of the attacks that are run; empty for all. */
  readonly only: string;
}

let orders: Orders;

process.on("message", (message: "round" | Orders) => {
  if (message === "round") void round(orders).then((attacked) => process.send!(attacked));
  else orders = message;
});
process.on("disconnect", () => process.exit());

async function round({ edge, only }: Orders): Promise<Attacked[]> {
  const attacked: Attacked[] = [];
  const timed = async (name: string, run: () => Promise<Ends>): Promise<void> => {
    if (!name.includes(only)) return;
    const startMs = Date.now();
    const ends = await run();
    attacked.push({ name, startMs, endMs: Date.now(), ends });
  };
  for (const attack of ATTACKS) await timed(attack.name, () => attack.run(edge));
  for (const transport of ["http", "https"] as const) {
    await timed(`many connections over ${transport}`, () => manyConnections(edge, transport, CONNECTIONS[transport]));
  }
  return attacked;
}
