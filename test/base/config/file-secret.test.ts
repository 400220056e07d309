/** A secret of a file follows it, wherever in a configuration it is named. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Type } from "@sinclair/typebox";
import { type FileSecret, followSecrets } from "../../../src/base/config/file-secret.ts";
import { parseConfigurationText } from "../../../src/base/config/load.ts";
import { Secret, Section } from "../../../src/base/config/schema-types.ts";
import type { Configuration } from "../../../src/edge/config/schema.ts";
import { changedSections, renewalOf } from "../../../src/edge/renewal.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const folder = mkdtempSync(join(tmpdir(), "file-secret-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string): string => join(folder, name);
for (const [name, text] of Object.entries({ one: "first\n", two: "of a list", three: "of a header", empty: "\n" })) {
  writeFileSync(file(name), text);
}

const SCHEMA = Section({
  section: Section({ password: Type.Union([Secret(), Type.Null()]), inPlace: Secret() }),
  list: Type.Array(Secret()),
  headers: Type.Record(Type.String(), Secret()),
});
const TEXT = `section: { password: "file:one", inPlace: here }
list: [ here, "file:two" ]
headers: { authorization: "file:three" }
`;

interface Read {
  readonly section: { readonly password: string; readonly inPlace: string };
  readonly list: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
}

function read(text = TEXT): { configuration: Read; secrets: readonly FileSecret[] } {
  const source = parseConfigurationText(text, file("edge.yaml"), {});
  return { configuration: source.decode<Read>(SCHEMA, () => []), secrets: source.secrets };
}

function followed(secrets: readonly FileSecret[]) {
  const clock = new VirtualClock();
  const lines: unknown[] = [];
  const log = (level: string) => (fields: unknown) => void lines.push([level, fields]);
  const following = followSecrets(secrets, { clock, log: { info: log("info"), warn: log("warn") } });
  return { clock, lines, following };
}

test("in a section, a list and a record; what is there in place stays", async () => {
  const { configuration, secrets } = read();
  const before = {
    section: { password: "first", inPlace: "here" },
    list: ["here", "of a list"],
    headers: { authorization: "of a header" },
  };
  expect(JSON.parse(JSON.stringify(configuration))).toEqual(before);
  const { clock, lines, following } = followed(secrets);
  writeFileSync(file("one"), "second\n");
  writeFileSync(file("two"), "of it");
  writeFileSync(file("three"), "of another");
  await clock.advance(6_000);
  expect(JSON.parse(JSON.stringify(configuration))).toEqual({
    section: { password: "second", inPlace: "here" },
    list: ["here", "of it"],
    headers: { authorization: "of another" },
  });
  expect(lines).toEqual(
    ["section.password", "list[1]", "headers.authorization"].map((path) => ["info", { role: `the secret ${path}` }]),
  );
  following.close();
  writeFileSync(file("one"), "third");
  await clock.advance(60_000);
  expect(configuration.section.password).toBe("second");
  expect(clock.pending).toBe(0);
});

test("a file that is empty or can't be read leaves the old one in use, says so once, and nothing of any secret", async () => {
  writeFileSync(file("one"), "good");
  const { configuration, secrets } = read();
  const { clock, lines, following } = followed(secrets);
  const role = "the secret section.password";
  const tell = (reason: string): unknown => ["warn", { role, reason: expect.stringContaining(reason) }];
  writeFileSync(file("one"), "");
  await clock.advance(120_000);
  expect(configuration.section.password).toBe("good");
  expect(lines).toEqual([tell("one is empty")]);
  rmSync(file("one"));
  await clock.advance(120_000);
  expect(configuration.section.password).toBe("good");
  expect(lines).toEqual([tell("one is empty"), tell("one can't be read (ENOENT)")]);
  expect(following.reload()).rejects.toThrow("one can't be read (ENOENT)");
  writeFileSync(file("one"), "better");
  await following.reload();
  expect(configuration.section.password).toBe("better");
  expect(JSON.stringify(lines)).not.toMatch(/good|better/);
  following.close();
});

test("an empty file is a mistake at the start, with its place", () => {
  expect(() => read(TEXT.replace("file:one", "file:empty"))).toThrow(
    /edge\.yaml:1:12: section\.password: .*empty is empty/,
  );
});

test("a reload does not say that the section of a secret counts from the next start, and says it of another file", async () => {
  writeFileSync(file("one"), "good");
  writeFileSync(file("four"), "good");
  const digests = async (text = TEXT) =>
    renewalOf({ ...read(text).configuration, policies: [] } as unknown as Configuration, "5a".repeat(32));
  const started = await digests();
  writeFileSync(file("one"), "better");
  expect(changedSections(started, await digests())).toEqual([]);
  expect(changedSections(started, await digests(TEXT.replace("file:one", "file:four")))).toEqual(["section"]);
});
