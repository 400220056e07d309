/** What the pages say of the code, held against the code. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { CORE_PAGE, configurationReference, corePage, PAGE } from "../../scripts/configuration-reference.ts";
import { HTTP_STATUS } from "../../src/base/errors.ts";
import { ROOT } from "../support/pages.ts";

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const PAGES = [
  "README.md",
  "CONTRIBUTING.md",
  ...readdirSync(join(ROOT, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
  ...readdirSync(join(ROOT, "plugins")).map((name) => `plugins/${name}/README.md`),
];

describe("docs/configuration.md", () => {
  test("is what the schemas say now", async () => {
    expect(read(PAGE) === (await configurationReference())).toBe(true);
    expect(read(CORE_PAGE) === corePage(read(CORE_PAGE))).toBe(true);
  });
});

describe("docs/errors.md", () => {
  const page = read("docs/errors.md");
  const statusesOf = (code: string): string[] =>
    new RegExp(`^\\| \`${code}\` \\| ([0-9, ]+) \\| `, "m").exec(page)?.[1]?.split(", ") ?? [];

  /** The sources of whatever answers callers. */
  const serving = (): string[] =>
    ["src/edge/doors", "src/edge/listeners", "src/base/network"].flatMap((folder) =>
      (readdirSync(join(ROOT, folder), { recursive: true }) as string[])
        .filter((name) => name.endsWith(".ts"))
        .map((name) => read(`${folder}/${name}`)),
    );

  test("tells of every code, with its status", () => {
    for (const [code, status] of Object.entries(HTTP_STATUS)) expect(statusesOf(code)).toContain(String(status));
  });

  test("tells of every other code that the server answers", () => {
    const sources = serving();
    const answered = sources.flatMap((source) => [...source.matchAll(/\bproblem\(\s*(\d{3}),\s*"([a-z_]+)"/g)]);
    expect(answered.length).toBeGreaterThan(0);
    for (const [, status, code] of answered) expect(statusesOf(code!)).toContain(status!);
  });

  test("tells of no code that there is not", () => {
    const source = `${read("src/base/errors.ts")}${serving().join("")}`;
    for (const [, code] of page.matchAll(/^\| `([a-z_]+)` \| \d{3} \|/gm)) expect(source).toContain(code!);
  });
});

describe("docs/dependencies.md", () => {
  test("gives every direct dependency its reason, once for each that has it, and names no other", () => {
    const manifests = [
      "package.json",
      ...readdirSync(join(ROOT, "plugins")).map((name) => `plugins/${name}/package.json`),
    ].map((path) => JSON.parse(read(path)) as Record<string, Record<string, string> | undefined>);
    const direct = manifests.flatMap(({ dependencies = {}, devDependencies = {} }) => [
      ...Object.keys(dependencies),
      ...Object.keys(devDependencies),
    ]);
    const named = [...read("docs/dependencies.md").matchAll(/^\| `([^`]+)` \| (.+) \|$/gm)].map(([, name]) => name!);
    expect(named.sort()).toEqual(direct.sort());
  });

  test("gives no reason for what nothing imports", () => {
    const sources = (folder: string): string[] =>
      (readdirSync(join(ROOT, folder), { recursive: true }) as string[])
        .filter((name) => name.endsWith(".ts") && !name.includes("node_modules"))
        .map((name) => read(`${folder}/${name}`));
    const unused = ["src", ...readdirSync(join(ROOT, "plugins")).map((name) => `plugins/${name}`)].flatMap((folder) => {
      const manifest = JSON.parse(read(folder === "src" ? "package.json" : `${folder}/package.json`));
      const text = sources(folder).join("\n");
      return Object.keys(manifest.dependencies ?? {}).filter((name) => !new RegExp(`"${name}[/"]`).test(text));
    });
    expect(unused).toEqual([]);
  });

  test("names files and folders that there are", () => {
    const paths = [...read("docs/dependencies.md").matchAll(/`([a-z][\w-]*\/[\w./-]*)`/g)].map(([, path]) => path!);
    expect(paths.length).toBeGreaterThan(10);
    expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });
});

describe("every page", () => {
  test("links to what is there", () => {
    const broken: string[] = [];
    for (const page of PAGES) {
      if (!existsSync(join(ROOT, page))) continue;
      const text = read(page).replaceAll(/^```.*?^```$/gms, "");
      for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target!)) continue;
        const [path = "", anchor] = target!.split("#");
        const file = path === "" ? page : join(dirname(page), path);
        if (!existsSync(join(ROOT, file))) broken.push(`${page}: ${target}`);
        else if (anchor !== undefined && !anchors(file).includes(anchor)) broken.push(`${page}: ${target}`);
      }
    }
    expect(broken).toEqual([]);
  });

  test("names files and folders of the code that there are", () => {
    const named = PAGES.filter((page) => existsSync(join(ROOT, page))).flatMap((page) => {
      const text = read(page).replaceAll(/^```.*?^```$/gms, "");
      const paths = text.matchAll(
        /`((?:src|test|scripts|bench|plugins|packaging|deploy|examples|clients)\/[\w./-]+)`/g,
      );
      return [...paths].map(([, path]) => ({ page, path: path! }));
    });
    expect(named.length).toBeGreaterThan(50);
    expect(named.filter(({ path }) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  test("is named in README.md, so that it is found", () => {
    const readme = read("README.md");
    const pages = readdirSync(join(ROOT, "docs")).filter((name) => name.endsWith(".md"));
    expect(pages.filter((name) => !readme.includes(`docs/${name}`))).toEqual([]);
  });
});

/** As GitHub makes them of headings. */
function anchors(page: string): string[] {
  return [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replaceAll(" ", "-"),
  );
}
