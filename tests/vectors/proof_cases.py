"""Vectors of proofs of compute: what a worker takes, and answers with all that was drawn of them, honest and not."""

from collections.abc import Callable
from typing import Any

from skyops_p2p.core.auction import poc
from skyops_p2p.core.auction.poc_arithmetic import PlainArithmetic
from skyops_p2p.core.auction.poc_prover import ProofWork
from skyops_p2p.core.auction.poc_sizes import PLACES_DRAWN, ROWS_DRAWN, check_challenge
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.messages.proof import OpeningRequest, Openings, ProofChallenge, ProofRoot
from skyops_p2p.wire.model import encode_message
from tests.vectors.people import BOB, CAROL, Person

Case = dict[str, Any]
BEACON, SECRET = sha256(b"beacon"), sha256(b"secret")
CHALLENGE = ProofChallenge(beacon=BEACON, size=4, checkpoints=3, stride=2, lanes=0, rows=0)
WITH_MEMORY = CHALLENGE.model_copy(update={"size": 3, "checkpoints": 1, "stride": 1, "lanes": 4, "rows": 9})


def raw(who: Person) -> bytes:
    return peer_id_to_bytes(who.node_key.peer_id)


# --- what is taken ----------------------------------------------------------------------------------------------
def challenge_cases() -> list[Case]:
    rows: list[tuple[str, dict[str, int]]] = [
        ("small", {}),
        ("one number", {"size": 1, "checkpoints": 1, "stride": 1}),
        ("the longest row", {"size": 1092, "checkpoints": 1, "stride": 11}),
        ("a longer row", {"size": 1093, "checkpoints": 1, "stride": 11}),
        ("the largest size", {"size": 8192, "checkpoints": 1, "stride": 1}),
        ("the most that is committed to", {"size": 1024, "checkpoints": 127, "stride": 1}),
        ("more is committed to", {"size": 1024, "checkpoints": 128, "stride": 1}),
        ("memory", {"lanes": 4, "rows": 2}),
        ("the most memory", {"lanes": 256, "rows": 256}),
        ("more memory", {"lanes": 256, "rows": 257}),
        ("memory of one row", {"lanes": 4, "rows": 1}),
        ("rows without lanes", {"lanes": 0, "rows": 2}),
    ]
    return [challenge_case(name, CHALLENGE.model_copy(update=changes)) for name, changes in rows]


def challenge_case(name: str, asked: ProofChallenge) -> Case:
    try:
        check_challenge(asked)
    except RemoteProtocolError as refused:
        return {"name": name, "bytes": encode_message(asked).hex(), "code": refused.code}
    return {"name": name, "bytes": encode_message(asked).hex()}


# --- what is answered -------------------------------------------------------------------------------------------
class Answer:
    """One answer with all that is drawn of it.

    Args:
        asked: The challenge.
        who: Whose answer it is.
    """

    def __init__(self, asked: ProofChallenge, who: Person = BOB) -> None:
        self.asked = asked
        work = ProofWork(PlainArithmetic())
        self.root: ProofRoot = work.begin(poc.challenge_of(asked.beacon, raw(who)), asked)
        self.request = self.asks(SECRET)
        self.shown = work.show(self.request)
        self.other = work.show(self.asks(sha256(b"another secret")))

    def asks(self, secret: bytes) -> OpeningRequest:
        places = PLACES_DRAWN if self.asked.lanes else 0
        return OpeningRequest(root=self.root.root, secret=secret, rows=ROWS_DRAWN, places=places, first=0)

    def case(self, name: str, *shown: Openings, who: Person = BOB, code: str = "", **root: object) -> Case:
        return {
            "name": name,
            "peer": raw(who).hex(),
            "challenge": encode_message(self.asked).hex(),
            "root": encode_message(self.root.model_copy(update=root)).hex(),
            "request": encode_message(self.request).hex(),
            "openings": [encode_message(part).hex() for part in shown],
            **({"code": code} if code else {}),
        }


def flipped(data: bytes, at: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def with_row(shown: Openings, **changes: Callable[[Any], Any]) -> Openings:
    """Return openings whose first row is another."""
    row = shown.rows[0]
    wrong = row.model_copy(update={name: change(getattr(row, name)) for name, change in changes.items()})
    return shown.model_copy(update={"rows": (wrong, *shown.rows[1:])})


def with_place(shown: Openings, part: str, **changes: object) -> Openings:
    """Return openings whose first place has another block."""
    place = shown.places[0]
    wrong = place.model_copy(update={part: getattr(place, part).model_copy(update=changes)})
    return shown.model_copy(update={"places": (wrong, *shown.places[1:])})


def proof_cases() -> list[Case]:
    plain, filled = Answer(CHALLENGE), Answer(WITH_MEMORY)
    shown, rows = plain.shown, plain.shown.rows
    first, rest = (Openings(rows=part, places=()) for part in (rows[:5], rows[5:]))
    lacks = Openings(rows=rows[:-1], places=())
    zeros = bytes(32)
    good = [
        plain.case("rows", shown),
        plain.case("rows in two messages", first, rest),
        filled.case("rows and memory", filled.shown),
    ]
    bad: list[tuple[str, Answer, tuple[Openings, ...], dict[str, Any]]] = [
        ("another product", plain, (with_row(shown, products=flipped),), {}),
        ("another row", plain, (with_row(shown, start=flipped),), {}),
        ("another path", plain, (with_row(shown, start_path=lambda path: path[:-1]),), {}),
        ("another end", plain, (with_row(shown, end_path=lambda path: (zeros, *path[1:])),), {}),
        ("another place in the tree", plain, (with_row(shown, index=lambda index: index + 1),), {}),
        ("a product is missing", plain, (with_row(shown, products=lambda products: products[:-16]),), {}),
        ("a product too many", plain, (with_row(shown, products=lambda products: products + bytes(16)),), {}),
        ("another root", plain, (shown,), {"root": zeros}),
        ("rows in another order", plain, (shown.model_copy(update={"rows": rows[::-1]}),), {}),
        ("what another secret draws", plain, (plain.other,), {}),
        ("of another worker", plain, (shown,), {"who": CAROL}),
        ("a row too many", plain, (Openings(rows=(*rows, rows[0]), places=()),), {}),
        ("a row less, and then nothing", plain, (lacks, Openings(rows=(), places=())), {}),
        ("memory that was not asked for", plain, (shown,), {"memory": zeros}),
        ("no memory", filled, (filled.shown,), {"memory": None}),
        ("another memory", filled, (filled.shown,), {"memory": zeros}),
        ("another block", filled, (with_place(filled.shown, "block", block=zeros),), {}),
        ("another block before", filled, (with_place(filled.shown, "before", block=zeros),), {}),
        ("another block pointed to", filled, (with_place(filled.shown, "pointed", index=1),), {}),
        ("places of another secret", filled, (filled.shown.model_copy(update={"places": filled.other.places}),), {}),
    ]  # fmt: skip
    return good + [
        answer.case(name, *parts, code="proof_fails", **changes) for name, answer, parts, changes in bad
    ]


FAMILIES = {
    "proof-challenges": ("04-auction.md, Asking for a proof", challenge_cases),
    "proofs-of-compute": ("04-auction.md, Proof of compute", proof_cases),
}
