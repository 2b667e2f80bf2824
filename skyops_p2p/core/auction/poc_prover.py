"""The computing side of a proof of compute: from a challenge to its root, and from a secret to what it draws.

Pure and slow: it runs in a process of its own (`adapters.cuda`), or where time is virtual. Who may ask, and how much,
is for `proof_desk` to say. Spec: protocol/04-auction.md, AUC-24, AUC-25 and AUC-38.
"""

from dataclasses import dataclass

from skyops_p2p.core.auction import poc, poc_memory
from skyops_p2p.core.auction.poc import Opening, Transcript
from skyops_p2p.core.auction.poc_arithmetic import Arithmetic
from skyops_p2p.core.auction.poc_memory import Filled, Place, Shown
from skyops_p2p.core.auction.poc_sizes import layout_of, parameters_of
from skyops_p2p.limits import MESSAGE_BYTES_MAX
from skyops_p2p.wire.messages.proof import (
    OpeningRequest,
    Openings,
    ProofBlockPart,
    ProofChallenge,
    ProofPlacePart,
    ProofRoot,
    ProofRowPart,
)

_HASH_BYTES = 34
"""One hash in an array, with its own length."""
_HEAD_BYTES = 64
"""Keys, lengths and the index of one row or block, and those of the message around them."""
Drawn = ProofRowPart | ProofPlacePart


@dataclass(frozen=True, slots=True)
class _Answered:
    """The last answer, until another challenge comes."""

    root: ProofRoot
    transcript: Transcript
    filled: Filled | None


class ProofWork:
    """Answers one challenge after the other; only the last answer can be opened.

    Args:
        arithmetic: What multiplies.
    """

    def __init__(self, arithmetic: Arithmetic) -> None:
        self._arithmetic = arithmetic
        self._answered: _Answered | None = None
        self._drawn: tuple[tuple[bytes, int, int], tuple[Drawn, ...]] | None = None
        """What was opened last: secret and counts, and all that they draw."""

    def begin(self, challenge: bytes, asked: ProofChallenge) -> ProofRoot:
        """Do the work and return what commits to it.

        Args:
            challenge: `poc.challenge_of` the beacon and our own peer id, 32 bytes.
            asked: How much; it has passed `poc_sizes.check_challenge`.

        Rules: AUC-24, AUC-25.
        """
        self._answered = self._drawn = None  # first make room
        transcript = poc.run(challenge, parameters_of(asked), arithmetic=self._arithmetic)
        layout = layout_of(asked)
        filled = poc_memory.fill(challenge, layout) if layout else None
        root = ProofRoot(root=transcript.tree.root, memory=filled.tree.root if filled else None)
        self._answered = _Answered(root, transcript, filled)
        return root

    def show(self, request: OpeningRequest) -> Openings:
        """Show what a secret draws of the last answer, from `request.first` on, as much as fits a message.

        Args:
            request: Of this answer; rows and places of it, places only if there is memory.

        Rules: AUC-38.
        """
        assert self._answered is not None
        assert self._answered.root.root == request.root
        key = (request.secret, request.rows, request.places)
        if self._drawn is None or self._drawn[0] != key:
            self._drawn = (key, self._draw(self._answered, request))
        shown: list[Drawn] = []
        left = MESSAGE_BYTES_MAX - _HEAD_BYTES
        for item in self._drawn[1][request.first :]:
            left -= _bytes_of(item)
            if left < 0:
                break
            shown.append(item)
        rows = tuple(item for item in shown if isinstance(item, ProofRowPart))
        return Openings(rows=rows, places=tuple(item for item in shown if isinstance(item, ProofPlacePart)))

    def _draw(self, answered: _Answered, request: OpeningRequest) -> tuple[Drawn, ...]:
        transcript, secret = answered.transcript, request.secret
        rows = poc.draw_rows(request.root, secret, transcript.parameters, count=request.rows)
        drawn: list[Drawn] = [_row_part(opening) for opening in poc.open_rows(transcript, rows)]
        filled = answered.filled
        if filled is not None and request.places:
            root, layout = filled.tree.root, filled.layout
            places = poc_memory.draw_places(root, secret, layout, count=request.places)
            drawn += [_place_part(poc_memory.show(filled, place)) for place in places]
        return tuple(drawn)


def _row_part(opening: Opening) -> ProofRowPart:
    return ProofRowPart(
        index=opening.index,
        start=opening.start,
        products=b"".join(opening.products),
        start_path=opening.start_path,
        end_path=opening.end_path,
    )


def _place_part(place: Place) -> ProofPlacePart:
    block, before, pointed = map(_block_part, (place.block, place.before, place.pointed))
    return ProofPlacePart(block=block, before=before, pointed=pointed)


def _block_part(shown: Shown) -> ProofBlockPart:
    return ProofBlockPart(index=shown.index, block=shown.block, path=shown.path)


def _bytes_of(item: Drawn) -> int:
    """Return at least as many bytes as an item takes in a message."""
    if isinstance(item, ProofRowPart):
        hashes = len(item.start_path) + len(item.end_path)
        return len(item.start) + len(item.products) + _HASH_BYTES * hashes + _HEAD_BYTES
    blocks = (item.block, item.before, item.pointed)
    return sum(_HASH_BYTES * (1 + len(block.path)) + _HEAD_BYTES for block in blocks)
