"""Proof of memory: fill it with what is costly to compute again, then show drawn places of it in time.

Spec: protocol/04-auction.md, "Proof of memory". Each block hashes the one before it in its lane and one that the block
before points to, anywhere earlier: whoever keeps only a part must compute long chains again for each drawn place. Lanes
are filled side by side, which suits a GPU. Only the prover needs the memory: the verifier checks the drawn blocks
against a Merkle root. Sources: Dwork, Goldberg, Naor 2003 (memory-bound functions); scrypt and Argon2d (data-dependent
addressing); Dziembowski et al. 2015 (proofs of space).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.core.auction.merkle import MerkleTree, is_in_tree, leaf_hash
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import RemoteProtocolError

BLOCK_BYTES = 32
BLOCKS_MAX = 2**32
_DOMAIN = b"skyops/pom/1"


@dataclass(frozen=True, slots=True)
class Layout:
    """How large the memory is."""

    lanes: int
    """Filled side by side, at least 1."""
    rows: int
    """Blocks of each lane, at least 2."""

    @property
    def blocks(self) -> int:
        """Blocks of BLOCK_BYTES in all."""
        return self.lanes * self.rows


@dataclass(frozen=True, slots=True)
class Shown:
    """One block and its place in the tree."""

    index: int
    block: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A drawn block with the two that it was made of."""

    block: Shown
    before: Shown
    pointed: Shown


@dataclass(frozen=True, slots=True)
class Filled:
    """What a prover keeps: the memory, and the tree over it."""

    layout: Layout
    blocks: tuple[bytes, ...]
    tree: MerkleTree


def fill(challenge: bytes, layout: Layout) -> Filled:
    """Fill the memory; the root of its tree is the answer. Rules: AUC-25."""
    assert layout.lanes >= 1
    assert layout.rows >= 2
    assert layout.blocks <= BLOCKS_MAX
    blocks = [_first(challenge, lane) for lane in range(layout.lanes)]
    for index in range(layout.lanes, layout.blocks):
        before = blocks[index - layout.lanes]
        blocks.append(_block(challenge, index, before, blocks[_pointed(before, index, layout)]))
    return Filled(layout, tuple(blocks), MerkleTree([leaf_hash(block) for block in blocks]))


def draw_places(root: bytes, secret: bytes, layout: Layout, *, count: int) -> tuple[int, ...]:
    """Return the blocks to show, none of a first row, drawn after the root was given.

    Args:
        root: The prover's answer.
        secret: 32 random bytes of the verifier, shown only now.
        layout: Of the challenge.
        count: How many, 1 to PROOF_PLACES_MAX.

    Rules: AUC-25.
    """
    assert 1 <= count <= limits.PROOF_PLACES_MAX
    drawn = (sha256(_DOMAIN + root + secret + n.to_bytes(4, "big")) for n in range(count))
    span = layout.blocks - layout.lanes
    return tuple(layout.lanes + int.from_bytes(d[:8], "big") % span for d in drawn)


def show(filled: Filled, index: int) -> Place:
    """Show one block and the two behind it. Rules: AUC-25."""
    layout = filled.layout
    before = index - layout.lanes
    places = (index, before, _pointed(filled.blocks[before], index, layout))
    return Place(*(Shown(place, filled.blocks[place], filled.tree.path(place)) for place in places))


def check_places(
    challenge: bytes, root: bytes, places: Sequence[Place], *, layout: Layout, secret: bytes
) -> None:
    """Refuse an answer in which a drawn block is not what the challenge gives.

    Args:
        challenge: 32 bytes.
        root: The answer.
        places: As many as were drawn, in their order.
        layout: Of the challenge.
        secret: What the places were drawn with.

    Raises:
        RemoteProtocolError: Code `proof_fails`.

    Rules: AUC-25.
    """
    if not 1 <= len(places) <= limits.PROOF_PLACES_MAX:
        raise _refusal("no places, or more than are drawn")
    drawn = draw_places(root, secret, layout, count=len(places))
    if tuple(place.block.index for place in places) != drawn:
        raise _refusal("not the places that were drawn")
    for place in places:
        index, before = place.block.index, place.block.index - layout.lanes
        pointed = _pointed(place.before.block, index, layout)
        if (place.before.index, place.pointed.index) != (before, pointed):
            raise _refusal("not the blocks behind the drawn one")
        for shown in (place.block, place.before, place.pointed):
            if not is_in_tree(root, shown.index, leaf_hash(shown.block), shown.path, count=layout.blocks):
                raise _refusal("a block is not in the tree")
        if place.block.block != _block(challenge, index, place.before.block, place.pointed.block):
            raise _refusal("a block is wrong")


def _first(challenge: bytes, lane: int) -> bytes:
    return sha256(_DOMAIN + challenge + lane.to_bytes(8, "big"))


def _block(challenge: bytes, index: int, before: bytes, pointed: bytes) -> bytes:
    return sha256(_DOMAIN + challenge + index.to_bytes(8, "big") + before + pointed)


def _pointed(before: bytes, index: int, layout: Layout) -> int:
    """Return the block that the one before points to: any lane, any row above that of `index`."""
    row = index // layout.lanes
    lane = int.from_bytes(before[:4], "big") % layout.lanes
    return int.from_bytes(before[4:12], "big") % row * layout.lanes + lane


def _refusal(text: str) -> RemoteProtocolError:
    return RemoteProtocolError(text, code="proof_fails", rule="AUC-25")
