/** docs/door-clients.md: what ran against the front doors, client by client. Written by scripts/door-clients.ts, held by the tests that run them. */
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";

const PAGE = resolve(import.meta.dir, "../../../docs/door-clients.md");

export class DoorTable {
  readonly #name: string;
  readonly #rows: string[] = [];

  /** `name`: of the part of the page that this file of tests makes. */
  constructor(name: string) {
    this.#name = name;
  }

  /** A test that runs one client; a row of the table once it has passed. */
  row(client: string, version: () => string, did: string, run: () => Promise<void>): void {
    test(`${client}: ${did}`, async () => {
      await run();
      this.#rows.push(`| ${client} | ${version()} | ${did} | yes |`);
    }, 180_000);
  }

  /** To be called last: the page has exactly what passed. */
  hold(): void {
    test(`docs/door-clients.md tells of ${this.#name} what has run`, () => {
      const [begin, end] = [`<!-- ${this.#name}: made by scripts/door-clients.ts -->`, `<!-- end of ${this.#name} -->`];
      const page = readFileSync(PAGE, "utf8");
      const table = [
        "",
        "| client | version | what was done | ok |",
        "| --- | --- | --- | --- |",
        ...this.#rows,
        "",
      ].join("\n");
      const written = `${page.slice(0, page.indexOf(begin))}${begin}\n${table}\n${page.slice(page.indexOf(end))}`;
      if (process.env.WRITE_DOOR_CLIENTS === "yes") writeFileSync(PAGE, written);
      expect(readFileSync(PAGE, "utf8")).toBe(written);
    });
  }
}
