/**
 * Where lines for the operator go: the one port of it. `createLog` (log.ts) is its adapter; plugins are lent one.
 *
 * Never pass a key, a blob, a context value or a token. A line may be left out where too many say the same.
 */
export interface LogPort {
  debug(fields: object | string, message?: string): void;
  info(fields: object | string, message?: string): void;
  warn(fields: object | string, message?: string): void;
  error(fields: object | string, message?: string): void;
}

/** Says nothing. */
export const SILENT_LOG: LogPort = { debug() {}, info() {}, warn() {}, error() {} };
