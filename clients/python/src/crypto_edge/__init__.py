"""Data keys beside your application: a client of crypto-edge, and encrypted records.

    edge = Edge("unix:/run/crypto-edge/billing.sock")
    records = Records(edge, tenant="tenant-a", service="billing")
    sealed = records.seal("invoice 4711", {"table": "invoices", "id": "4711"})
    text = records.open_text(sealed, {"table": "invoices", "id": "4711"})
"""

from .client import Edge, Key
from .errors import CryptoEdgeError
from .formats import WrappedKeyInfo, parse_wrapped
from .records import BlindIndex, Records, RewrapBatch

__all__ = ["BlindIndex", "CryptoEdgeError", "Edge", "Key", "Records", "RewrapBatch", "WrappedKeyInfo", "parse_wrapped"]
