import type { LoggedEvent } from "../protocol/events.ts";
import type { StoreChange } from "../store/store.ts";

/** Names a change, so that it is made once, whichever Core it is asked of. */
export interface Once {
  readonly id: string;
  /** When it was asked for, ISO 8601; kept with it. */
  readonly at: string;
}

/** The change was made before; nothing was changed now. */
export class DoneBefore extends Error {
  override readonly name = "DoneBefore";
  readonly committed: { readonly seqs: readonly number[]; readonly at: string };

  constructor(committed: DoneBefore["committed"]) {
    super("this was done before");
    this.committed = committed;
  }
}

const settingOf = ({ id }: Once): string => `once ${id}`;

/** Inside the change, before it does anything. @throws {DoneBefore} which undoes the change */
export async function refuseTwice(change: StoreChange, once: Once | undefined): Promise<void> {
  const known = once && (await change.setting(settingOf(once)));
  if (known) throw new DoneBefore(JSON.parse(Buffer.from(known).toString()) as DoneBefore["committed"]);
}

/** Inside the change, when it has done all. */
export async function noteOnce(
  change: StoreChange,
  once: Once | undefined,
  events: readonly LoggedEvent[],
): Promise<void> {
  if (once === undefined) return;
  const committed: DoneBefore["committed"] = { seqs: events.map(({ seq }) => seq), at: once.at };
  await change.setSetting(settingOf(once), Buffer.from(JSON.stringify(committed)));
}
