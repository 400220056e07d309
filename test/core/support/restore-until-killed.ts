/**
 * `core restore` as the command does it, in a process that kills itself at a call of the file system (counted-file-system.ts).
 * Arguments: the configuration, the backup.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

const counted = join(import.meta.dir, "counted-file-system.ts");
Bun.plugin({
  name: "counted file system",
  setup(build) {
    build.onLoad({ filter: /\/src\/core\/(restore|backup)\.ts$/ }, ({ path }) => ({
      contents: readFileSync(path, "utf8").replace('from "node:fs"', `from ${JSON.stringify(counted)}`),
      loader: "ts",
    }));
  },
});
const [config, backup] = process.argv.slice(2) as [string, string];
const { restoreDatabase } = await import("../../../src/cli/core-database.ts");
await restoreDatabase(config, backup, { versionMargin: 100, force: true });
