/** Where a configuration of an edge uses what a plugin brings: the section that it is made from. */
import type { ConfigurationPath } from "../../base/config/configuration-error.ts";
import { doorSection } from "../../edge/config/door-section.ts";
import type { LoadedConfiguration } from "../../edge/config/load-with-plugins.ts";
import type { LoadedPlugin } from "../../edge/plugin-host/loader.ts";
import type { Plugin } from "../../edge/plugin-host/plugin.ts";

/** The kinds that the kit has rules for. */
export type Kind =
  | "keySources"
  | "revocationTransports"
  | "eventPublishers"
  | "auditSinks"
  | "ciphers"
  | "hooks"
  | "doors";
export const KINDS: readonly Kind[] = [
  "keySources",
  "revocationTransports",
  "eventPublishers",
  "auditSinks",
  "ciphers",
  "hooks",
  "doors",
];
export const KIND_NAMES = {
  keySources: "key source",
  revocationTransports: "revocation transport",
  eventPublishers: "publisher",
  auditSinks: "audit sink",
  ciphers: "cipher",
  hooks: "hook",
  doors: "front door",
} as const;

/** One use of a contribution in a configuration. */
export interface Use {
  readonly section: unknown;
  readonly path: ConfigurationPath;
  readonly timeoutMs: number;
}

/** The first use; undefined where there is none. */
export function useOf(
  { configuration }: LoadedConfiguration,
  { plugin }: LoadedPlugin,
  kind: Kind,
  name: string,
): Use | undefined {
  if (kind === "eventPublishers" && !sharesSection(plugin, name)) return undefined;
  const { key_source: keySource, cipher, revocation, audit, hooks } = configuration;
  if (kind === "ciphers") {
    const section = (cipher as unknown as Record<string, unknown>)[name];
    return cipher.use === name ? { section: section ?? {}, path: ["cipher", name], timeoutMs: 0 } : undefined;
  }
  if (kind === "keySources") {
    const section = (keySource as Record<string, unknown>)[name];
    return section === undefined ? undefined : { section, path: ["key_source", name], timeoutMs: 0 };
  }
  if (kind === "doors") {
    const index = configuration.listeners.findIndex(({ doors }) => doors.includes(name));
    const listener = configuration.listeners[index];
    return listener && { ...doorSection(configuration, listener, index, name), timeoutMs: 0 };
  }
  const [list, place] = (
    {
      revocationTransports: [revocation.transports, ["revocation", "transports"]],
      // A Core's: tried with the section of the transport that goes by its name, which is the same for both.
      eventPublishers: [revocation.transports, ["revocation", "transports"]],
      auditSinks: [audit.sinks, ["audit", "sinks"]],
      hooks: [hooks, ["hooks"]],
    } as const
  )[kind];
  const entries = list as readonly ({ use: string; timeout?: number } & Record<string, unknown>)[];
  const index = entries.findIndex(({ use }) => use === name);
  const entry = entries[index];
  return entry && { section: entry[name], path: [...place, index, name], timeoutMs: entry.timeout ?? 0 };
}

/** Whether a publisher's section is that of the transport of its name, so that an edge's configuration can be a Core's too. */
function sharesSection({ revocationTransports, eventPublishers }: Plugin, name: string): boolean {
  const [publisher, transport] = [eventPublishers?.[name], revocationTransports?.[name]];
  return publisher !== undefined && publisher.configuration === transport?.configuration;
}
