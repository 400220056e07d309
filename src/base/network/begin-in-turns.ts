/** New connections are begun in turns with everyone else's requests: a runtime accepts whatever has come, a crowd in one go. */
import { isTurnUsed, useTurn, whenTurnHasRoom } from "../time/turns.ts";

/** What of a new connection is needed to let it wait, unread. */
export interface NewConnection {
  readonly destroyed: boolean;
  pause(): void;
  resume(): void;
}

/**
 * Gives what each connection of a listener is to pass through. `perTurn`: how many are begun in one turn of the event loop, at once while it has
 * room; the others wait, and the listener has one place in line for all of them.
 */
export function beginInTurns<Connection extends NewConnection>(
  perTurn: number,
  begin: (connection: Connection) => void,
): (connection: Connection) => void {
  const waiting: Connection[] = [];
  return (connection) => {
    if (waiting.length === 0 && !isTurnUsed()) {
      useTurn(1 / perTurn);
      return begin(connection);
    }
    connection.pause();
    waiting.push(connection);
    if (waiting.length === 1) whenTurnHasRoom(() => beginWaiting(waiting, perTurn, begin));
  };
}

function beginWaiting<Connection extends NewConnection>(
  waiting: Connection[],
  perTurn: number,
  begin: (connection: Connection) => void,
): void {
  useTurn(1);
  for (const connection of waiting.splice(0, perTurn)) {
    if (connection.destroyed) continue;
    begin(connection);
    connection.resume();
  }
  if (waiting.length > 0) whenTurnHasRoom(() => beginWaiting(waiting, perTurn, begin));
}
