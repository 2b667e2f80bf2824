"""What alice's workers sign in the vectors of chapter 06, and one message of each kind."""

from dataclasses import dataclass, replace
from typing import Any

from skyops_p2p.core.verification.commit import commit_to, reveal_of
from skyops_p2p.core.verification.draw import draw, draw_commitment, seed_of
from skyops_p2p.core.verification.record import Signatures, decided_by, make_verdict
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.crypto.wallet import address_to_bytes
from skyops_p2p.wire.envelope import Signed, open_envelope, seal
from skyops_p2p.wire.messages import evidence
from skyops_p2p.wire.messages import verification as msg
from skyops_p2p.wire.messages.execution import ResultReceipt
from skyops_p2p.wire.model import Message
from tests.vectors.execution_examples import bundle, result_receipt
from tests.vectors.people import ALICE, BOB, CAROL, MALLORY, NOW, RULES, Person, person

SECRET = bytes([0xD0] * 32)
"""Alice's part of the draw."""
PRICE = 2_000_000
"""Of each worker, microcredits an hour."""
DAVE, ERIN, FRANK, GRACE = (
    person(name, number)
    for name, number in (("dave", 0xDA), ("erin", 0xE1), ("frank", 0xF1), ("grace", 0x97))
)
"""Further workers."""
WORKERS = (BOB, CAROL, DAVE, ERIN, FRANK, GRACE, MALLORY)


def raw(who: Person) -> bytes:
    return peer_id_to_bytes(who.node_key.peer_id)


def candidate(who: Person, weight: int = 100) -> msg.CandidatePart:
    return msg.CandidatePart(peer=raw(who), wallet=address_to_bytes(who.wallet.address), weight=weight)


CANDIDATES = tuple(sorted((candidate(who) for who in WORKERS), key=lambda one: one.peer))


@dataclass(frozen=True)
class Part:
    """One worker's part: what it made, committed to and showed; fields that are given take the place of right ones."""

    who: Person
    output: int = 1
    """Number of the bundle that it made."""
    round: int = 0
    verification: msg.ComparedName = "exact"
    receipt_changes: tuple[tuple[str, Any], ...] = ()
    commit_changes: tuple[tuple[str, Any], ...] = ()
    reveal_changes: tuple[tuple[str, Any], ...] = ()
    shows: int | None = None
    """Another bundle than it committed to."""
    is_silent: bool = False

    @property
    def salt(self) -> bytes:
        return sha256(b"salt of " + self.who.name.encode())

    def receipt(self, output: int | None = None) -> Signed[ResultReceipt]:
        own = self.who.name.encode()
        fields: dict[str, Any] = {
            "worker": raw(self.who),
            "job_id": sha256(b"job of " + own)[:16],
            "award": sha256(b"award of " + own),
            "outputs": bundle(output or self.output),
            "log_head": sha256(b"log of " + own),
            **dict(self.receipt_changes),
        }
        return self._signed(result_receipt(**fields))

    def commit(self) -> Signed[msg.ResultCommit]:
        secret = SECRET if self.who is BOB else sha256(b"draw of " + self.who.name.encode())
        message = commit_to(
            self.receipt().message,
            salt=self.salt,
            draw=draw_commitment(secret),
            verification=self.verification,
            redundancy=3,
            price=PRICE,
        )
        return self._signed(message.model_copy(update=dict(self.commit_changes)))

    def reveal(self, others: "list[Part]") -> Signed[msg.ResultReveal]:
        seen = [other.commit() for other in others if other.who is not self.who and other.round <= self.round]
        message = reveal_of(self.commit(), self.receipt(self.shows), self.salt, seen)
        return self._signed(message.model_copy(update=dict(self.reveal_changes)))

    def signatures(self, others: "list[Part]") -> Signatures:
        found = Signatures(self.round, self.commit().data, binding=self.who.binding)
        if self.is_silent:
            return found
        return replace(found, reveal=self.reveal(others).data, receipt=self.receipt(self.shows).data)

    def _signed(self, message: Any) -> Any:
        data = seal(message, self.who.node_key, RULES.network)
        return open_envelope(data, type(message), RULES.network)


def drawn_after(primary: Part) -> list[Person]:
    """Return whom the draw after a primary's commitment names, in this order."""
    seed = seed_of(primary.commit().digest, SECRET)
    by_peer = {raw(who): who for who in WORKERS}
    return [by_peer[one.peer] for one in draw(CANDIDATES, seed, computing={candidate(primary.who).wallet})]


def verdict(parts: list[Part], **changes: Any) -> msg.Verdict:
    """Return alice's verdict on what her workers did; fields that are given take the place of right ones."""
    comparisons: tuple[msg.ComparisonPart, ...] = changes.pop("comparisons", ())
    stretch: msg.StretchPart | None = changes.pop("stretch", None)
    known: bytes | None = changes.pop("known", None)
    made = make_verdict(
        [part.signatures(parts) for part in parts],
        network=RULES.network,
        requester=raw(ALICE),
        made_unix_ms=NOW,
        secret=SECRET,
        candidates=CANDIDATES,
        comparisons=comparisons,
        binding=ALICE.binding,
    )
    if stretch is not None or known is not None:
        made = decided_by(made, stretch=stretch, known=known)
    return made.model_copy(update=changes)


def sealed_verdict(parts: list[Part], who: Person = ALICE, **changes: Any) -> bytes:
    return seal(verdict(parts, **changes), who.node_key, RULES.network)


def verification_examples() -> list[Message]:
    """Return one message of every kind."""
    bob, carol = Part(BOB), Part(CAROL, output=2)
    comparison = msg.ComparisonPart(first=0, second=1, is_equal=False, elements=1000, within=0)
    commit = carol.commit()
    stretch = msg.StretchPart(
        first=0,
        second=1,
        stride=10,
        number=3,
        first_before=b"receipt",
        second_before=b"receipt",
        first_after=b"receipt",
        second_after=b"receipt",
        executed=bytes([0xE0] * 32),
    )
    whole = {"comparisons": (comparison,), "stretch": stretch, "known": bytes([0xE1] * 32)}
    return [
        bob.commit().message,
        msg.ResultCommitted(commit=bob.commit().data),
        msg.RevealResult(epoch=1, others=(commit.data,)),
        bob.reveal([bob, carol]).message,
        verdict([bob]).model_copy(update=whole),
        *_exchanged(sealed_verdict([bob])),
    ]


def _exchanged(data: bytes) -> list[Message]:
    """Return what is said when a verdict is told and asked for."""
    names = (sha256(data),)
    return [
        evidence.VerdictNames(names=names),
        evidence.VerdictsRequest(names=names),
        evidence.VerdictsReply(items=(data,)),
        evidence.VerdictSyncRequest(digests=bytes(512), after=names[0]),
    ]
