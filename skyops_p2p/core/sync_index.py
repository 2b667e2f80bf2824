"""Which live records a map holds, by bucket, and which of them differ from a neighbour's.

Spec: protocol/03-peering.md, "Synchronisation". A bucket's digest is the XOR of its records' digests, so it is kept
incrementally; two maps with the same records have the same 64 digests. It saves work and proves nothing: whoever
chooses sequence numbers on purpose can make two buckets look alike, and only hides their own records by that.
"""

from dataclasses import dataclass
from heapq import nsmallest

from skyops_p2p import limits
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.types import PeerId

BUCKETS = 64
BUCKET_BYTES = 8
SHARES_MAX = 2
"""Records of one node in an answer: one, or the two that contradict each other."""


@dataclass(frozen=True, slots=True)
class _Share:
    """What is told of one node."""

    digest: int
    envelopes: tuple[bytes, ...]


class SyncIndex:
    """The records that a neighbour may be told of."""

    def __init__(self) -> None:
        self._digests = [0] * BUCKETS
        self._buckets: list[dict[bytes, _Share]] = [{} for _ in range(BUCKETS)]

    def put(self, peer: PeerId, sequence: int, envelope: bytes) -> None:
        """Tell of a node's record from now on, instead of what was told before. Rules: PER-15."""
        key = peer_id_to_bytes(peer)
        digest = sha256(key + sequence.to_bytes(8, "big"))[:BUCKET_BYTES]
        self._replace(key, _Share(int.from_bytes(digest, "big"), (envelope,)))

    def put_contradiction(self, peer: PeerId, first: bytes, second: bytes) -> None:
        """Tell of both records of an equivocator; it counts as nothing in the digest. Rules: PER-20."""
        self._replace(peer_id_to_bytes(peer), _Share(0, (first, second)))

    def drop(self, peer: PeerId) -> None:
        """Tell nothing of a node any more."""
        self._replace(peer_id_to_bytes(peer), None)

    def digests(self) -> bytes:
        """Return the 64 bucket digests, 512 bytes. Rules: PER-15."""
        return b"".join(digest.to_bytes(BUCKET_BYTES, "big") for digest in self._digests)

    def differing(self, digests: bytes, *, after: bytes, count_max: int) -> tuple[list[bytes], bool]:
        """Return records of the buckets in which a neighbour's digests differ from ours.

        Args:
            digests: The neighbour's 512 bytes.
            after: Only nodes whose binary peer id sorts behind this.
            count_max: Records at most, 2 or more.

        Returns:
            The enveloped records in the order of binary peer ids, and whether that is all.

        Rules: PER-15, PER-16.
        """
        ours = self.digests()
        spans = (slice(i * BUCKET_BYTES, (i + 1) * BUCKET_BYTES) for i in range(BUCKETS))
        differing = [self._buckets[i] for i, span in enumerate(spans) if ours[span] != digests[span]]
        behind = (pair for bucket in differing for pair in bucket.items() if pair[0] > after)
        candidates = nsmallest(count_max + 1, behind, key=lambda pair: pair[0])
        picked: list[bytes] = []
        room = limits.MAP_SYNC_BYTES_MAX
        for _, share in candidates:
            room -= sum(len(envelope) for envelope in share.envelopes)
            if room < 0 or len(picked) + len(share.envelopes) > count_max:  # PER-16
                return picked, False
            picked += share.envelopes
        return picked, True

    def check_invariants(self) -> None:
        """Check that the digests are those of the records, and each record stands in its bucket."""
        for number, bucket in enumerate(self._buckets):
            digest = 0
            for key, share in bucket.items():
                assert _bucket(key) == number, "a record stands in another bucket"
                assert 1 <= len(share.envelopes) <= SHARES_MAX, (
                    "a node is told of once, or as a contradiction"
                )
                digest ^= share.digest
            assert digest == self._digests[number], "digests have drifted"

    def _replace(self, key: bytes, share: _Share | None) -> None:
        number = _bucket(key)
        bucket = self._buckets[number]
        old = bucket.pop(key, None)
        if old is not None:
            self._digests[number] ^= old.digest
        if share is not None:
            bucket[key] = share
            self._digests[number] ^= share.digest


def _bucket(key: bytes) -> int:
    return sha256(key)[0] % BUCKETS
