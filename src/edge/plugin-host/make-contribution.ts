import type { TSchema } from "@sinclair/typebox";
import type { ConfigurationPath } from "../../base/config/configuration-error.ts";
import { messageOf } from "../../base/errors.ts";
import type { Contributed } from "./loader.ts";
import { type Contribution, type PluginContext, SectionError } from "./plugin.ts";
import { PluginError } from "./plugin-error.ts";

export interface MakeContributionOptions {
  /** What the edge lends the plugin of a name: all that its contributions can reach. */
  readonly lend: (plugin: string) => PluginContext;
  /** The error for a place in the configuration. */
  readonly errorAt: (path: ConfigurationPath, message: string) => Error;
}

/**
 * Makes a contribution from its section of the configuration, whose place is `path`.
 *
 * @throws what `errorAt` gives, for a mistake that only the plugin can see: with its place in the file.
 * @throws {PluginError} `not_started`, for anything else.
 */
export async function makeContribution<Made>(
  { from, contribution }: Contributed<Contribution<TSchema, Made>>,
  section: unknown,
  path: readonly (string | number)[],
  { lend, errorAt }: MakeContributionOptions,
): Promise<Made> {
  try {
    return await contribution.create(section as never, lend(from.plugin.name));
  } catch (error) {
    if (error instanceof SectionError) throw errorAt([...path, ...error.path], error.message);
    const message = `${path.join(".")} can't be made: ${messageOf(error)}`;
    throw new PluginError("not_started", from.path, message, { cause: error });
  }
}
