import type { LoggedEvent } from "../protocol/events.ts";
import type { DoneOrder, StoreChange } from "../store/store.ts";

/** Names a change, so that it is made once, whichever Core it is asked of. */
export interface Once {
  readonly id: string;
  /** When it was asked for, ISO 8601; kept with it. */
  readonly at: string;
  /** Whether it is remembered for ever: what must not be played again, however old it is. */
  readonly forEver?: boolean;
}

/** The change was made before; nothing was changed now. */
export class DoneBefore extends Error {
  override readonly name = "DoneBefore";
  readonly committed: DoneOrder;

  constructor(committed: DoneOrder) {
    super("this was done before");
    this.committed = committed;
  }
}

/** Inside the change, before it does anything. @throws {DoneBefore} which undoes the change */
export async function refuseTwice(change: StoreChange, once: Once | undefined): Promise<void> {
  const known = once && (await change.doneOrder(once.id));
  if (known) throw new DoneBefore(known);
}

/** Inside the change, when it has done all. */
export async function noteOnce(
  change: StoreChange,
  once: Once | undefined,
  events: readonly LoggedEvent[],
): Promise<void> {
  if (once === undefined) return;
  const { id, at, forEver = false } = once;
  await change.insertDoneOrder(id, { at, seqs: events.map(({ seq }) => seq) }, forEver);
}
