import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Machine } from "../../bench/harness/machine.ts";
import type { Row } from "../../bench/harness/row.ts";
import { readRun, saveRun } from "../../bench/harness/saved-run.ts";

const row = (name: string): Row => ({ name, unit: "ms", result: 1 }) as unknown as Row;
const machine = (at: string): Machine => ({ at }) as unknown as Machine;

test("a part that ran again leaves no row of before, and the parts that did not run stay", () => {
  const folder = mkdtempSync(join(tmpdir(), "crypto-edge-run-"));
  const file = join(folder, "run.json");
  saveRun(file, machine("first"), [row("wrap: renamed since"), row("wrap: kept"), row("batch: kept")]);
  saveRun(file, machine("second"), [row("wrap: kept"), row("wrap: new")]);
  const run = readRun(file)!;
  rmSync(folder, { recursive: true });
  expect(run.rows.map(({ name }) => name)).toEqual(["batch: kept", "wrap: kept", "wrap: new"]);
  expect(run.machines).toEqual({ wrap: machine("second"), batch: machine("first") });
});
