"""The client and records against a real edge (CRYPTO_EDGE_URL), and against what is none."""

import http.server
import json
import os
import ssl
import threading
import unittest
from typing import Any, Callable, List, Optional, Tuple

from crypto_edge import CryptoEdgeError, Edge, Records, parse_wrapped

URL = os.environ.get("CRYPTO_EDGE_URL", "")
NAME = ("tenant-a", "billing")


class FakeEdge:
    """Answers what a test says."""

    def __init__(self, answer: Callable[[str, Any, Any], Tuple[int, Any, "dict[str, str]"]]) -> None:
        self.asked: List[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.asked.append(self.path)
                status, told, headers = answer(self.path, body, self.headers)
                data = json.dumps(told).encode()
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def problem(status: int, code: str) -> "dict[str, Any]":
    return {"status": status, "code": code, "detail": "told", "request_id": "r-1"}


class WithoutAnEdge(unittest.TestCase):
    def test_a_call_is_sent_again_while_its_error_passes(self) -> None:
        fake = FakeEdge(lambda *_: (503, problem(503, "lease_unavailable"), {}))
        self.addCleanup(fake.close)
        with self.assertRaises(CryptoEdgeError) as caught:
            Edge(fake.url).create_key(*NAME)
        self.assertEqual((caught.exception.code, caught.exception.request_id, len(fake.asked)), ("lease_unavailable", "r-1", 3))

    def test_other_errors_and_long_waits_are_told_at_once(self) -> None:
        answers = [(410, problem(410, "key_revoked"), {}), (429, problem(429, "rate_limited"), {"retry-after": "60"})]
        fake = FakeEdge(lambda *_: answers.pop(0))
        self.addCleanup(fake.close)
        for code, retry_after in (("key_revoked", None), ("rate_limited", 60)):
            with self.assertRaises(CryptoEdgeError) as caught:
                Edge(fake.url, timeout=5).create_key(*NAME)
            self.assertEqual((caught.exception.code, caught.exception.retry_after), (code, retry_after))

    def test_a_batch_that_is_too_large_is_halved(self) -> None:
        sizes: List[int] = []

        def answer(path: str, body: Any, headers: Any) -> Tuple[int, Any, "dict[str, str]"]:
            sizes.append(len(body["items"]))
            if sizes[-1] > 3:
                return 413, problem(413, "too_large"), {}
            return 200, {"results": [{"error": problem(400, "invalid_blob")} for _ in body["items"]]}, {}

        fake = FakeEdge(answer)
        self.addCleanup(fake.close)
        self.assertEqual(len(Edge(fake.url).decrypt_keys([b"x"] * 10)), 10)
        self.assertEqual(sizes, [10, 5, 3, 3, 3, 1])

    def test_what_is_no_edge_is_told_as_such(self) -> None:
        fake = FakeEdge(lambda *_: (200, ["no edge"], {}))
        self.addCleanup(fake.close)
        with self.assertRaises(CryptoEdgeError) as caught:
            Edge(fake.url).create_key(*NAME)
        self.assertEqual(caught.exception.code, "unexpected_answer")
        with self.assertRaises(CryptoEdgeError) as caught:
            Edge("unix:/nowhere/edge.sock", attempts=1).create_key(*NAME)
        self.assertEqual(caught.exception.code, "lease_unavailable")
        for url in ("http://edge.example:7402", "ftp://edge", "nonsense"):
            with self.assertRaises(ValueError):
                Edge(url)


@unittest.skipUnless(URL, "CRYPTO_EDGE_URL names no edge")
class WithAnEdge(unittest.TestCase):
    edge: Edge

    def setUp(self) -> None:
        self.edge = Edge(URL)

    def test_keys_are_made_and_opened_by_every_way(self) -> None:
        ways = [self.edge]
        if "CRYPTO_EDGE_HTTPS" in os.environ:
            tls = ssl.create_default_context(cafile=os.environ["CA"])
            tls.load_cert_chain(os.environ["CERT"], os.environ["KEY"])
            ways.append(Edge(os.environ["CRYPTO_EDGE_HTTPS"], tls=tls))
            ways.append(Edge(os.environ["CRYPTO_EDGE_UNIX"]))
        for edge in ways:
            made = edge.create_key(*NAME, plaintext=True, context={"id": "1"})
            self.assertEqual(edge.decrypt_key(made.wrapped, {"id": "1"}).plaintext, made.plaintext)
            self.assertEqual(parse_wrapped(made.wrapped).version, made.version)
            many = edge.create_keys(*NAME, 3)
            self.assertEqual([key.version for key in edge.decrypt_keys([key.wrapped for key in many]) if not isinstance(key, Exception)], [made.version] * 3)
            self.assertNotEqual(edge.rewrap_key(made.wrapped, {"id": "1"}).wrapped, made.wrapped)
            with self.assertRaises(CryptoEdgeError) as caught:
                edge.create_key("tenant-a", "nowhere")
            self.assertEqual((caught.exception.code, caught.exception.status), ("key_not_found", 404))
            edge.close()

    def test_records_alone_and_in_lists(self) -> None:
        records = Records(self.edge, *NAME)
        context = {"table": "t", "id": "1"}
        self.assertEqual(records.open_text(records.seal("grün \U0001f512", context), context), "grün \U0001f512")
        self.assertEqual(records.open_json(records.seal_json({"a": [1, None]})), {"a": [1, None]})
        sealed = records.seal_many([("a", context), (b"b", None)])
        good, bad = records.open_many([(sealed[0], context), (sealed[1], context)])
        self.assertEqual(good, b"a")
        assert isinstance(bad, CryptoEdgeError)
        self.assertEqual(bad.code, "decryption_failed")
        with self.assertRaises(CryptoEdgeError) as caught:
            Records(self.edge, "tenant-b", "billing").open(sealed[1])
        self.assertEqual(caught.exception.code, "decryption_failed")
        with self.assertRaises(CryptoEdgeError):
            records.seal("\ud800")

    def test_blind_index(self) -> None:
        records = Records(self.edge, *NAME)
        index = records.blind_index(records.create_index_key(), "email")
        self.assertEqual(index.token("a"), index.token("a"))
        self.assertNotEqual(index.token("a"), index.token("b"))

    def test_records_of_the_other_languages(self) -> None:
        crossing: Optional[str] = os.environ.get("CROSSING")
        if crossing is None:
            self.skipTest("CROSSING names no folder")
        records = Records(self.edge, *NAME)
        for name in sorted(os.listdir(crossing)):
            with open(os.path.join(crossing, name), encoding="utf-8") as file:
                for one in json.load(file):
                    self.assertEqual(records.open_text(one["record"], one["context"]), one["value"])
        context = {"language": "python", "id": "ü"}
        value = "from Python \U0001f40d"
        from crypto_edge.formats import to_base64url

        with open(os.path.join(crossing, "python.json"), "w", encoding="utf-8") as file:
            made = [records.seal(value, context), *records.seal_many([(value, context)])]
            json.dump([{"record": to_base64url(one), "context": context, "value": value} for one in made], file)


if __name__ == "__main__":
    unittest.main()
