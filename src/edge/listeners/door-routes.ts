/** The HTTP doors of one listener: which of them takes a request, by its method and its path as sent. */
import type { DoorRoute, HttpDoor } from "../doors/door.ts";

export interface RouteMatch {
  readonly door: HttpDoor;
  readonly route: DoorRoute;
  /** As sent, not decoded. */
  readonly parameters: Readonly<Record<string, string>>;
}

/** No route: the door that says so, and the methods that the path takes (none: there is no such path). */
export interface RouteMissing {
  readonly door: HttpDoor;
  readonly route: undefined;
  readonly allow: readonly string[];
}

interface Compiled {
  readonly door: HttpDoor;
  readonly route: DoorRoute;
  readonly segments: readonly Segment[];
}

type Segment =
  | { readonly literal: string }
  | { readonly parameter: string }
  /** The last one: takes all that is left. */
  | { readonly rest: string };

const NO_PARAMETERS: Readonly<Record<string, string>> = {};

/** Two doors of one listener that would take the same path. */
export class DoorsOverlap extends Error {
  override readonly name = "DoorsOverlap";
}

export class DoorRoutes {
  readonly #doors: readonly HttpDoor[];
  readonly #routes: readonly Compiled[];
  /** Those without parameters, by their path. */
  readonly #fixed = new Map<string, Compiled[]>();
  readonly #withParameters: readonly Compiled[];

  /** @throws {DoorsOverlap} */
  constructor(doors: readonly HttpDoor[]) {
    this.#doors = doors;
    this.#routes = doors.flatMap((door) =>
      door.routes.map((route) => ({ door, route, segments: parsePattern(route.path) })),
    );
    checkOverlaps(this.#routes);
    for (const compiled of this.#routes) {
      if (!isFixed(compiled)) continue;
      const beside = this.#fixed.get(compiled.route.path);
      if (beside === undefined) this.#fixed.set(compiled.route.path, [compiled]);
      else beside.push(compiled);
    }
    this.#withParameters = this.#routes.filter((compiled) => !isFixed(compiled));
  }

  /** Whether a door knows callers by a proof of its own, such as a signature: then a client certificate is no must. */
  get takesProofs(): boolean {
    return this.#doors.some(({ prove }) => prove !== undefined);
  }

  find(method: string, path: string): RouteMatch | RouteMissing {
    const wanted = method === "HEAD" ? "GET" : method;
    let allow: string[] | undefined;
    let door: HttpDoor | undefined;
    for (const { door: of, route } of this.#fixed.get(path) ?? []) {
      if (takes(route, method, wanted)) return { door: of, route, parameters: NO_PARAMETERS };
      door = of;
      allow = [...(allow ?? []), ...route.methods];
    }
    const segments = path.slice(1).split("/");
    for (const compiled of this.#withParameters) {
      const parameters = matchSegments(compiled.segments, segments);
      if (parameters === undefined) continue;
      const { door: of, route } = compiled;
      if (takes(route, method, wanted)) return { door: of, route, parameters };
      door = of;
      allow = [...(allow ?? []), ...route.methods];
    }
    if (door !== undefined && allow !== undefined) return { door, route: undefined, allow: [...new Set(allow)] };
    return { door: this.#nearest(segments), route: undefined, allow: [] };
  }

  /** The door that has the route with the most leading segments in common: whoever called it waits for its words. */
  #nearest(segments: readonly string[]): HttpDoor {
    let nearest = this.#doors[0]!;
    let most = 0;
    for (const { door, segments: pattern } of this.#routes) {
      let common = 0;
      while (common < pattern.length && common < segments.length && takesSegment(pattern[common]!, segments[common]!)) {
        common++;
      }
      if (common > most) [nearest, most] = [door, common];
    }
    return nearest;
  }
}

function takes(route: DoorRoute, method: string, orGet: string): boolean {
  return route.methods.includes(method) || (orGet !== method && route.methods.includes(orGet));
}

function isFixed({ segments }: Compiled): boolean {
  return segments.every((segment) => "literal" in segment);
}

function parsePattern(pattern: string): Segment[] {
  if (!pattern.startsWith("/")) throw new TypeError(`the path of a route begins with a slash: ${pattern}`);
  const parts = pattern.slice(1).split("/");
  return parts.map((part, index) => {
    if (part.startsWith(":")) return { parameter: part.slice(1) };
    if (!part.startsWith("*")) return { literal: part };
    if (index < parts.length - 1) throw new TypeError(`only the last segment of a path takes the rest: ${pattern}`);
    return { rest: part.slice(1) };
  });
}

function takesSegment(segment: Segment, text: string): boolean {
  return "literal" in segment ? segment.literal === text : "rest" in segment || text !== "";
}

function matchSegments(pattern: readonly Segment[], segments: readonly string[]): Record<string, string> | undefined {
  const parameters: Record<string, string> = {};
  for (let index = 0; index < pattern.length; index++) {
    const segment = pattern[index]!;
    const text = segments[index];
    if (text === undefined) return undefined;
    if ("rest" in segment) {
      parameters[segment.rest] = segments.slice(index).join("/");
      return parameters;
    }
    if (!takesSegment(segment, text)) return undefined;
    if ("parameter" in segment) parameters[segment.parameter] = text;
  }
  return segments.length === pattern.length ? parameters : undefined;
}

function checkOverlaps(routes: readonly Compiled[]): void {
  for (const [index, one] of routes.entries()) {
    for (const other of routes.slice(index + 1)) {
      if (one.door === other.door || !shareMethod(one.route, other.route)) continue;
      if (!overlap(one.segments, other.segments)) continue;
      throw new DoorsOverlap(
        `the doors ${one.door.name} (${one.route.path}) and ${other.door.name} (${other.route.path}) take the same paths: give them listeners of their own, or another path to one of them`,
      );
    }
  }
}

function shareMethod(one: DoorRoute, other: DoorRoute): boolean {
  return one.methods.some((method) => other.methods.includes(method));
}

/** Whether there is a path that both take. */
function overlap(one: readonly Segment[], other: readonly Segment[]): boolean {
  for (let index = 0; index < Math.max(one.length, other.length); index++) {
    const [a, b] = [one[index], other[index]];
    if (a === undefined || b === undefined) return false;
    if ("rest" in a || "rest" in b) return true;
    if ("literal" in a && !takesSegment(b, a.literal)) return false;
    if ("literal" in b && !takesSegment(a, b.literal)) return false;
  }
  return true;
}
