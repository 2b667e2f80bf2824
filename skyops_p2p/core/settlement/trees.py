"""Trees that only grow: the root after each leaf from a few hashes, without the leaves. Pure.

They are the trees of core/auction/merkle.py (RFC 6962: a last node without a sibling moves up), so an inclusion proof
made there from all leaves fits the root that is kept here. Spec: protocol/07-settlement.md, "Receipts".
"""

from dataclasses import dataclass

from skyops_p2p.core.auction.merkle import MerkleTree, is_in_tree
from skyops_p2p.crypto.hashing import sha256

EMPTY_ROOT = bytes(32)
"""Of a tree without leaves."""


@dataclass(frozen=True, slots=True)
class GrowingTree:
    """Count and peaks: the roots of the full trees that the leaves fall into, the largest first."""

    count: int = 0
    peaks: tuple[bytes, ...] = ()

    def with_leaf(self, leaf: bytes) -> "GrowingTree":
        """Return the tree with one more leaf.

        Args:
            leaf: Its hash, 32 bytes.
        """
        peaks, count = [*self.peaks, leaf], self.count
        while count & 1:
            right = peaks.pop()
            peaks[-1] = _node(peaks[-1], right)
            count >>= 1
        return GrowingTree(self.count + 1, tuple(peaks))

    @property
    def root(self) -> bytes:
        """32 bytes that commit to all leaves and their order; zero for none. Rules: SET-14."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = _node(peak, root)
        return root

    def check_invariants(self) -> None:
        """Raise AssertionError if count and peaks contradict each other."""
        assert len(self.peaks) == self.count.bit_count(), "a peak for each bit of the count"


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Proof that a leaf stands in a tree, in the form that the contract's `prove_receipt` takes."""

    index: int
    count: int
    path: tuple[bytes, ...]

    def holds(self, root: bytes, leaf: bytes) -> bool:
        """Tell whether it proves this leaf under this root. Rules: SET-14."""
        return is_in_tree(root, self.index, leaf, self.path, count=self.count)


def prove(leaves: tuple[bytes, ...], index: int) -> Inclusion:
    """Prove one of the leaves of a whole tree."""
    return Inclusion(index, len(leaves), MerkleTree(leaves).path(index))


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right)
