"""Names of what a node holds, as digests that two neighbours compare before they tell each other any name. Pure.

Spec: protocol/07b-receipts.md, "Catching up".
"""

from collections.abc import Iterable, Iterator
from heapq import nsmallest

BUCKETS = 64
BUCKET_BYTES = 8


class Buckets:
    """Names of 32 bytes, each once."""

    def __init__(self) -> None:
        self._names: list[dict[bytes, None]] = [{} for _ in range(BUCKETS)]
        self._digests = [0] * BUCKETS

    def __iter__(self) -> Iterator[bytes]:
        return (name for bucket in self._names for name in bucket)

    def add(self, name: bytes) -> None:
        """Put a name in that is not there."""
        number = _bucket(name)
        assert name not in self._names[number], "a name stands there once"
        self._names[number][name] = None
        self._digests[number] ^= _short(name)

    def remove(self, name: bytes) -> None:
        """Take a name out that is there."""
        number = _bucket(name)
        del self._names[number][name]
        self._digests[number] ^= _short(name)

    def digests(self) -> bytes:
        """Return the 64 bucket digests, 512 bytes. Rules: RCP-10."""
        return b"".join(digest.to_bytes(BUCKET_BYTES, "big") for digest in self._digests)

    def differing(self, digests: bytes, *, after: bytes, count_max: int) -> tuple[list[bytes], bool]:
        """Return names of the buckets in which a neighbour's digests differ, ascending, and whether that is all.

        Args:
            digests: The neighbour's 512 bytes.
            after: Only names behind this.
            count_max: Names at most.

        Rules: RCP-10.
        """
        ours = self.digests()
        spans = [slice(number * BUCKET_BYTES, (number + 1) * BUCKET_BYTES) for number in range(BUCKETS)]
        differing = [self._names[number] for number, span in enumerate(spans) if ours[span] != digests[span]]
        names = (name for bucket in differing for name in bucket if name > after)
        found = nsmallest(count_max + 1, names)
        return found[:count_max], len(found) <= count_max

    def check_invariants(self, names: Iterable[bytes]) -> None:
        """Raise AssertionError unless just these names are there, in their places; takes time linear in them."""
        assert set(names) == set(self), "buckets name what is held"
        for number, bucket in enumerate(self._names):
            digest = 0
            for name in bucket:
                assert _bucket(name) == number, "a name stands in another bucket"
                digest ^= _short(name)
            assert digest == self._digests[number], "digests have drifted"


def _bucket(name: bytes) -> int:
    return name[0] % BUCKETS


def _short(name: bytes) -> int:
    return int.from_bytes(name[:BUCKET_BYTES], "big")
