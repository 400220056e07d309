/** CONTRIBUTING.md: its commands are those of package.json and .ci/run, and a release has one version. */
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, readBlocks } from "../support/pages.ts";

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const page = read("CONTRIBUTING.md");
const manifest = JSON.parse(read("package.json")) as { version: string; scripts: Record<string, string> };

describe("CONTRIBUTING.md", () => {
  test("names scripts of package.json, and files and folders that there are", () => {
    const scripts = [...page.matchAll(/\bnpm (?:run )?(start|test\b(?!:)|(?<=run )[\w:]+)/g)].map(([, name]) => name!);
    expect(scripts.length).toBeGreaterThan(10);
    expect(scripts.filter((name) => manifest.scripts[name] === undefined)).toEqual([]);

    const paths = [...page.matchAll(/[\w.-]+(?:\/[\w.-]+)+/g)].map(([path]) => path);
    expect(paths.length).toBeGreaterThan(15);
    expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  test("has a person run what CI runs", () => {
    const steps = [...read(".ci/run").matchAll(/^step npm (.+)$/gm)].map(([, step]) =>
      `npm ${step}`.replace(" --silent", ""),
    );
    const commands = readBlocks("CONTRIBUTING.md").flatMap(({ text }) => text.trim().split("\n"));
    expect(commands.length).toBeGreaterThan(3);
    expect(commands.filter((command) => !steps.includes(command))).toEqual([]);
    const said = (step: string): boolean => page.includes(step) || commands.includes(step);
    expect(steps.filter((step) => !said(step))).toEqual([]);
  });
});

describe("a release", () => {
  test("has one version, in every file that carries it", () => {
    const { version } = manifest;
    const carries = (path: string, pattern: RegExp): [string, string[]] => [
      path,
      [...read(path).matchAll(pattern)].map(([, found]) => found!),
    ];
    const carried = [
      ...readdirSync(join(ROOT, "plugins")).map((name) =>
        carries(`plugins/${name}/package.json`, /^ {2}"version": "(.+)"/gm),
      ),
      carries("clients/python/pyproject.toml", /^version = "(.+)"/gm),
      carries("deploy/helm/crypto-edge/Chart.yaml", /^(?:version|appVersion): "?([\d.]+)"?$/gm),
      ...readdirSync(join(ROOT, "deploy/kubernetes"))
        .map((name) => carries(`deploy/kubernetes/${name}`, /image: crypto-edge:(\S+)/g))
        .filter(([, versions]) => versions.length > 0),
      ...["README.md", ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`)]
        .filter((name) => name.endsWith(".md"))
        .map((name) => carries(name, /crypto-edge-(\d[\d.]*)\.tgz/g))
        .filter(([, versions]) => versions.length > 0),
      carries("docs/operations.md", /crypto-edge_([\d.]+)_/g),
      carries("CHANGELOG.md", /^# [^#]+^## ([\d.]+)$/gm),
    ];
    expect(carried.map(([path, versions]) => [path, [...new Set(versions)]])).toEqual(
      carried.map(([path]) => [path, [version]]),
    );
  });
});
