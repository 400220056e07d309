import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { readCoreConfiguration } from "../../src/core/core-configuration.ts";
import { loadConfiguration } from "../../src/edge/config/load-with-plugins.ts";
import { readBlocks } from "../support/pages.ts";
import { makeTemporaryFile } from "../support/temporary-file.ts";

const EXAMPLES = resolve(import.meta.dir, "../../examples");

describe("examples/", () => {
  test.each(["edge.yaml", "static.yaml"])("%s has no mistakes", async (file) => {
    const { configuration } = await loadConfiguration(join(EXAMPLES, file), undefined, {});
    expect(configuration.edge.id).toBe("edge-1");
  });

  test("core.yaml has no mistakes", () => {
    const configuration = readCoreConfiguration(join(EXAMPLES, "core.yaml")).check();
    expect(configuration.listen).toEqual({ host: "127.0.0.1", port: 8443 });
  });

  test("the configuration of several Cores in docs/core.md has no mistakes", () => {
    using file = makeTemporaryFile(
      "core.yaml",
      readBlocks("docs/core.md").find((block) => block.file === "core-postgresql.yaml")!.text,
    );
    writeFileSync(join(dirname(file.path), "database.password"), "secret\n");
    const { database } = readCoreConfiguration(file.path).check();
    expect(database).toMatchObject({ url: "postgres://core@db.example/core", password: "secret", connections: 8 });
  });

  test.each(["core.yaml", "edge.yaml"])("%s is what README.md shows, but for its head", (file) => {
    const shown = readBlocks("README.md").find((block) => block.file === file)!.text;
    expect(readFileSync(join(EXAMPLES, file), "utf8")).toEndWith(shown);
  });
});
