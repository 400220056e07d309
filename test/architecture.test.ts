/** docs/architecture.md, "The rooms of src/": which may import which, types included; and the page's table, held to the same rules. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { ROOT } from "./support/pages.ts";

/** What each room may import, beside itself. Files that lie in `base/`, `edge/` or `sdk/` itself are a room by that name. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  base: ["package.json"],
  "base/time": ["base"],
  "base/system": ["base", "base/time"],
  "base/pki": ["base", "base/time"],
  "base/network": ["base", "base/time", "base/pki", "base/system"],
  "base/json": ["base", "base/time"],
  "base/config": ["base", "base/network", "base/pki", "base/system"],
  "base/web": [],
  "edge/access": ["base/*"],
  "edge/cipher": ["base/*"],
  "edge/key-memory": ["base/*"],
  "edge/key-source": ["base/*", "edge/cipher"],
  "edge/cache": ["base/*", "edge/cipher", "edge/key-memory", "edge/key-source"],
  "edge/revocation": ["base/*", "edge/cache"],
  "edge/operations": ["base/*", "edge/access", "edge/cache", "edge/cipher"],
  "edge/usage": [
    "base/*",
    "edge/operations",
    "edge/access",
    "edge/cache",
    "edge/cipher",
    "edge/key-source",
    "edge/revocation",
  ],
  "edge/telemetry": [
    "base/*",
    "edge/operations",
    "edge/usage",
    "edge/access",
    "edge/cache",
    "edge/cipher",
    "edge/key-memory",
    "edge/key-source",
    "edge/revocation",
  ],
  "edge/doors": ["base/*", "edge/operations", "edge/access"],
  "edge/doors/*": ["base/*", "edge/operations", "edge/access", "edge/cipher", "edge/doors"],
  "edge/listeners": ["base/*", "edge/access", "edge/doors", "edge/operations"],
  "edge/plugin-host": [
    "base/*",
    "edge/access",
    "edge/cache",
    "edge/cipher",
    "edge/doors",
    "edge/key-source",
    "edge/operations",
    "edge/revocation",
    "edge/telemetry",
    "edge/usage",
  ],
  "edge/config": ["base/*", "edge/access", "edge/cipher", "edge/doors", "edge/doors/*", "edge/plugin-host"],
  "edge/workers": ["base/*", "edge/config", "edge/listeners"],
  edge: ["base/*", "edge/*", "edge/doors/*"],
  core: ["base/*", "core/*", "edge/access", "edge/key-source", "edge/plugin-host", "edge/revocation"],
  "core/*": ["base/*", "core", "core/*", "edge/access", "edge/key-source", "edge/plugin-host", "edge/revocation"],
  "sdk/client": ["base", "edge/cipher", "edge/doors/native"],
  "sdk/records": ["base", "base/time", "edge/cipher", "sdk/client"],
  "sdk/files": ["base", "sdk/client", "sdk/seal"],
  "sdk/seal": ["base", "base/system", "edge/cipher", "sdk/client"],
  "sdk/plugin": ["base/*", "core", "core/*", "edge/*"],
  "sdk/conformance": ["base/*", "edge/*", "sdk/plugin"],
  "sdk/template": [],
  cli: ["base/*", "core", "core/*", "edge", "edge/*", "edge/doors/*", "sdk/*"],
  "main.ts": ["cli"],
};

/** What still stands against the rules. It only ever shrinks. */
const EXCEPTIONS: readonly string[] = [];

interface Import {
  /** From `src/`: `edge/cache/lease.ts`. */
  readonly from: string;
  /** Likewise, or the package. */
  readonly to: string;
  readonly typeOnly: boolean;
}

const SOURCE = join(ROOT, "src");
const IMPORT = /^(?:import|export)\s+(type\s)?(?:[^;"]*?\sfrom\s+)?"([^"]+)"|import\("([^"]+)"\)/gm;

const imports: Import[] = (readdirSync(SOURCE, { recursive: true }) as string[])
  // The templates of plugins are texts with imports of their own.
  .filter((file) => file.endsWith(".ts") && !file.startsWith("sdk/template/"))
  .flatMap((from) =>
    [...readFileSync(join(SOURCE, from), "utf8").matchAll(IMPORT)].map(([text, type, fixed, dynamic]) => {
      const to = fixed ?? dynamic!;
      const typeOnly = type !== undefined || (/^import \{[^}]*\}/.test(text) && !/[{,]\s*(?!type\s)\w/.test(text));
      return { from, to: to.startsWith(".") ? normalize(join(dirname(from), to)) : to, typeOnly };
    }),
  );

/** The room of a file: its folder, three deep under `edge/doors/`, two deep under the other parts of the tree. */
function roomOf(file: string): string {
  const folders = file.split("/").slice(0, -1);
  if (folders.length === 0) return file;
  if (folders[0] === "cli") return "cli";
  return folders.slice(0, folders[1] === "doors" ? 3 : 2).join("/");
}

function mayImport(from: string, to: string): boolean {
  const rules = MAY_IMPORT[from] ?? MAY_IMPORT[`${from.slice(0, from.lastIndexOf("/"))}/*`];
  if (rules === undefined)
    throw new Error(`src/${from} is a new room: say in test/architecture.test.ts what it may import`);
  return rules.some((rule) =>
    rule.endsWith("/*") ? to === rule.slice(0, -2) || dirname(to) === rule.slice(0, -2) : to === rule,
  );
}

const between = new Map<string, string>();
for (const { from, to } of imports) {
  if (!to.endsWith(".ts") && !to.endsWith(".json")) continue;
  const [here, there] = [roomOf(from), to.endsWith("package.json") ? "package.json" : roomOf(to)];
  if (here !== there) between.set(`${here} → ${there}`, `${from} → ${to}`);
}

describe("rooms", () => {
  test("are found", () => {
    expect(imports.length).toBeGreaterThan(500);
    expect(between.size).toBeGreaterThan(50);
  });

  test("import what the rules allow, types included", () => {
    const offending = [...between].filter(([pair]) => {
      const [from, to] = pair.split(" → ") as [string, string];
      return !mayImport(from, to) && !EXCEPTIONS.includes(pair);
    });
    expect(offending.map(([pair, example]) => `${pair} (${example})`)).toEqual([]);
  });

  test("have no exception that nothing needs", () => {
    expect(
      EXCEPTIONS.filter((pair) => !between.has(pair) || mayImport(...(pair.split(" → ") as [string, string]))),
    ).toEqual([]);
  });

  test("of the edge import nothing of the Core", () => {
    const offending = [...between.keys()].filter((pair) => /^edge.* → core/.test(pair) && !EXCEPTIONS.includes(pair));
    expect(offending).toEqual([]);
  });

  test("import in no circle", () => {
    const targets = new Map<string, string[]>();
    for (const pair of between.keys()) {
      if (EXCEPTIONS.includes(pair)) continue;
      const [from, to] = pair.split(" → ") as [string, string];
      targets.set(from, [...(targets.get(from) ?? []), to]);
    }
    const done = new Set<string>();
    const circles: string[] = [];
    const walk = (room: string, way: readonly string[]): void => {
      if (way.includes(room)) circles.push([...way.slice(way.indexOf(room)), room].join(" → "));
      if (done.has(room) || way.includes(room)) return;
      for (const next of targets.get(room) ?? []) walk(next, [...way, room]);
      done.add(room);
    };
    for (const room of targets.keys()) walk(room, []);
    expect(circles).toEqual([]);
  });
});

/** From a line of the page to the rooms that it is about, and what it says that they may import. */
const described = new Map(
  [
    ...readFileSync(join(ROOT, "docs/architecture.md"), "utf8").matchAll(/^\| (`[^|]+) \| [^|]+ \| ([^|]+) \|$/gm),
  ].flatMap(([, rooms, imported]): [string, string][] =>
    namesIn(rooms!).map((room) => [room, namesIn(imported!).join(", ")]),
  ),
);

function namesIn(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);
}

describe("docs/architecture.md", () => {
  const rooms = new Set(
    (readdirSync(SOURCE, { recursive: true }) as string[]).filter((file) => file.endsWith(".ts")).map(roomOf),
  );

  test("says of each room what it is for, and names none that there is not", () => {
    expect([...described.keys()].sort()).toEqual([...rooms].sort());
  });

  test("says of each room what it may import, as the rules do", () => {
    const rules = (room: string): readonly string[] =>
      MAY_IMPORT[room] ?? MAY_IMPORT[`${room.slice(0, room.lastIndexOf("/"))}/*`] ?? [];
    expect([...described]).toEqual([...described.keys()].map((room) => [room, rules(room).join(", ")]));
  });
});

const show = ({ from, to }: Import): string => `${from} → ${to}`;
const offending = (isOffence: (one: Import) => boolean): string[] => imports.filter(isOffence).map(show);

describe("imports", () => {
  test("of the container's library are in the container alone", () => {
    expect(offending(({ from, to }) => to === "tsyringe" && from !== "edge/injector.ts")).toEqual([]);
    expect(imports.some(({ from, to }) => to === "tsyringe" && from === "edge/injector.ts")).toBe(true);
  });

  test("of Bun's own modules are in the island of system calls, and in the Core", () => {
    expect(
      offending(
        ({ from, to }) =>
          to.startsWith("bun:") && !from.startsWith("core/") && from !== "base/system/foreign-functions-bun.ts",
      ),
    ).toEqual([]);
  });

  test("of the client, records and files bring nothing of the edge along but formats and names of errors", () => {
    const allowed = [
      "base/base64url.ts",
      "base/errors.ts",
      "base/names.ts",
      "base/time/clock.ts",
      "base/time/system-clock.ts",
      "base/wipe.ts",
      "edge/cipher/blob.ts",
      "edge/cipher/context.ts",
      "sdk/seal/format.ts",
    ];
    const reached = new Set(["sdk/client/index.ts", "sdk/records/index.ts", "sdk/files/index.ts"]);
    for (const file of reached) {
      for (const { from, to, typeOnly } of imports) if (from === file && !typeOnly) reached.add(to);
    }
    const isOwn = (file: string): boolean => /^sdk\/(client|records|files)\//.test(file);
    // The runtime's own modules are types here; test/integration/sdk-package.test.ts runs without them.
    expect([...reached].filter((file) => !isOwn(file) && !allowed.includes(file) && !file.startsWith("node:"))).toEqual(
      [],
    );
  });
});
