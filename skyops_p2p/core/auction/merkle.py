"""Merkle trees over hashes: commit to many, show a few. Spec: protocol/04-auction.md, "Proof of compute".

Leaves and inner nodes are hashed apart, as in RFC 6962; a last node without a sibling moves up unchanged.
"""

from collections.abc import Sequence

from skyops_p2p.crypto.hashing import sha256


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of one leaf's content. Rules: AUC-24."""
    return sha256(b"\x00" + data)


class MerkleTree:
    """A tree that is kept whole, so that any leaf can be shown.

    Args:
        leaves: Their hashes (`leaf_hash`), at least one.
    """

    def __init__(self, leaves: Sequence[bytes]) -> None:
        assert leaves
        self._levels = [list(leaves)]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            above = [_node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
            self._levels.append(above + below[len(above) * 2 :])

    @property
    def root(self) -> bytes:
        """32 bytes that commit to all leaves and their order."""
        return self._levels[-1][0]

    def path(self, index: int) -> tuple[bytes, ...]:
        """Return the siblings from a leaf up to the root."""
        found = []
        for level in self._levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                found.append(level[sibling])
            index >>= 1
        return tuple(found)


def is_in_tree(root: bytes, index: int, leaf: bytes, path: Sequence[bytes], *, count: int) -> bool:
    """Tell whether a leaf's hash stands at an index of the tree of `count` leaves. Rules: AUC-24."""
    if not 0 <= index < count:
        return False
    steps = iter(path)
    found, width = leaf, count
    while width > 1:
        if index ^ 1 < width:
            sibling = next(steps, b"")
            found = _node_hash(sibling, found) if index & 1 else _node_hash(found, sibling)
        index >>= 1
        width = (width + 1) // 2
    return found == root and next(steps, None) is None


def _node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right)
