"""The client: a typed call for each operation of an edge, over HTTP, HTTPS with client certificates, or a Unix socket."""

from __future__ import annotations

import http.client
import json
import random
import socket
import ssl
import threading
import time
import urllib.parse
from dataclasses import dataclass
from typing import Any, Callable, Iterator, List, Optional, Sequence, Union

from .errors import CryptoEdgeError
from .formats import Context, from_base64url, parse_wrapped, to_base64url

_BATCH_MAX = 10_000
_LOOPBACK = ("localhost", "::1")
#: What a proxy answers without an explanation.
_UNEXPLAINED = {413: "too_large", 429: "rate_limited", **dict.fromkeys((502, 503, 504), "lease_unavailable")}


@dataclass(frozen=True)
class Key:
    """A data key: created, opened or rewrapped."""

    #: Store it beside the data.
    wrapped: bytes
    tenant: str
    service: str
    version: int
    #: The data key, where it was asked for.
    plaintext: Optional[bytes]
    #: How long the data key may be kept; 0 for not at all.
    cache_seconds: int
    #: Of a rewrap: it was under the active version already, and the old one can stay.
    was_active: bool


class Edge:
    """A client of one edge; make one and keep it. Safe to use from several threads.

    `url`: `unix:/run/crypto-edge/billing.sock`, `https://…`, or on this machine `http://127.0.0.1:7402`. `tls`: for client certificates and the
    edge's CA. `token`: sent as a bearer token; a function is asked for each call. `timeout`: seconds for a call with all its retries.
    """

    def __init__(
        self, url: str, *, tls: Optional[ssl.SSLContext] = None, token: Union[str, Callable[[], str], None] = None,
        timeout: float = 10.0, attempts: int = 3,
    ) -> None:  # fmt: skip
        self.url, self._tls, self._token = url, tls, token
        self._timeout, self._attempts = timeout, attempts
        self._idle: List[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._address = urllib.parse.urlsplit(url)
        host = self._address.hostname or ""
        if self._address.scheme not in ("unix", "http", "https"):
            raise ValueError(f"{url} is no address of an edge: http://, https:// or unix:/path.")
        if self._address.scheme == "http" and host not in _LOOPBACK and not host.startswith("127."):
            raise ValueError(f"{url} would send data keys over the network in the clear: use https://.")

    def create_key(self, tenant: str, service: str = "default", **options: Any) -> Key:
        """`context`: texts to bind the key to; `length`: 16, 32 or 64; `plaintext`: whether the data key is wanted too."""
        return _key(self._call("keys/create", {"tenant": tenant, "service": service, **options}))

    def create_keys(self, tenant: str, service: str, count: int, **options: Any) -> List[Key]:
        """Any number: it is split into requests of 10,000."""
        made: List[Key] = []
        while len(made) < count:
            body = {"tenant": tenant, "service": service, "count": min(count - len(made), _BATCH_MAX), **options}
            made += map(_key, self._call("keys/create-batch", body)["keys"])
        return made

    def decrypt_key(self, wrapped: bytes, context: Optional[Context] = None) -> Key:
        return _key(self._call("keys/decrypt", _item(wrapped, context)), wrapped)

    def decrypt_keys(self, wrapped: Sequence[bytes], context: Optional[Context] = None) -> List[Union[Key, CryptoEdgeError]]:
        """A key or its own error for each, in the order asked; any number."""
        return self._many("keys/decrypt-batch", wrapped, context)

    def rewrap_key(self, wrapped: bytes, context: Optional[Context] = None) -> Key:
        return _key(self._call("keys/rewrap", _item(wrapped, context)), wrapped)

    def rewrap_keys(self, wrapped: Sequence[bytes], context: Optional[Context] = None) -> List[Union[Key, CryptoEdgeError]]:
        return self._many("keys/rewrap-batch", wrapped, context)

    def encrypt_value(self, tenant: str, service: str, value: bytes, context: Optional[Context] = None) -> bytes:
        """Encrypts 1 to 65,536 bytes by the edge itself."""
        body = {"tenant": tenant, "service": service, "value": to_base64url(value), "context": dict(context or {})}
        return from_base64url(self._call("values/encrypt", body)["wrapped"])

    def decrypt_value(self, wrapped: bytes, context: Optional[Context] = None) -> bytes:
        return from_base64url(self._call("values/decrypt", _item(wrapped, context))["value"])

    def revocations(self, on_live: Callable[[bool], None] = lambda live: None) -> Iterator[Any]:
        """Yields what is revoked, as the edge tells it; begins with what is revoked already. Connects again by itself."""
        pause = 0.1
        while True:
            connection = self._connect(timeout=45)
            try:
                connection.request("GET", "/v1/revocations", headers={"accept": "text/event-stream", **self._authorization()})
                response = connection.getresponse()
                if response.status != 200:
                    raise OSError(f"no stream of revocations here ({response.status})")
                on_live(True)
                pause = 0.1
                for line in response:
                    if line.startswith(b"data:"):
                        yield json.loads(line[5:])
            except (OSError, ValueError, http.client.HTTPException):
                pass
            finally:
                connection.close()
                on_live(False)
            time.sleep(random.uniform(pause / 2, pause))
            pause = min(pause * 2, 10)

    def close(self) -> None:
        """Ends the connections that are kept."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _many(self, operation: str, wrapped: Sequence[bytes], context: Optional[Context]) -> List[Union[Key, CryptoEdgeError]]:
        results: List[Union[Key, CryptoEdgeError]] = []
        most = _BATCH_MAX
        while len(results) < len(wrapped):
            part = wrapped[len(results) : len(results) + most]
            try:
                answer = self._call(operation, {"items": [_item(one, context) for one in part]})
            except CryptoEdgeError as error:
                if error.code != "too_large" or len(part) < 2:
                    raise
                most = -(-len(part) // 2)
                continue
            for old, one in zip(part, answer["results"]):
                results.append(_problem(one["error"]) if "error" in one else _key(one, old))
        return results

    def _call(self, operation: str, body: Any) -> Any:
        body = {name: value for name, value in body.items() if value is not None}
        end = time.monotonic() + self._timeout
        bound = 0.05
        for attempt in range(1, self._attempts + 1):
            try:
                return self._send(f"/v1/{operation}", body, end)
            except CryptoEdgeError as error:
                pause = max(error.retry_after or 0, random.uniform(0, bound))
                if not error.may_pass or attempt == self._attempts or time.monotonic() + pause >= end:
                    raise
                time.sleep(pause)
                bound = min(bound * 2, 2)
        raise AssertionError("never reached")

    def _send(self, path: str, body: Any, end: float) -> Any:
        headers = {"content-type": "application/json", **self._authorization()}
        while True:
            with self._lock:
                kept = self._idle.pop() if self._idle else None
            connection = kept or self._connect(max(0.001, end - time.monotonic()))
            if connection.sock is not None:
                connection.sock.settimeout(max(0.001, end - time.monotonic()))
            try:
                connection.request("POST", path, json.dumps(body), headers)
                response = connection.getresponse()
                data = response.read()
                break
            except (OSError, http.client.HTTPException) as cause:
                connection.close()
                # The edge had closed a kept connection meanwhile: another one serves at once.
                if kept is not None and not isinstance(cause, socket.timeout):
                    continue
                reason = str(cause) or type(cause).__name__
                raise CryptoEdgeError("lease_unavailable", f"No edge answers at {self.url}: {reason}.") from cause
        if response.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)
        try:
            answer = json.loads(data) if data else None
        except ValueError:
            answer = None
        if not 200 <= response.status <= 299:
            raise _problem(answer, response.status, response.getheader("retry-after"), response.getheader("x-request-id"))
        if not isinstance(answer, dict):
            raise CryptoEdgeError("unexpected_answer", f"What answers at {self.url} is no edge.", response.status)
        return answer

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        address = self._address
        if address.scheme == "unix":
            return _UnixConnection(address.path, timeout)
        # Never a proxy of the environment: http.client knows none.
        if address.scheme == "https":
            return http.client.HTTPSConnection(address.hostname or "", address.port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout)

    def _authorization(self) -> "dict[str, str]":
        token = self._token() if callable(self._token) else self._token
        return {} if token is None else {"authorization": f"Bearer {token}"}


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _item(wrapped: bytes, context: Optional[Context]) -> "dict[str, Any]":
    return {"wrapped": to_base64url(wrapped), "context": dict(context or {})}


def _key(answer: Any, old: bytes = b"") -> Key:
    wrapped = from_base64url(answer["wrapped"]) if "wrapped" in answer else old
    plaintext = None if answer.get("plaintext") is None else from_base64url(answer["plaintext"])
    info = parse_wrapped(wrapped)
    was_active = bool(old) and parse_wrapped(old).version == info.version
    return Key(wrapped, info.tenant, info.service, info.version, plaintext, answer.get("cache_seconds", 0), was_active)


def _problem(
    answer: Any, status: Optional[int] = None, retry_after: Optional[str] = None, request_id: Optional[str] = None
) -> CryptoEdgeError:
    told = answer if isinstance(answer, dict) else {}
    status = status or told.get("status")
    code = told.get("code") or _UNEXPLAINED.get(status or 0, "unexpected_answer")
    detail = told.get("detail") or f"An answer with the status {status} that explains nothing."
    seconds = float(retry_after) if retry_after is not None and retry_after.isdigit() else None
    return CryptoEdgeError(code, detail, status, told.get("request_id") or request_id, seconds)
