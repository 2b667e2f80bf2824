"""The checking side of a proof of compute: asks for all that is drawn of an answer, in pieces that fit a message.

Pure; `verify` takes long and belongs into a thread. Spec: protocol/04-auction.md, AUC-24, AUC-25 and AUC-38.
"""

from skyops_p2p.core.auction import poc, poc_memory
from skyops_p2p.core.auction.poc import Opening
from skyops_p2p.core.auction.poc_memory import Place, Shown
from skyops_p2p.core.auction.poc_sizes import PLACES_DRAWN, ROWS_DRAWN, layout_of, parameters_of
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.messages.proof import (
    OpeningRequest,
    Openings,
    ProofBlockPart,
    ProofChallenge,
    ProofPlacePart,
    ProofRoot,
    ProofRowPart,
)


class ProofCheck:
    """One answer that is being opened.

    Args:
        challenge: `poc.challenge_of` the beacon and the worker's peer id, 32 bytes.
        asked: What it was asked for.
        root: What it answered.
        secret: 32 random bytes, drawn after the answer came and told to nobody yet.

    Raises:
        RemoteProtocolError: Code `proof_fails`: a root too many or too few.
    """

    def __init__(self, challenge: bytes, asked: ProofChallenge, root: ProofRoot, *, secret: bytes) -> None:
        self._challenge, self._secret = challenge, secret
        self._parameters, self._layout = parameters_of(asked), layout_of(asked)
        self._root, self._memory = root.root, root.memory
        if (root.memory is None) != (self._layout is None):
            raise _refusal("not the roots that were asked for")
        self._places_drawn = PLACES_DRAWN if self._layout else 0
        self._rows: list[ProofRowPart] = []
        self._places: list[ProofPlacePart] = []

    @property
    def rows(self) -> tuple[ProofRowPart, ...]:
        """The rows that were shown so far, as they were drawn."""
        return tuple(self._rows)

    def next_request(self) -> OpeningRequest | None:
        """Return what to ask next; None once all is here. Rules: AUC-38."""
        have = len(self._rows) + len(self._places)
        if have == ROWS_DRAWN + self._places_drawn:
            return None
        return OpeningRequest(
            root=self._root,
            secret=self._secret,
            rows=ROWS_DRAWN,
            places=self._places_drawn,
            first=have,
        )

    def take(self, answer: Openings) -> None:
        """Take what was shown; it is checked when all is here.

        Raises:
            RemoteProtocolError: Code `proof_fails`: nothing, or more than was drawn.

        Rules: AUC-38.
        """
        self._rows += answer.rows
        self._places += answer.places
        is_early = bool(answer.places) and len(self._rows) < ROWS_DRAWN
        is_more = len(self._rows) > ROWS_DRAWN or len(self._places) > self._places_drawn
        if is_early or is_more or not (answer.rows or answer.places):
            raise _refusal("not what was asked for next")

    def verify(self) -> None:
        """Check all that was shown.

        Raises:
            RemoteProtocolError: Code `proof_fails`.

        Rules: AUC-24, AUC-25.
        """
        assert self.next_request() is None
        width = 4 * self._parameters.size
        poc.check_openings(
            self._challenge,
            self._root,
            [opening_of(part, width) for part in self._rows],
            parameters=self._parameters,
            secret=self._secret,
            count=ROWS_DRAWN,
        )
        if self._layout is not None and self._memory is not None:
            places = [_place(part) for part in self._places]
            poc_memory.check_places(
                self._challenge, self._memory, places, layout=self._layout, secret=self._secret
            )


def opening_of(part: ProofRowPart, width: int) -> Opening:
    """Cut the products of a row apart; a piece that is left over has a wrong length, which `check_openings` sees.

    Args:
        part: As it came.
        width: Bytes of one product's row.
    """
    products = (part.products[at : at + width] for at in range(0, len(part.products), width))
    return Opening(part.index, part.start, part.start_path, tuple(products), part.end_path)


def _place(part: ProofPlacePart) -> Place:
    return Place(_shown(part.block), _shown(part.before), _shown(part.pointed))


def _shown(part: ProofBlockPart) -> Shown:
    return Shown(part.index, part.block, part.path)


def _refusal(text: str) -> RemoteProtocolError:
    return RemoteProtocolError(text, code="proof_fails", rule="AUC-38")
