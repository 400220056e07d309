/** A place in a configuration: keys and indexes from the root. */
export type ConfigurationPath = readonly (string | number)[];

/** Everything that is wrong with a configuration, one line each: `FILE:LINE:COLUMN: path: what is wrong`. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
  readonly lines: readonly string[];

  constructor(lines: readonly string[]) {
    super(lines.join("\n"));
    this.lines = lines;
  }
}

/** `key_source.core`, `listeners[0].http`. */
export function showPath(path: ConfigurationPath): string {
  return path.reduce<string>(
    (text, key) => (typeof key === "number" ? `${text}[${key}]` : text === "" ? key : `${text}.${key}`),
    "",
  );
}
