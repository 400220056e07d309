/** The front doors of one listener, made from the configuration: built-in ones are loaded here, when a listener names them. */
import { messageOf } from "../base/errors.ts";
import { loadMetadata } from "../base/system/metadata.ts";
import { doorSection } from "./config/door-section.ts";
import type { LoadedConfiguration } from "./config/load-with-plugins.ts";
import type { ListenerConfiguration } from "./config/schema.ts";
import { type BuiltInDoorName, isBuiltInDoor, NATIVE_DOOR } from "./doors/built-in.ts";
import type { Door, DoorContext, DoorFactory, HttpDoor } from "./doors/door.ts";
import { DoorRoutes, DoorsOverlap } from "./listeners/door-routes.ts";
import type { ListenerDoors } from "./listeners/listener.ts";
import { type PluginContext, SectionError } from "./plugin-host/plugin.ts";

/** A door's code is loaded when a listener names it, so that it is not in the heap of an edge that does not serve it. */
const LOAD: Readonly<Record<BuiltInDoorName, () => Promise<{ readonly door: DoorFactory<never> }>>> = {
  "aws-kms": () => import("./doors/aws-kms/door.ts"),
  "vault-transit": () => import("./doors/vault-transit/door.ts"),
  kes: () => import("./doors/kes/door.ts"),
  kmip: () => import("./doors/kmip/door.ts"),
  "kubernetes-kms": () => import("./doors/kubernetes-kms/door.ts"),
};

export interface DoorParts {
  /** `administration`: whether `/v1/status` and `/metrics` are served. */
  readonly native: (options: { readonly administration: boolean }) => HttpDoor;
  readonly context: (door: string) => DoorContext;
  readonly lend: (plugin: string) => PluginContext;
}

/** @throws {ConfigurationError} with the place in the file, for a section that can never work, or doors that want the same paths */
export async function makeDoors(
  loaded: LoadedConfiguration,
  index: number,
  { native, context, lend }: DoorParts,
): Promise<ListenerDoors> {
  const listener = loaded.configuration.listeners[index]!;
  const doors: Door[] = [];
  for (const name of listener.doors) {
    doors.push(
      name === NATIVE_DOOR
        ? native({ administration: "status" in listener && listener.status })
        : await makeDoor(loaded, listener, index, name, context(name), lend),
    );
  }
  const socket = doors.find((door) => door.transport === "socket");
  if (socket !== undefined) return { socket };
  try {
    return { http: new DoorRoutes(doors.filter((door) => door.transport === "http")) };
  } catch (error) {
    if (error instanceof DoorsOverlap) throw loaded.errorAt(["listeners", index, "doors"], error.message);
    throw error;
  }
}

async function makeDoor(
  loaded: LoadedConfiguration,
  listener: ListenerConfiguration,
  index: number,
  name: string,
  context: DoorContext,
  lend: DoorParts["lend"],
): Promise<Door> {
  const { section, path } = doorSection(loaded.configuration, listener, index, name);
  const contributed = loaded.plugins.doors.get(name);
  try {
    if (contributed !== undefined) {
      return await contributed.contribution.create(section as never, context, lend(contributed.from.plugin.name));
    }
    if (!isBuiltInDoor(name)) throw new Error(`there is no door "${name}"`);
    // The door of KES reads certificates.
    if (name === "kes") await loadMetadata();
    const { door } = await LOAD[name]();
    return await door.create(section as never, context);
  } catch (error) {
    throw loaded.errorAt(error instanceof SectionError ? [...path, ...error.path] : path, messageOf(error));
  }
}
