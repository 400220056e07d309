/**
 * What a plugin is: the interface that plugin authors write against, published as `crypto-edge/plugin`.
 * Nothing of the container, the cache or the server leaks into it.
 */
import type { Static, TSchema } from "@sinclair/typebox";
import type { Clock } from "../clock/clock.ts";
import type { KeySource } from "../key-source/key-source.ts";
import type { RevocationTransport } from "../revocation/revocation-transport.ts";

/** The version of this interface; a plugin for another one is refused with a message that says so. */
export const PLUGIN_API_VERSION = 1;

export interface Plugin {
  /** The plugin's own name, for messages. */
  readonly name: string;
  readonly apiVersion: number;
  /** By the name that `key_source.use` gives. */
  readonly keySources?: Readonly<Record<string, KeySourceContribution>>;
  /** By the name that a transport's `use` gives. */
  readonly revocationTransports?: Readonly<Record<string, RevocationTransportContribution>>;
}

export interface Contribution<Schema extends TSchema, Made> {
  /** Of the contribution's own section of the configuration, such as `key_source.static`. */
  readonly configuration: Schema;
  /** Called once at start with the validated section. */
  create(configuration: Static<Schema>, context: PluginContext): Made | Promise<Made>;
}

export type KeySourceContribution<Schema extends TSchema = TSchema> = Contribution<Schema, KeySource>;
export type RevocationTransportContribution<Schema extends TSchema = TSchema> = Contribution<
  Schema,
  RevocationTransport
>;

/** What the edge lends a plugin. */
export interface PluginContext {
  readonly log: PluginLog;
  readonly clock: Clock;
  /** The edge's own id, unique in its fleet: names a durable queue, for example. */
  readonly edgeId: string;
  /** The folder that relative paths of the configuration start from. */
  readonly directory: string;
  /** Aborts when the edge stops. */
  readonly signal: AbortSignal;
}

/** Structured log lines. Never pass a key, a blob, a context value or a token. */
export interface PluginLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/** Checks a plugin's types and gives it back. */
export function definePlugin(plugin: Plugin): Plugin {
  return plugin;
}

/** Keeps the schema's type for `create`: `keySources: { name: contribution({ configuration, create }) }`. */
export function contribution<Schema extends TSchema, Made>(
  parts: Contribution<Schema, Made>,
): Contribution<TSchema, Made> {
  return parts as unknown as Contribution<TSchema, Made>;
}
