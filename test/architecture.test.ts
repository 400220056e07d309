/** docs/architecture.md, "What depends on what": imports point inward. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { ROOT } from "./support/pages.ts";

interface Import {
  /** From `src/`: `cache/lease.ts`. */
  readonly from: string;
  /** Likewise, or the package. */
  readonly to: string;
  readonly typeOnly: boolean;
}

const SOURCE = join(ROOT, "src");
const IMPORT = /^(?:import|export)\s+(type\s)?(?:[^;"]*?\sfrom\s+)?"([^"]+)"|import\("([^"]+)"\)/gm;

const imports: Import[] = (readdirSync(SOURCE, { recursive: true }) as string[])
  // The templates of plugins are texts with imports of their own.
  .filter((file) => file.endsWith(".ts") && !file.startsWith("plugin/template/"))
  .flatMap((from) =>
    [...readFileSync(join(SOURCE, from), "utf8").matchAll(IMPORT)].map(([text, type, fixed, dynamic]) => {
      const to = fixed ?? dynamic!;
      const typeOnly = type !== undefined || (/^import \{[^}]*\}/.test(text) && !/[{,]\s*(?!type\s)\w/.test(text));
      return { from, to: to.startsWith(".") ? normalize(join(dirname(from), to)) : to, typeOnly };
    }),
  );

const show = ({ from, to }: Import): string => `${from} → ${to}`;
const offending = (isOffence: (one: Import) => boolean): string[] => imports.filter(isOffence).map(show);

const PORTS = [
  "key-source/key-source.ts",
  "cipher/cipher.ts",
  "cache/lease-cache.ts",
  "revocation/revocation-transport.ts",
  "key-memory/key-memory.ts",
  "access/access-policy.ts",
  "usage/usage-recorder.ts",
  "usage/audit-sink.ts",
  "clock/clock.ts",
];
/** What a port may import beside other ports: types of the domain, errors, and what every room uses. */
const COMMON = [
  "access/principal.ts",
  "cipher/blob.ts",
  "cipher/context.ts",
  "errors.ts",
  "health.ts",
  "turns.ts",
  "wipe.ts",
];

test("docs/architecture.md names every room", () => {
  const page = readFileSync(join(ROOT, "docs/architecture.md"), "utf8");
  const rooms = readdirSync(SOURCE, { withFileTypes: true }).map((one) =>
    one.isDirectory() ? `${one.name}/` : one.name,
  );
  expect(rooms.filter((room) => !page.includes(`\`${room}\``))).toEqual([]);
});

describe("imports", () => {
  test("are found", () => {
    expect(imports.length).toBeGreaterThan(500);
    expect(imports.filter(({ from }) => PORTS.includes(from)).length).toBeGreaterThan(5);
  });

  test("of a port name no adapter", () => {
    expect(offending(({ from, to }) => PORTS.includes(from) && !PORTS.includes(to) && !COMMON.includes(to))).toEqual(
      [],
    );
  });

  test("of the orchestrator name ports, the blob and errors alone", () => {
    expect(
      offending(({ from, to }) => from === "orchestrator.ts" && !PORTS.includes(to) && !COMMON.includes(to)),
    ).toEqual([]);
  });

  test("of the container's library are in container.ts alone", () => {
    expect(offending(({ from, to }) => to === "tsyringe" && from !== "container.ts")).toEqual([]);
    expect(imports.some(({ from, to }) => to === "tsyringe" && from === "container.ts")).toBe(true);
    expect(
      offending(
        ({ from, to }) => to === "container.ts" && !["edge.ts", "cli/", "workers/"].some((one) => from.startsWith(one)),
      ),
    ).toEqual([]);
  });

  test("of the reference Core are in commands alone, but for types", () => {
    const commands = ["core/", "cli/", "dev.ts"];
    expect(
      offending(
        ({ from, to, typeOnly }) =>
          to.startsWith("core/") && !typeOnly && !commands.some((one) => from.startsWith(one)),
      ),
    ).toEqual([]);
  });

  test("of Bun's own modules are in the island of system calls, and in the Core", () => {
    expect(
      offending(
        ({ from, to }) =>
          to.startsWith("bun:") && !from.startsWith("core/") && from !== "key-memory/foreign-functions-bun.ts",
      ),
    ).toEqual([]);
  });

  test("of the client bring nothing of the edge along but names of errors", () => {
    expect(
      offending(
        ({ from, to, typeOnly }) =>
          from.startsWith("client/") &&
          !typeOnly &&
          !["base64url.ts", "errors.ts", "client/client.ts", "client/edge-error.ts"].includes(to),
      ),
    ).toEqual([]);
  });
});
