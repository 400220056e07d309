"""The one error of this package."""

from __future__ import annotations

from typing import Optional

_PASSING = frozenset({"lease_unavailable", "rate_limited", "overloaded"})


class CryptoEdgeError(Exception):
    """Every failure: the edge's own code (docs/errors.md) and sentence, or one of this client.

    `lease_unavailable` where no edge answers, `unexpected_answer` where what answers is none, `invalid_record` for what is no record.
    """

    def __init__(
        self, code: str, message: str, status: Optional[int] = None, request_id: Optional[str] = None, retry_after: Optional[float] = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.status, self.request_id = code, status, request_id
        #: Seconds after which asking again can help, if the edge said.
        self.retry_after = retry_after

    @property
    def may_pass(self) -> bool:
        """Whether the same call may succeed a little later; asking again never does harm."""
        return self.code in _PASSING
