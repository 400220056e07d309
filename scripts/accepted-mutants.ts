/**
 * Mutants that no test kills, each with the reason why none has to: the change cannot be seen from outside. `npm run mutate` prints
 * the reason beside the survivor, and still counts it. test/scripts/mutations.test.ts says which entries the code has outgrown.
 */
import type { Mutation } from "./mutations.ts";

export interface AcceptedMutant {
  /** As the report prints them; without the number of the line, which moves. */
  readonly from: string;
  readonly to: string;
  readonly reason: string;
}

/** By file. */
export const ACCEPTED_MUTANTS: Readonly<Record<string, readonly AcceptedMutant[]>> = {};

/** Why the mutant may survive; undefined where nothing speaks for it. */
export function reasonOf(file: string, { from, to }: Pick<Mutation, "from" | "to">): string | undefined {
  return ACCEPTED_MUTANTS[file]?.find((accepted) => accepted.from === from && accepted.to === to)?.reason;
}
