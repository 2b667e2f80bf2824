"""One stretch that decides between two results: what a referee has found, as a part of a verdict. Pure.

Two workers signed the same state before the stretch, and different ones after it; the referee executed it. Whoever has
the state and the inputs can do that again, and needs nothing else of the run. Spec: protocol/06-verification.md,
"Referee".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from skyops_p2p.core.verification.chain import NO_STATE, state_root
from skyops_p2p.core.verification.result_root import answer_root
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.wire.envelope import Signed, open_envelope
from skyops_p2p.wire.messages.execution import CheckpointReceipt, ResultReceipt
from skyops_p2p.wire.messages.verification import StretchPart

_LEASE = ("requester", "worker", "job_id", "shard", "epoch")


@dataclass(frozen=True, slots=True)
class StretchSide:
    """What one of the two workers has signed about the stretch."""

    place: int
    """Of its answer in the verdict."""
    before: Signed[CheckpointReceipt] | None
    """None: the stretch is the first."""
    after: Signed[CheckpointReceipt] | None
    """None: its program had ended by then, and the claim is its answer."""

    def claim(self, result: ResultReceipt) -> bytes:
        """Return the state root that it claims after the stretch, 32 bytes."""
        return answer_root(result) if self.after is None else state_root(self.after.message)


@dataclass(frozen=True, slots=True)
class OpenedStretch:
    """A stretch whose envelopes are open."""

    part: StretchPart
    sides: tuple[StretchSide, StretchSide]

    @property
    def root(self) -> bytes:
        """State root before the stretch, 32 bytes, as the first side has it."""
        before = self.sides[0].before
        return NO_STATE if before is None else state_root(before.message)


def open_stretch(part: StretchPart, network: str) -> OpenedStretch:
    """Open what both workers have signed; whether it fits together is not looked at.

    Raises:
        RemoteProtocolError: What opening an envelope raises.
    """

    def opened(data: bytes | None) -> Signed[CheckpointReceipt] | None:
        return None if data is None else open_envelope(data, CheckpointReceipt, network)

    first = StretchSide(part.first, opened(part.first_before), opened(part.first_after))
    second = StretchSide(part.second, opened(part.second_before), opened(part.second_after))
    return OpenedStretch(part, (first, second))


def right_place(stretch: OpenedStretch, receipts: Sequence[ResultReceipt | None]) -> int | None:
    """Return the place of the answer that the executed stretch leads to; None: both have claimed something else.

    Args:
        stretch: What was executed.
        receipts: Of all answers; None: it was not opened.

    Rules: VER-25.
    """
    for side in stretch.sides:
        result = receipts[side.place] if side.place < len(receipts) else None
        if result is not None and side.claim(result) == stretch.part.executed:
            return side.place
    return None


def faults_of_stretch(
    stretch: OpenedStretch, receipts: Sequence[Signed[ResultReceipt] | None]
) -> Iterator[str]:
    """Name what in a stretch does not hold, in words. Rules: VER-25.

    Args:
        stretch: As the verdict has it.
        receipts: Of all answers; None: it was not opened.
    """
    part = stretch.part
    if not part.first < part.second < len(receipts):
        yield "it is between answers that are not there"
        return
    results = [receipts[side.place] for side in stretch.sides]
    if None in results:
        yield "one of its answers was not opened"
        return
    opened = [result for result in results if result is not None]
    roots = {answer_root(one.message) for one in receipts if one is not None}
    if len(roots) != len({answer_root(result.message) for result in opened}) or len(roots) != 2:
        yield "there are not two answers to decide between"
    for side, result in zip(stretch.sides, opened, strict=True):
        yield from _faults_of_side(part, side, result)
    before = {None if side.before is None else side.before.message.bundle for side in stretch.sides}
    if len(before) > 1:
        yield "they do not agree on the state before it"
    claims = [side.claim(result.message) for side, result in zip(stretch.sides, opened, strict=True)]
    if claims[0] == claims[1]:
        yield "they agree on the state after it"
    if part.executed not in claims:
        yield "neither has claimed what was executed"


def _faults_of_side(part: StretchPart, side: StretchSide, result: Signed[ResultReceipt]) -> Iterator[str]:
    if (side.before is None) != (part.number == 1):
        yield f"answer {side.place} has no state before it, or one before the first"
    ends = ((side.before, part.number - 1), (side.after, part.number))
    for receipt, number in ends:
        if receipt is None:
            continue
        said, its = receipt.message, result.message
        is_its = peer_id_to_bytes(receipt.signer) == its.worker
        if not is_its or any(getattr(said, name) != getattr(its, name) for name in _LEASE):
            yield f"a checkpoint is not of the lease of answer {side.place}"
        if said.done != number * part.stride:
            yield f"a checkpoint of answer {side.place} is after other steps"
