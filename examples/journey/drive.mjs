// Drives notes.mjs by lines on standard input, as a test does; says what came of each.
import { createInterface } from "node:readline";
import * as notes from "./notes.mjs";

const does = {
  write: ({ id, note }) => notes.write(id, note),
  read: ({ id }) => notes.read(id),
  rewrap: () => notes.rewrap(),
  stored: ({ id }) => notes.db.prepare("SELECT note FROM notes WHERE id = ?").get(id).note.toString("base64url"),
};
for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  try {
    console.log(JSON.stringify({ ok: (await does[asked.do](asked)) ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ error: error.code ?? String(error) }));
  }
}
