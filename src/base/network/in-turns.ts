/** What a crowd of connections brings at once is done in turns with everyone else's requests: a runtime tells of whatever has come in one go. */
import { isTurnUsed, useTurn, whenTurnHasRoom } from "../time/turns.ts";

/** What a connection may have become while it waited. */
interface Passing {
  readonly destroyed: boolean;
}

/**
 * Gives what each connection of a listener is to pass through. `perTurn`: how many pass in one turn of the event loop, at once while it has room;
 * the others wait, and the listener has one place in line for all of them. It tells whether the connection has passed at once, and `run` whether
 * it has waited. One that is destroyed meanwhile never passes.
 */
export function inTurns<Connection extends Passing>(
  perTurn: number,
  run: (connection: Connection, hasWaited: boolean) => void,
): (connection: Connection) => boolean {
  const waiting: Connection[] = [];
  const runWaiting = (): void => {
    useTurn(1);
    for (const connection of waiting.splice(0, perTurn)) {
      if (!connection.destroyed) run(connection, true);
    }
    if (waiting.length > 0) whenTurnHasRoom(runWaiting);
  };
  return (connection) => {
    if (waiting.length === 0 && !isTurnUsed()) {
      useTurn(1 / perTurn);
      run(connection, false);
      return true;
    }
    waiting.push(connection);
    if (waiting.length === 1) whenTurnHasRoom(runWaiting);
    return false;
  };
}
