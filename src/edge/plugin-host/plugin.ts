/**
 * What a plugin is: the interface that plugin authors write against, published as `crypto-edge/plugin`.
 * Nothing of the container, the cache or the server leaks into it. docs/plugins.md is its guide.
 */
import type { Static, TSchema } from "@sinclair/typebox";
import type { LogPort } from "../../base/log-port.ts";
import type { Clock } from "../../base/time/clock.ts";
import type { CipherAdapter } from "../cipher/cipher.ts";
import type { Door, DoorContext } from "../doors/door.ts";
import type { KeySource } from "../key-source/key-source.ts";
import type { CoreTarget } from "../revocation/core-target.ts";
import type { EventPublisher } from "../revocation/event-publisher.ts";
import type { RevocationTransport } from "../revocation/revocation-transport.ts";
import type { PluginMetrics } from "../telemetry/plugin-metrics.ts";
import type { AuditSink } from "../usage/audit-sink.ts";
import type { Hooks } from "./hooks.ts";

/** The version of this interface; a plugin for another one is refused with a message that says so. */
export const PLUGIN_API_VERSION = 1;

/** Give it one kind of contribution at least. */
export interface Plugin {
  /** The plugin's own name, for messages and metrics: lower-case letters, digits, `-` and `_`. */
  readonly name: string;
  /** `PLUGIN_API_VERSION` as it was when the plugin was written: a number, not the import, which would always match. */
  readonly apiVersion: number;
  /** The plugin's own version, for the log. */
  readonly version?: string;
  /** By the name that `key_source.use` gives; the section is `key_source.<name>`. */
  readonly keySources?: Readonly<Record<string, KeySourceContribution>>;
  /** By the name that a transport's `use` gives; the section is `<name>` beside it. */
  readonly revocationTransports?: Readonly<Record<string, RevocationTransportContribution>>;
  /** For a Core: where its events go besides its own stream, by the name that a publisher's `use` gives. */
  readonly eventPublishers?: Readonly<Record<string, EventPublisherContribution>>;
  /** For a Core: who orders things of it, beside its administrators; the section is `<name>` of the Core's configuration. */
  readonly coreTargets?: Readonly<Record<string, CoreTargetContribution>>;
  /** By the name that a sink's `use` gives; the section is `<name>` beside it. */
  readonly auditSinks?: Readonly<Record<string, AuditSinkContribution>>;
  /** By the name that a hook's `use` gives; the section is `<name>` beside it. */
  readonly hooks?: Readonly<Record<string, HooksContribution>>;
  /** By the name that `cipher.use` gives; the section is `cipher.<name>`. */
  readonly ciphers?: Readonly<Record<string, CipherContribution>>;
  /** By the name that a listener's `doors` gives; the section is `doors.<name>`, or `<name>` in the listener's entry. */
  readonly doors?: Readonly<Record<string, DoorContribution>>;
}

/**
 * What a plugin brings: a schema, and a factory. The life of what the factory makes: `create`; then `start` where it has
 * one; then use, with `health` asked now and then; then `close`, once the context's signal has aborted.
 */
export interface Contribution<Schema extends TSchema, Made> {
  /**
   * The schema of the contribution's own section of the configuration, made with `Section`. It is checked with
   * everything else, before `create`: unknown keys, types, patterns.
   */
  readonly configuration: Schema;
  /**
   * Called once at start with the checked section. What no schema can say is checked here.
   *
   * @throws {SectionError} for a section that can never work; the edge then says where in the file, and does not start.
   */
  create(configuration: Static<Schema>, context: PluginContext): Made | Promise<Made>;
}

/** A kind of key source: `key_source: { plugin: NAME }`. */
export type KeySourceContribution<Schema extends TSchema = TSchema> = Contribution<Schema, KeySource>;
/** A way on which revocations come to an edge beside the Core's stream. */
export type RevocationTransportContribution<Schema extends TSchema = TSchema> = Contribution<
  Schema,
  RevocationTransport
>;
/** A way on which a Core sends its events to brokers. */
export type EventPublisherContribution<Schema extends TSchema = TSchema> = Contribution<Schema, EventPublisher>;
/** An authority from which a Core takes orders. */
export type CoreTargetContribution<Schema extends TSchema = TSchema> = Contribution<Schema, CoreTarget>;
/** A receiver of audit events beside the edge's file. */
export type AuditSinkContribution<Schema extends TSchema = TSchema> = Contribution<Schema, AuditSink>;
/** An implementation of the cipher in place of the edge's own. */
export type CipherContribution<Schema extends TSchema = TSchema> = Contribution<Schema, CipherAdapter>;
/** Code that observes operations, or refuses them. */
export type HooksContribution<Schema extends TSchema = TSchema> = Contribution<Schema, Hooks>;

/**
 * A front door (docs/doors.md): made for each listener that names it, with what every door is lent and what every plugin is. Its life is
 * the listener's; a door has neither `start` nor `close`.
 */
export interface DoorContribution<Schema extends TSchema = TSchema> {
  /** `http`: routes on HTTP listeners; `socket`: a protocol of its own, on a listener to itself. */
  readonly transport: Door["transport"];
  readonly configuration: Schema;
  /** @throws {SectionError} for a section that can never work */
  create(configuration: Static<Schema>, context: DoorContext, plugin: PluginContext): Door | Promise<Door>;
}

/** What the edge lends a plugin. */
export interface PluginContext {
  readonly log: PluginLog;
  readonly clock: Clock;
  readonly metrics: PluginMetrics;
  /** The edge's own id, unique in its fleet (each worker's, where several serve together): names a durable queue, for example. */
  readonly edgeId: string;
  /** The folder of the configuration file, for paths that are not of the type `Path` (which is absolute already). */
  readonly directory: string;
  /** Aborts when the edge stops. */
  readonly signal: AbortSignal;
  /**
   * Runs an attempt that must not be repeated blindly, such as a login to a token that locks: one at a time in all processes of this edge
   * (`workers:`). Once one has thrown a `FinalFailure`, none is run again in any of them until the edge is started anew: all then reject
   * with a `FinalFailure` of the same sentence.
   *
   * @param name Of what is attempted, such as the token's label. Never a secret: it goes to the supervisor.
   */
  attempt<Result>(name: string, run: () => Result | Promise<Result>): Promise<Result>;
  /**
   * Credentials follow the disk: `take` is called now, and again whenever one of the files has changed, until the edge stops. When their
   * certificates end is in the metrics and the status, and the log warns before.
   *
   * @throws (rejects with) what the first `take` throws, so that a mistake is told at the start
   */
  follow(credentials: FollowedCredentials): Promise<void>;
}

/**
 * Files by which a plugin is known, or knows others.
 *
 * @example
 * await context.follow({
 *   role: "the broker mq.internal:5671",
 *   certificates: [ca, cert],
 *   others: [key],
 *   take: () => { options.tls = readTls({ ca, cert, key }); },
 * });
 */
export interface FollowedCredentials {
  /** For what, in the log, the metrics and the status. A label of a metric: few, and always the same. */
  readonly role: string;
  /** Files of certificates in PEM: one with its chain, or authorities. */
  readonly certificates: readonly string[];
  /** What is read with them: keys, passwords. */
  readonly others?: readonly string[];
  /**
   * Reads all of them and takes them into use.
   *
   * @throws where they do not fit together: the old ones stay in use, the log says why, and it is called again in half a minute, or when they change
   */
  take(): void | Promise<void>;
}

/** Structured log lines; more than the edge bears are dropped and counted. Never pass a key, a blob, a context or a token. */
export type PluginLog = Pick<LogPort, "info" | "warn" | "error">;

/**
 * A mistake in a contribution's section that its schema can't express. It is shown with the line of the configuration that `path` names,
 * as the schema's own mistakes are.
 *
 * @example
 * ```ts
 * if (!existsSync(section.module)) throw new SectionError(["module"], `${section.module} is not there`);
 * ```
 */
export class SectionError extends Error {
  override readonly name = "SectionError";
  /** From the section on: `["keys", 1, "state"]`. */
  readonly path: readonly (string | number)[];

  constructor(path: readonly (string | number)[], message: string) {
    super(message);
    this.path = path;
  }
}

/**
 * Checks a plugin's types and gives it back: the default export of its module.
 *
 * @example
 * ```ts
 * export default definePlugin({ name: "my-plugin", keySources: { "my-store": contribution({ configuration, create }) } });
 * ```
 */
export function definePlugin(plugin: Plugin): Plugin {
  return plugin;
}

/**
 * Gives a front door back as it is, and gives its `create` the type of its schema.
 *
 * @example
 * ```ts
 * doors: {
 *   "my-door": door({ transport: "http", configuration: Section({}), create: (_, context) => new MyDoor(context) }),
 * }
 * ```
 */
export function door<Schema extends TSchema>(parts: DoorContribution<Schema>): DoorContribution {
  return parts as unknown as DoorContribution;
}

/**
 * Gives a contribution back as it is, and gives its `create` the type of its schema.
 *
 * @example
 * ```ts
 * keySources: {
 *   "my-store": contribution({
 *     configuration: Section({ url: Type.String() }),
 *     create: ({ url }, context) => new MyStore(url, context),
 *   }),
 * }
 * ```
 */
export function contribution<Schema extends TSchema, Made>(
  parts: Contribution<Schema, Made>,
): Contribution<TSchema, Made> {
  return parts as unknown as Contribution<TSchema, Made>;
}
