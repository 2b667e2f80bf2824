"""Whom a worker proves its compute to, and how much that may cost it: one challenge at a time, few in an hour.

Pure: what is asked is computed elsewhere (`poc_prover`). Spec: protocol/04-auction.md, AUC-36 and AUC-38.
"""

from collections import OrderedDict
from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.core.auction.poc_sizes import check_challenge, parameters_of, refusal
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.messages.proof import OpeningRequest, ProofChallenge


@dataclass(slots=True)
class Admitted:
    """A challenge that was let in."""

    asker: PeerId
    until: MonotonicS
    """Then it is forgotten."""
    root: bytes = b""
    """Empty while it is computed."""
    drawn: tuple[bytes, int, int] | None = None
    """The secret and the counts of its first opening: there is no second draw."""
    is_shown: bool = False
    """All was shown: the next challenge may take its place."""


class ProofDesk:
    """Lets challenges in.

    A worker's hour has PROOF_WORK_S_PER_H seconds for proofs; what is left of them comes back evenly.
    """

    def __init__(self) -> None:
        self._open: Admitted | None = None
        self._challenged = Intervals()
        self._prepared = Intervals()
        """Askers for which the prover was started: one that never challenges does not have it started again."""
        self._left_s = limits.PROOF_WORK_S_PER_H
        self._left_at = MonotonicS(0.0)

    def look(self, asker: PeerId, asked: ProofChallenge, now: MonotonicS, *, is_free: bool) -> None:
        """Refuse a challenge that would not be taken now, and change nothing.

        Args:
            asker: Who asks.
            asked: The challenge.
            now: The time.
            is_free: Whether no job needs what a proof takes.

        Raises:
            RemoteProtocolError: `challenge_refused`, `proof_spent` or `proof_busy`.

        Rules: AUC-36.
        """
        check_challenge(asked)
        if self._challenged.is_recent(asker, now) or self._left(now) <= 0:
            raise _refusal("it has proven itself enough for now", "proof_spent", "AUC-36")
        current = self._open
        if not is_free or (current is not None and not current.is_shown and now < current.until):
            raise _refusal(
                "it proves itself to another, or its jobs need the machine", "proof_busy", "AUC-36"
            )

    def prepare(self, asker: PeerId, now: MonotonicS) -> None:
        """Note that the prover is started for an asker; its challenge has passed `look`.

        Raises:
            RemoteProtocolError: Code `proof_spent`.

        Rules: AUC-36.
        """
        if self._prepared.is_recent(asker, now):
            raise _refusal("it was made ready for this asker before", "proof_spent", "AUC-36")
        self._prepared.note(asker, now)

    def admit(
        self, asker: PeerId, asked: ProofChallenge, now: MonotonicS, *, operations_max: int
    ) -> Admitted:
        """Let a challenge in that has passed `look`.

        Args:
            asker: Who asks.
            asked: The challenge.
            now: The time.
            operations_max: What this machine does in PROOF_WORK_S.

        Returns:
            What `answered` is told of.

        Raises:
            RemoteProtocolError: Code `challenge_refused`.

        Rules: AUC-36.
        """
        if parameters_of(asked).operations > max(operations_max, limits.PROOF_OPERATIONS_MIN):
            raise refusal("it would take too long here")
        self._challenged.note(asker, now)
        self._open = Admitted(asker, MonotonicS(now + limits.PROOF_WORK_S_MAX))
        return self._open

    def answered(self, admitted: Admitted, root: bytes, now: MonotonicS) -> None:
        """Note an answer: it can be opened for PROOF_KEEP_S, unless another challenge was let in meanwhile."""
        admitted.root, admitted.until = root, MonotonicS(now + limits.PROOF_KEEP_S)

    def opening(self, asker: PeerId, request: OpeningRequest, now: MonotonicS) -> None:
        """Refuse an opening of anything but the answer to this asker, or a second draw of it.

        Raises:
            RemoteProtocolError: Code `unknown_challenge`.

        Rules: AUC-38.
        """
        current, draw = self._open, (request.secret, request.rows, request.places)
        if current is None or now >= current.until or (current.asker, current.root) != (asker, request.root):
            raise _refusal("no such challenge is open", "unknown_challenge", "AUC-38")
        if current.drawn not in (None, draw):
            raise _refusal("drawn before, with another secret", "unknown_challenge", "AUC-38")
        current.drawn = draw

    def shown(self, request: OpeningRequest, count: int) -> None:
        """Note that an opening was answered with so many items; with the last one the next asker may come."""
        if self._open is not None and request.first + count >= request.rows + request.places:
            self._open.is_shown = True

    def close(self) -> None:
        """Forget the open challenge."""
        self._open = None

    def spend(self, seconds: float, now: MonotonicS) -> None:
        """Count what was done for askers."""
        self._left_s = self._left(now) - seconds

    def _left(self, now: MonotonicS) -> float:
        """Return the seconds that are left for proofs; below 0 if the last one took longer than there was."""
        whole = limits.PROOF_WORK_S_PER_H
        self._left_s = min(whole, self._left_s + (now - self._left_at) * whole / 3600)
        self._left_at = now
        return self._left_s


class Intervals:
    """Who did a thing in the last PROOF_INTERVAL_S; at most ADDRESS_BOOK_PEERS_MAX, then the oldest is forgotten."""

    def __init__(self) -> None:
        self._at: OrderedDict[PeerId, MonotonicS] = OrderedDict()

    def is_recent(self, peer: PeerId, now: MonotonicS) -> bool:
        """Tell whether a peer did it within that time."""
        at = self._at.get(peer)
        return at is not None and now - at < limits.PROOF_INTERVAL_S

    def note(self, peer: PeerId, now: MonotonicS) -> None:
        """Remember that a peer does it now."""
        self._at[peer] = now
        self._at.move_to_end(peer)
        while len(self._at) > limits.ADDRESS_BOOK_PEERS_MAX:
            self._at.popitem(last=False)


def _refusal(text: str, code: str, rule: str) -> RemoteProtocolError:
    return RemoteProtocolError(text, code=code, rule=rule)
