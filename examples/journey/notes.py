# The application: notes in a table whose text is encrypted.
import os
import sqlite3

from crypto_edge import Edge, Records

records = Records(Edge(os.environ["CRYPTO_EDGE_URL"]), tenant="tenant-a", service="billing")
db = sqlite3.connect("notes.db", isolation_level=None)
db.execute("CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY, note BLOB)")


def write(id: str, note: str) -> None:
    db.execute("INSERT INTO notes VALUES (?, ?)", (id, records.seal(note, {"table": "notes", "id": id})))


def read(id: str) -> str:
    (sealed,) = db.execute("SELECT note FROM notes WHERE id = ?", (id,)).fetchone()
    return records.open_text(sealed, {"table": "notes", "id": id})


def rewrap() -> None:
    for batch in records.rewrap_all(db.execute("SELECT id, note FROM notes").fetchall()):
        db.executemany("UPDATE notes SET note = ? WHERE id = ?", [(note, id) for id, note in batch.changed])
