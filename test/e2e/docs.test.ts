/** README.md and the pages of docs/: every command is run, every file is used as it is printed. */
import { describe, expect, test } from "bun:test";
import { ROOT, readBlocks } from "../support/pages.ts";
import { start } from "./support/binary.ts";
import { walk } from "./support/walk.ts";

describe("README.md", () => {
  test("starts a Core and an edge by the one command that it begins with", async () => {
    expect(readBlocks("README.md")[0]!.text).toBe("npm start\n");
    // A session of its own, so that Ctrl-C reaches all of it, as a terminal's does.
    const dev = start(["npm", "start", "--silent", "--", "--port", "0"], { command: "setsid", cwd: ROOT });
    try {
      await dev.waitFor(/^ready /m, 60_000);
      expect(dev.output().match(/^ {2}curl /gm)).toHaveLength(2);
    } finally {
      process.kill(-dev.pid, "SIGINT");
      await dev.ended;
    }
  });

  test("leads to a Core, an edge, a data key, a sealed file and a revocation of one's own", async () => {
    const { printed } = await walk("README.md");
    expect(printed("config check")).toContain("edge.yaml: no mistakes");
    const made = JSON.parse(printed('"plaintext": true'));
    expect(JSON.parse(printed("WRAPPED=$("))).toEqual({
      plaintext: made.plaintext,
      tenant: "tenant-a",
      service: "billing",
      version: 1,
    });
    expect(printed("bun record.ts")).toContain("invoice 4711");
    expect(printed("inspect")).toContain("sealed file, format 1");
    expect(printed("core revoke")).toContain('"code":"key_revoked"');
  });
});
