import { untilServing } from "../system/start-code.ts";
import { ConfigurationError, type ConfigurationPath, showPath } from "./configuration-error.ts";

/**
 * `errorAt`, which holds the text and its reader, until the program serves; then errors without the place in the file. This file imports
 * nothing of the reader, so that what keeps the function keeps none of it.
 */
export function errorsUntilServing(
  errorAt: (path: ConfigurationPath, message: string) => ConfigurationError,
): (path: ConfigurationPath, message: string) => ConfigurationError {
  const held = untilServing(errorAt, () => withoutPlace);
  return (path, message) => held()(path, message);
}

function withoutPlace(path: ConfigurationPath, message: string): ConfigurationError {
  return new ConfigurationError([`${showPath(path)}: ${message}`]);
}
