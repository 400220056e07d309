/** What a crowd of connections brings at once is done in turns with everyone else's requests: a runtime tells of whatever has come in one go. */
import { isTurnUsed, useTurn, whenTurnHasRoom } from "../time/turns.ts";

interface Connection {
  readonly destroyed: boolean;
}

/** What of a new connection is needed to let it wait, unread. */
export interface NewConnection extends Connection {
  pause(): void;
  resume(): void;
}

/**
 * Gives what each connection of a listener is to pass through. `perTurn`: how many are begun in one turn of the event loop, at once while it has
 * room; the others wait, and the listener has one place in line for all of them.
 */
export function beginInTurns<Begun extends NewConnection>(
  perTurn: number,
  begin: (connection: Begun) => void,
): (connection: Begun) => void {
  const pass = inTurns<Begun>(perTurn, (connection, hasWaited) => {
    begin(connection);
    if (hasWaited) connection.resume();
  });
  return (connection) => {
    if (!pass(connection)) connection.pause();
  };
}

/** The same for anything else that happens to many connections at once. Tells whether it was done at once; one that is destroyed meanwhile is passed over. */
export function inTurns<Passing extends Connection>(
  perTurn: number,
  run: (connection: Passing, hasWaited: boolean) => void,
): (connection: Passing) => boolean {
  const waiting: Passing[] = [];
  return (connection) => {
    if (waiting.length === 0 && !isTurnUsed()) {
      useTurn(1 / perTurn);
      run(connection, false);
      return true;
    }
    waiting.push(connection);
    if (waiting.length === 1) whenTurnHasRoom(() => runWaiting(waiting, perTurn, run));
    return false;
  };
}

function runWaiting<Passing extends Connection>(
  waiting: Passing[],
  perTurn: number,
  run: (connection: Passing, hasWaited: boolean) => void,
): void {
  useTurn(1);
  for (const connection of waiting.splice(0, perTurn)) {
    if (!connection.destroyed) run(connection, true);
  }
  if (waiting.length > 0) whenTurnHasRoom(() => runWaiting(waiting, perTurn, run));
}
