"""Vectors of attestations: what a verifier signs of a worker's answer, honest and not, and who is drawn to do so."""

from dataclasses import dataclass, field
from typing import Any

from skyops_p2p.core.auction.attestation import challenge_digest, drawn_verifiers, open_attestation
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.wallet import address_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import UnixMs
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages.proof import ProofAnswer, ProofAttestation, ProofChallenge
from skyops_p2p.wire.messages.verification import CandidatePart
from skyops_p2p.wire.model import encode_message
from tests.vectors.people import ALICE, BOB, CAROL, DAY_MS, MALLORY, NOW, RULES, Person
from tests.vectors.proof_cases import CHALLENGE, SECRET, Answer, flipped, raw

Case = dict[str, Any]
HARDWARE = sha256(b"hardware")


@dataclass(frozen=True)
class Attest:
    """Alice attests Bob; what is given takes the place of what is right."""

    verifier: Person = ALICE
    worker: Person = BOB
    asked: ProofChallenge = CHALLENGE
    answer: dict[str, Any] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)
    signs_answer: Person | None = None

    @property
    def sealed(self) -> bytes:
        found = Answer(self.asked, self.worker)
        answer = ProofAnswer(
            network=RULES.network,
            asker=raw(self.verifier),
            challenge=challenge_digest(encode_message(self.asked)),
            root=found.root.root,
            memory=found.root.memory,
            hardware=HARDWARE,
            devices=("GPU-1", "GPU-2"),
        ).model_copy(update=self.answer)
        signed = seal(answer, (self.signs_answer or self.worker).node_key, RULES.network)
        message = ProofAttestation(
            network=RULES.network,
            challenge=encode_message(self.asked),
            sent_unix_ms=NOW,
            elapsed_ms=250,
            answer=signed,
            secret=SECRET,
            rows=found.shown.rows[:2],
        ).model_copy(update=self.said)
        return seal(message, self.verifier.node_key, RULES.network)


def attestation_cases() -> list[Case]:
    rows = Answer(CHALLENGE).shown.rows
    wrong = rows[0].model_copy(update={"products": flipped(rows[0].products)})
    too_large = CHALLENGE.model_copy(update={"stride": 64, "size": 8192})
    given: list[tuple[str, Attest, int]] = [
        ("right", Attest(), 0),
        ("just not a day old", Attest(), DAY_MS - 1),
        ("a day old", Attest(), DAY_MS),
        ("from the future, as clocks differ", Attest(), -120_000),
        ("from the future", Attest(), -120_001),
        ("at once", Attest(said={"elapsed_ms": 0}), 0),
        ("of oneself", Attest(verifier=BOB), 0),
        ("of another worker", Attest(worker=CAROL), 0),
        ("the worker's answer is signed by another", Attest(signs_answer=MALLORY), 0),
        ("the answer is for another asker", Attest(answer={"asker": raw(CAROL)}), 0),
        ("the answer is to another challenge", Attest(answer={"challenge": bytes(32)}), 0),
        ("the answer is another root", Attest(answer={"root": bytes(32)}), 0),
        ("one row alone", Attest(said={"rows": rows[:1]}), 0),
        ("two other rows", Attest(said={"rows": rows[1:3]}), 0),
        ("a wrong product", Attest(said={"rows": (wrong, rows[1])}), 0),
        ("another secret", Attest(said={"secret": bytes(32)}), 0),
        ("a challenge that nobody takes", Attest(said={"challenge": encode_message(too_large)}), 0),
    ]
    return [_case(name, attest, UnixMs(NOW + after_ms)) for name, attest, after_ms in given]


def _case(name: str, attest: Attest, now: UnixMs) -> Case:
    data = attest.sealed
    case: Case = {
        "name": name, "network": RULES.network, "now_unix_ms": now, "worker": BOB.node_key.peer_id,
        "bytes": data.hex(),
    }  # fmt: skip
    try:
        return case | {"attested": seen(case)}
    except RemoteProtocolError as refused:
        return case | {"code": refused.code}


def seen(case: Case) -> dict[str, Any]:
    """Return what an attestation says, by skyops_p2p."""
    data = bytes.fromhex(case["bytes"])
    found = open_attestation(data, worker=case["worker"], network=case["network"], now=case["now_unix_ms"])
    return {
        "verifier": found.verifier, "throughput": found.throughput, "unix_ms": found.unix_ms,
        "hardware": found.hardware.hex(), "devices": list(found.devices),
    }  # fmt: skip


def draw_cases() -> list[Case]:
    """Eight nodes of five wallets; the first is the worker's."""
    nodes = [
        CandidatePart(peer=raw(BOB)[:-1] + bytes([n]), wallet=bytes([n % 5 or 1] * 20), weight=weight)
        for n, weight in enumerate((1, 5, 9, 1, 1, 100, 2, 3))
    ]
    rows = [
        ("a day", nodes, NOW),
        ("the end of that day", nodes, NOW - NOW % DAY_MS + DAY_MS - 1),
        ("the next day", nodes, NOW - NOW % DAY_MS + DAY_MS),
        ("nobody else is there", [], NOW),
        ("the worker's own nodes are left out",
         [one.model_copy(update={"wallet": _wallet(BOB)}) for one in nodes[:3]] + nodes[3:], NOW),
    ]  # fmt: skip
    return [
        {
            "name": name, "network": RULES.network, "now_unix_ms": now, "worker": BOB.node_key.peer_id,
            "wallet": _wallet(BOB).hex(), "nodes": [[one.peer.hex(), one.wallet.hex(), one.weight] for one in known],
            "drawn": [
                one.peer.hex()
                for one in drawn_verifiers(known, BOB.node_key.peer_id, _wallet(BOB), network=RULES.network,
                                           now=UnixMs(now))
            ],
        }
        for name, known, now in rows
    ]  # fmt: skip


def _wallet(who: Person) -> bytes:
    return address_to_bytes(who.wallet.address)


FAMILIES = {
    "attestations": ("04-auction.md, Attestations", attestation_cases),
    "attestation-draws": ("04-auction.md, Attestations", draw_cases),
}
