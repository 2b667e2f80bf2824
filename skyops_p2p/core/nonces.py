"""Nonces seen of late, so that a replayed Hello is known. Spec: protocol/01-identity.md, HSK-5."""

from collections import OrderedDict

from skyops_p2p import limits
from skyops_p2p.types import UnixMs


class NonceCache:
    """Remembers each nonce as long as a Hello with it could still pass the age check.

    Bounded by NONCE_CACHE_MAX; when it is full, the oldest makes room: a replay of that one would still fail,
    because the replayer cannot sign the responder's fresh nonce.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, UnixMs] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def is_fresh(self, nonce: bytes, now: UnixMs) -> bool:
        """Note a nonce and return whether it was unseen."""
        while self._seen:
            oldest, at = next(iter(self._seen.items()))
            if at + 2 * limits.CLOCK_SKEW_MS_MAX > now and len(self._seen) < limits.NONCE_CACHE_MAX:
                break
            del self._seen[oldest]
        if nonce in self._seen:
            return False
        self._seen[nonce] = now
        return True
