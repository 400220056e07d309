# Drives notes.py by lines on standard input, as a test does; says what came of each.
import base64
import json
import sys

import notes
from crypto_edge import CryptoEdgeError

does = {
    "write": lambda asked: notes.write(asked["id"], asked["note"]),
    "read": lambda asked: notes.read(asked["id"]),
    "rewrap": lambda asked: notes.rewrap(),
    "stored": lambda asked: base64.urlsafe_b64encode(
        notes.db.execute("SELECT note FROM notes WHERE id = ?", (asked["id"],)).fetchone()[0]
    ).rstrip(b"=").decode(),
}
for line in sys.stdin:
    asked = json.loads(line)
    try:
        told = {"ok": does[asked["do"]](asked)}
    except CryptoEdgeError as error:
        told = {"error": error.code}
    print(json.dumps(told), flush=True)
