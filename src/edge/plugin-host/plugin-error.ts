/** Why a plugin was not loaded. `message` names the path, the cause, and what to do. */
export type PluginErrorCode =
  /** Nothing at the path, or nothing in it that could be a plugin. */
  | "not_found"
  /** Others could have written its files. */
  | "not_trusted"
  /** Its files are not those that the configuration pins. */
  | "changed"
  /** Its code does not load: a syntax error, a missing dependency, an exception. */
  | "not_loadable"
  /** It loads, but its default export is no plugin. */
  | "not_a_plugin"
  /** It is written for another version of the interface. */
  | "wrong_version"
  /** Another plugin, or the edge itself, has a contribution of the same kind and name. */
  | "name_taken"
  /** Its factory, or its start, failed. */
  | "not_started";

export class PluginError extends Error {
  override readonly name = "PluginError";
  readonly code: PluginErrorCode;
  /** The plugin's folder or file. */
  readonly path: string;

  constructor(code: PluginErrorCode, path: string, message: string, options: { cause?: unknown } = {}) {
    super(`${path}: ${message}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.path = path;
  }
}
