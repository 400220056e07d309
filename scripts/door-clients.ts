/** Writes docs/door-clients.md: runs the front doors' clients (test/integration/doors-*.test.ts) and notes which of them passed. */
import { globSync } from "node:fs";
import { resolve } from "node:path";

const root = resolve(import.meta.dir, "..");
const files = globSync("test/integration/doors-*.test.ts", { cwd: root });
const { exitCode } = Bun.spawnSync(["sh", "scripts/bun.sh", "test", ...files], {
  cwd: root,
  env: { ...process.env, WRITE_DOOR_CLIENTS: "yes" },
  stdio: ["ignore", "inherit", "inherit"],
});
process.exit(exitCode);
