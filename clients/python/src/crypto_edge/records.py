"""Records: values of an application, encrypted under data keys of an edge, with the wrapped data key inside (docs/records.md)."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

from .client import Edge
from .errors import CryptoEdgeError
from .formats import Context, RecordKey, RecordParts, encode_context, index_key, parse_record

Value = Union[str, bytes]
Record = Union[bytes, str]


@dataclass
class _Kept:
    key: RecordKey
    started: Tuple[float, float]
    seconds: float
    records: int = 0
    size: int = 0

    def is_over(self) -> bool:
        """By two clocks: a machine may sleep, a clock be set back."""
        wall = time.time() - self.started[1]
        return wall < -1 or max(time.monotonic() - self.started[0], wall) >= self.seconds


@dataclass(frozen=True)
class RewrapBatch:
    """Store `changed` (id, new record), then remember `last`: whoever starts again after it goes on where this ended."""

    changed: List[Tuple[Any, bytes]]
    unchanged: int
    failed: List[Tuple[Any, CryptoEdgeError]]
    last: Any
    done: int


class Records:
    """Records of one tenant and service. Safe to use from several threads.

    `reuse`: a data key seals at most so many records, bytes and seconds. `cache`: at most so many keys are kept for reading, for so many
    seconds. Neither is ever kept longer than the edge lets it; a revocation drops all at once, while `hear_revocations` is true.
    """

    def __init__(
        self,
        edge: Edge,
        tenant: str,
        service: str = "default",
        *,
        key_context: Optional[Context] = None,
        reuse: Tuple[int, int, float] = (100_000, 2**30, 300),
        cache: Tuple[int, float] = (1_000, float("inf")),
        hear_revocations: bool = True,
    ) -> None:
        self._edge, self.tenant, self.service, self._key_context = edge, tenant, service, key_context
        self._reuse, (self._cache_keys, self._cache_seconds), self._hear = reuse, cache, hear_revocations
        self._cache: "OrderedDict[bytes, _Kept]" = OrderedDict()
        self._writing: Optional[_Kept] = None
        self._changes = 0
        self._listener: Optional[threading.Thread] = None
        self._lock = threading.RLock()

    def seal(self, value: Value, context: Optional[Context] = None) -> bytes:
        """Encrypts a value (a text as UTF-8) and binds it to its place: it opens with the same context alone."""
        data, encoded = _bytes(value), encode_context(context)
        return self._writing_key(len(data)).seal(data, encoded)

    def open(self, record: Record, context: Optional[Context] = None) -> bytes:
        parts, encoded = parse_record(record), encode_context(context)
        return self._key(parts.wrapped, parts.info.tenant, parts.info.service).open(parts, encoded)

    def open_text(self, record: Record, context: Optional[Context] = None) -> str:
        return self.open(record, context).decode()

    def seal_json(self, value: Any, context: Optional[Context] = None) -> bytes:
        return self.seal(json.dumps(value, separators=(",", ":"), ensure_ascii=False), context)

    def open_json(self, record: Record, context: Optional[Context] = None) -> Any:
        return json.loads(self.open(record, context))

    def seal_many(self, items: Sequence[Tuple[Value, Optional[Context]]]) -> List[bytes]:
        """Seals a list, each value under a data key of its own."""
        inputs = [(_bytes(value), encode_context(context)) for value, context in items]
        keys = self._edge.create_keys(self.tenant, self.service, len(inputs), context=self._key_context, plaintext=True)
        return [RecordKey(key.wrapped, key.plaintext or b"").seal(*one) for key, one in zip(keys, inputs)]

    def open_many(self, items: Sequence[Tuple[Record, Optional[Context]]]) -> List[Union[bytes, CryptoEdgeError]]:
        """Opens a list: each value's bytes, or that record's own error."""
        parsed = [_attempt(parse_record, record) for record, _ in items]
        wanted = {part.wrapped for part in parsed if isinstance(part, RecordParts) and self._held(part.wrapped) is None}
        asked = list(wanted)
        answers = dict(zip(asked, self._edge.decrypt_keys(asked, self._key_context)))

        def open_one(part: RecordParts, context: Optional[Context]) -> bytes:
            self._must_be_ours(part.info.tenant, part.info.service)
            answer = answers.get(part.wrapped)
            if isinstance(answer, CryptoEdgeError):
                raise answer
            held = None if answer else self._key(part.wrapped, self.tenant, self.service)
            key = held or RecordKey(part.wrapped, (answer and answer.plaintext) or b"")
            return key.open(part, encode_context(context))

        pairs = zip(parsed, (context for _, context in items))
        return [part if isinstance(part, CryptoEdgeError) else _attempt(open_one, part, context) for part, context in pairs]

    def rewrap_all(self, rows: Iterable[Tuple[Any, bytes]], batch: int = 1_000) -> Iterator[RewrapBatch]:
        """Wraps the data keys of a table's records under the active version; rows are (id, record). Values are not touched."""
        remembered: "OrderedDict[bytes, Optional[bytes]]" = OrderedDict()
        part: List[Tuple[Any, bytes]] = []
        done = 0
        for row in rows:
            part.append(row)
            if len(part) >= batch:
                done += len(part)
                yield self._rewrap(part, remembered, done)
                part = []
        if part:
            yield self._rewrap(part, remembered, done + len(part))

    def create_index_key(self) -> bytes:
        """A wrapped data key for blind indexes: make it once and keep it."""
        return self._edge.create_key(self.tenant, self.service, context=self._key_context).wrapped

    def blind_index(self, wrapped: bytes, field: str, length: int = 16) -> "BlindIndex":
        """Tokens for equality search. Equal values have equal tokens: that is what they leak."""
        return BlindIndex(self, wrapped, field, length)

    def forget_keys(self) -> None:
        with self._lock:
            self._changes += 1
            self._cache.clear()
            self._writing = None

    def _rewrap(self, rows: List[Tuple[Any, bytes]], remembered: "OrderedDict[bytes, Optional[bytes]]", done: int) -> RewrapBatch:
        parsed = [(id_, _attempt(parse_record, record)) for id_, record in rows]
        asked = list({part.wrapped for _, part in parsed if isinstance(part, RecordParts)} - remembered.keys())
        refused: Dict[bytes, CryptoEdgeError] = {}
        for wrapped, answer in zip(asked, self._edge.rewrap_keys(asked, self._key_context)):
            if isinstance(answer, CryptoEdgeError):
                refused[wrapped] = answer
            else:
                remembered[wrapped] = None if answer.was_active else answer.wrapped
        changed: List[Tuple[Any, bytes]] = []
        failed: List[Tuple[Any, CryptoEdgeError]] = []
        for id_, part in parsed:
            if isinstance(part, CryptoEdgeError) or part.wrapped in refused:
                failed.append((id_, part if isinstance(part, CryptoEdgeError) else refused[part.wrapped]))
            elif (new := remembered[part.wrapped]) is not None:
                changed.append((id_, part.with_wrapped(new)))
        while len(remembered) > 10_000:
            remembered.popitem(last=False)
        return RewrapBatch(changed, len(rows) - len(changed) - len(failed), failed, rows[-1][0], done)

    def _writing_key(self, size: int) -> RecordKey:
        with self._lock:
            records, total, seconds = self._reuse
            kept = self._writing
            if kept is None or kept.records >= min(records, 2**30) or kept.size + size > total or kept.is_over():
                started, changes = (time.monotonic(), time.time()), self._changes
                made = self._edge.create_key(self.tenant, self.service, context=self._key_context, plaintext=True)
                kept = _Kept(RecordKey(made.wrapped, made.plaintext or b""), started, min(seconds, made.cache_seconds))
                self._writing = kept if changes == self._changes and not kept.is_over() else None
                if self._writing is not None:
                    self._listen()
            kept.records += 1
            kept.size += size
            return kept.key

    def _held(self, wrapped: bytes) -> Optional[RecordKey]:
        with self._lock:
            kept = self._cache.get(wrapped)
            if kept is None or kept.is_over():
                self._cache.pop(wrapped, None)
                return None
            self._cache.move_to_end(wrapped)
            return kept.key

    def _key(self, wrapped: bytes, tenant: str, service: str) -> RecordKey:
        held = self._held(wrapped)
        if held is not None:
            return held
        self._must_be_ours(tenant, service)
        started, changes = (time.monotonic(), time.time()), self._changes
        opened = self._edge.decrypt_key(wrapped, self._key_context)
        key = RecordKey(wrapped, opened.plaintext or b"")
        with self._lock:
            # Asked for before a revocation, and come after it: not to be kept.
            kept = _Kept(key, started, min(opened.cache_seconds, self._cache_seconds))
            if changes == self._changes and self._cache_keys > 0 and not kept.is_over():
                self._cache[wrapped] = kept
                while len(self._cache) > self._cache_keys:
                    self._cache.popitem(last=False)
                self._listen()
        return key

    def _must_be_ours(self, tenant: str, service: str) -> None:
        if (tenant, service) != (self.tenant, self.service):
            raise CryptoEdgeError("decryption_failed", "It was sealed for another tenant or service than is asked for here.")

    def _listen(self) -> None:
        if self._hear and self._listener is None:
            self._listener = threading.Thread(target=self._hear_revocations, name="crypto-edge-revocations", daemon=True)
            self._listener.start()

    def _hear_revocations(self) -> None:
        for scope in self._edge.revocations():
            told = scope if isinstance(scope, dict) else {}
            if told.get("tenant", self.tenant) == self.tenant and (told.get("service") or self.service) == self.service:
                self.forget_keys()


class BlindIndex:
    """Blind index, version 1 (docs/record-format.md)."""

    def __init__(self, records: Records, wrapped: bytes, field: str, length: int) -> None:
        if not 8 <= length <= 32:
            raise CryptoEdgeError("invalid_request", "A token has 8 to 32 bytes.")
        self._records, self._wrapped, self._field, self._length = records, wrapped, field, length

    def token(self, value: str) -> bytes:
        """Store it beside the record, and look for it. Normalize the value before."""
        records = self._records
        key = records._key(self._wrapped, records.tenant, records.service)
        return hmac.digest(index_key(key.data_key, self._field), value.encode(), hashlib.sha256)[: self._length]


def _bytes(value: Value) -> bytes:
    try:
        return value.encode() if isinstance(value, str) else bytes(value)
    except (TypeError, UnicodeEncodeError) as cause:
        raise CryptoEdgeError("invalid_request", "A value is a text without lone surrogates, or bytes.") from cause


def _attempt(work: Any, *arguments: Any) -> Any:
    try:
        return work(*arguments)
    except CryptoEdgeError as error:
        return error
