"""The formats of docs/blob-format.md and docs/record-format.md, as far as an application needs them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from dataclasses import dataclass
from typing import Mapping, Optional, Union

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .errors import CryptoEdgeError

Context = Mapping[str, str]
FIXED = b"LR\x01\x00"
_RECORD_INFO = b"crypto-edge record v1\x00" + FIXED
_INDEX_INFO = b"crypto-edge blind index v1\x00"
_NAME = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}\Z")


def to_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if to_base64url(data) != text:
        raise ValueError("not base64url as it is written")
    return data


def encode_context(context: Optional[Context]) -> bytes:
    """The context's one encoding (blob-format.md, "Encryption context")."""
    if not context:
        return b""
    try:
        entries = sorted((key.encode(), value.encode()) for key, value in context.items())
    except (AttributeError, UnicodeEncodeError) as cause:
        raise CryptoEdgeError("invalid_request", "A context maps texts to texts, without lone surrogates.") from cause
    encoded = len(entries).to_bytes(2, "big")
    for key, value in entries:
        if not key or max(len(key), len(value)) > 8192:
            raise CryptoEdgeError("invalid_request", "A context has no empty key, and 8,192 bytes at most.")
        encoded += len(key).to_bytes(2, "big") + key + len(value).to_bytes(2, "big") + value
    if len(entries) > 64 or len(encoded) > 8192:
        raise CryptoEdgeError("invalid_request", "A context has at most 64 entries and 8,192 bytes.")
    return encoded


@dataclass(frozen=True)
class WrappedKeyInfo:
    """What a wrapped key says of itself; nothing of it is verified."""

    tenant: str
    service: str
    version: int
    #: 1: a data key that the edge made. 2: a value that the application chose.
    suite: int
    #: Bytes of the data key or value.
    length: int


def parse_wrapped(wrapped: bytes) -> WrappedKeyInfo:
    """Reads tenant, service, version and suite out of a wrapped key, offline."""
    if len(wrapped) < 10 or wrapped[:3] != b"L4\x01" or wrapped[3] not in (1, 2):
        raise CryptoEdgeError("invalid_blob", "This is not a wrapped key: it starts with other bytes.")
    version = int.from_bytes(wrapped[4:8], "big")
    tenant_end = 9 + wrapped[8]
    service_start = tenant_end + 1
    service_end = service_start + (wrapped[tenant_end] if tenant_end < len(wrapped) else 0)
    tenant, service = wrapped[9:tenant_end], wrapped[service_start:service_end]
    length = len(wrapped) - service_end - 16 - 12 - 32 - 16
    fits = length in (16, 32, 64) if wrapped[3] == 1 else 1 <= length <= 65_536
    if version == 0 or not fits or not _NAME.match(tenant) or not _NAME.match(service):
        raise CryptoEdgeError("invalid_blob", "This is not a wrapped key: its fields do not add up.")
    return WrappedKeyInfo(tenant.decode(), service.decode(), version, wrapped[3], length)


def hkdf(key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA-256 without a salt (RFC 5869), up to 64 bytes."""
    extracted = hmac.digest(bytes(32), key, hashlib.sha256)
    first = hmac.digest(extracted, info + b"\x01", hashlib.sha256)
    return (first + hmac.digest(extracted, first + info + b"\x02", hashlib.sha256))[:length]


def index_key(data_key: bytes, field: str) -> bytes:
    return hkdf(data_key, _INDEX_INFO + field.encode(), 32)


@dataclass(frozen=True)
class RecordParts:
    wrapped: bytes
    info: WrappedKeyInfo
    nonce: bytes
    commitment: bytes
    #: Ciphertext and tag.
    sealed: bytes

    def with_wrapped(self, wrapped: bytes) -> bytes:
        """The same record under another wrapped key of its data key."""
        return _start(wrapped) + self.nonce + self.commitment + self.sealed


def parse_record(record: Union[bytes, str]) -> RecordParts:
    """Bytes, or base64url."""
    try:
        data = from_base64url(record) if isinstance(record, str) else bytes(record)
        wrapped_end = 6 + int.from_bytes(data[4:6], "big")
        if data[:4] != FIXED or len(data) < wrapped_end + 12 + 32 + 16:
            raise ValueError("too short, or of another format")
        info = parse_wrapped(data[6:wrapped_end])
        if info.suite != 1 or info.length != 32:
            raise ValueError("its key is of another kind")
    except (ValueError, TypeError, CryptoEdgeError) as cause:
        raise CryptoEdgeError("invalid_record", "This is not a record. Pass it exactly as it was sealed.") from cause
    nonce, commitment = data[wrapped_end : wrapped_end + 12], data[wrapped_end + 12 : wrapped_end + 44]
    return RecordParts(data[6:wrapped_end], info, nonce, commitment, data[wrapped_end + 44 :])


class RecordKey:
    """What records derive from a data key, and the two operations."""

    def __init__(self, wrapped: bytes, data_key: bytes) -> None:
        derived = hkdf(data_key, _RECORD_INFO, 64)
        self.wrapped = wrapped
        self.data_key = data_key
        self._cipher = AESGCM(derived[:32])
        self._commitment = derived[32:]

    def seal(self, value: bytes, context: bytes) -> bytes:
        nonce = os.urandom(12)
        sealed = self._cipher.encrypt(nonce, value, FIXED + self._commitment + context)
        return _start(self.wrapped) + nonce + self._commitment + sealed

    def open(self, parts: RecordParts, context: bytes) -> bytes:
        try:
            if hmac.compare_digest(parts.commitment, self._commitment):
                return self._cipher.decrypt(parts.nonce, parts.sealed, FIXED + self._commitment + context)
        except InvalidTag:
            pass
        # One error for all of it, so that nobody learns which.
        raise CryptoEdgeError("decryption_failed", "The record was altered, or the context is not the one of its sealing.")


def _start(wrapped: bytes) -> bytes:
    return FIXED + len(wrapped).to_bytes(2, "big") + wrapped
