/** The log: JSON lines on standard error, written at once. No key, blob, context value or token is ever passed to it. */
import pino from "pino";

export type LogLevel = "debug" | "info" | "warn" | "error";
export type Log = pino.Logger;

export function createLog(level: LogLevel): Log {
  const destination = pino.destination({ dest: 2, sync: true });
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination);
}
