// The application: notes in a table whose text is encrypted.
import Database from "better-sqlite3";
import { createClient } from "crypto-edge/client";
import { createRecords } from "crypto-edge/records";

const records = createRecords(createClient({ url: process.env.CRYPTO_EDGE_URL }), {
  tenant: "tenant-a",
  service: "billing",
});
export const db = new Database("notes.db").exec("CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY, note BLOB)");
export async function write(id, note) {
  db.prepare("INSERT INTO notes VALUES (?, ?)").run(id, await records.seal(note, { table: "notes", id }));
}
export async function read(id) {
  return records.openText(db.prepare("SELECT note FROM notes WHERE id = ?").get(id).note, { table: "notes", id });
}
export async function rewrap() {
  const rows = db.prepare("SELECT id, note AS record FROM notes").all();
  for await (const { changed } of records.rewrapAll(rows)) {
    for (const { id, record } of changed) db.prepare("UPDATE notes SET note = ? WHERE id = ?").run(record, id);
  }
}
