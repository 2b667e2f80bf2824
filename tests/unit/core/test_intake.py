"""PER-9, PER-11, PER-13, PER-25: what is forwarded, what is dropped, and what counts against its forwarder."""

import pytest

from skyops_p2p import limits
from skyops_p2p.core.intake import Intake, Judgement, ProvenEquivocator
from skyops_p2p.core.node_map import NodeMap
from skyops_p2p.core.presence import NodeState, PresenceTimes
from skyops_p2p.core.records import VerifiedRecord
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from skyops_p2p.wire.model import encode_message
from tests.unit.core.people import (
    ALICE,
    BOB,
    CAROL,
    DAY_MS,
    MAINNET,
    MALLORY,
    NOW,
    RULES,
    START,
    at,
    crowd,
)

SKEW = limits.CLOCK_SKEW_MS_MAX
PROOF = encode_message(MALLORY.contradiction())


class Gate:
    """An intake with its map."""

    def __init__(self) -> None:
        self.nodes = NodeMap(PresenceTimes())
        self.intake = Intake(RULES, self.nodes)

    def judge(self, author: PeerId, payload: bytes, now: MonotonicS = START) -> Judgement:
        return self.intake.judge(author, payload, now=now, unix=NOW)

    def hold(self, verified: VerifiedRecord) -> None:
        self.nodes.admit_record(verified, at(0), NOW)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.mark.parametrize("payload", [BOB.record(), BOB.beat()])
def test_news_of_the_author_is_accepted_and_taken_once_verified(gate: Gate, payload: bytes) -> None:
    assert gate.judge(BOB.peer, payload) is Judgement.ACCEPT
    first = gate.intake.take(BOB.peer, payload, unix=NOW)
    assert first is not None
    again = gate.intake.take(BOB.peer, payload, unix=NOW)
    assert again is not first
    assert type(again) is type(first)


@pytest.mark.parametrize("payload", [BOB.record(), BOB.beat()])
def test_statement_of_another_is_rejected(gate: Gate, payload: bytes) -> None:
    assert gate.judge(MALLORY.peer, payload) is Judgement.REJECT
    assert gate.intake.refusals == {"wrong_signer": 1}
    assert gate.intake.take(MALLORY.peer, payload, unix=NOW) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x0a",
        b"\xc1",
        bytes(100),
        BOB.record()[:-1],
        BOB.record() + b"\x00",
        BOB.beat(rules=MAINNET),
        BOB.record(peer=peer_id_to_bytes(CAROL.peer)),
        BOB.binding,
        PROOF[:-1],
    ],
)
def test_garbage_is_rejected_with_a_code(gate: Gate, payload: bytes) -> None:
    assert gate.judge(BOB.peer, payload) is Judgement.REJECT
    assert sum(gate.intake.refusals.values()) == 1


@pytest.mark.parametrize(
    "payload",
    [
        BOB.record(issued_unix_ms=NOW + SKEW + 1),
        BOB.record(issued_unix_ms=NOW - DAY_MS),
        BOB.beat(issued_unix_ms=NOW + SKEW + 1),
        BOB.beat(issued_unix_ms=NOW - 30_000 - SKEW - 1),
    ],
)
def test_other_clock_is_ignored_and_blames_nobody(gate: Gate, payload: bytes) -> None:
    assert gate.judge(BOB.peer, payload) is Judgement.IGNORE


def test_size_at_and_above_the_bound(gate: Gate) -> None:
    assert gate.judge(BOB.peer, bytes(limits.GOSSIP_BYTES_MAX)) is Judgement.REJECT
    assert "oversized" not in gate.intake.refusals
    assert gate.judge(BOB.peer, bytes(limits.GOSSIP_BYTES_MAX + 1)) is Judgement.REJECT
    assert gate.intake.refusals["oversized"] == 1


def test_known_and_older_statements_are_ignored(gate: Gate) -> None:
    gate.hold(BOB.verified(5))
    gate.nodes.admit_beat(BOB.checked_beat(5), at(0))
    for payload in (BOB.record(5), BOB.record(4), BOB.beat(5), BOB.beat(4)):
        assert gate.judge(BOB.peer, payload) is Judgement.IGNORE
    for payload in (BOB.record(6), BOB.beat(6)):
        assert gate.judge(BOB.peer, payload) is Judgement.ACCEPT


def test_second_record_under_one_number_is_forwarded_as_evidence(gate: Gate) -> None:
    gate.hold(MALLORY.verified(5))
    assert gate.judge(MALLORY.peer, MALLORY.record(5, region="us")) is Judgement.ACCEPT


def test_second_wallet_is_not_forwarded(gate: Gate) -> None:
    gate.hold(BOB.verified(1))
    payload = BOB.record(2, binding=BOB.binding_for(CAROL.wallet))
    assert gate.judge(BOB.peer, payload) is Judgement.IGNORE


def test_proof_may_come_from_anybody_and_is_news_once(gate: Gate) -> None:
    assert gate.judge(BOB.peer, PROOF) is Judgement.IGNORE  # about somebody unknown
    gate.hold(MALLORY.verified(1))
    assert gate.judge(BOB.peer, PROOF) is Judgement.ACCEPT
    verified = gate.intake.take(BOB.peer, PROOF, unix=NOW)
    assert isinstance(verified, ProvenEquivocator)
    gate.nodes.convict(verified.peer, verified.proof, at(0))
    assert gate.judge(CAROL.peer, PROOF) is Judgement.IGNORE
    entry = gate.nodes.get(MALLORY.peer)
    assert entry is not None
    assert entry.presence.state is NodeState.SLASHED


def test_slashed_node_is_not_forwarded(gate: Gate) -> None:
    gate.hold(MALLORY.verified(1))
    gate.nodes.convict(MALLORY.peer, MALLORY.contradiction(), at(0))
    for payload in (MALLORY.record(9), MALLORY.beat(9)):
        assert gate.judge(MALLORY.peer, payload) is Judgement.IGNORE


def test_flood_of_one_author_is_dropped_and_told_apart(gate: Gate) -> None:
    burst = int(limits.GOSSIP_BURST)
    for sequence in range(burst):
        assert gate.judge(MALLORY.peer, MALLORY.beat(sequence + 1)) is Judgement.ACCEPT
    for _ in range(limits.GOSSIP_EXCESS_MAX):
        assert not gate.intake.is_flooding(MALLORY.peer)
        assert gate.judge(MALLORY.peer, MALLORY.beat(99)) is Judgement.IGNORE
    assert gate.intake.is_flooding(MALLORY.peer)
    assert gate.judge(BOB.peer, BOB.beat()) is Judgement.ACCEPT
    assert gate.judge(MALLORY.peer, MALLORY.beat(100), at(1 / limits.GOSSIP_PER_S)) is Judgement.ACCEPT


def test_memory_of_verified_payloads_is_bounded(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "VERIFIED_CACHE_MAX", 2)
    people = crowd(5)
    for someone in people:
        assert gate.judge(someone.peer, someone.beat()) is Judgement.ACCEPT
    for someone in people:
        assert gate.intake.take(someone.peer, someone.beat(), unix=NOW) is not None


def test_statement_that_ran_out_while_it_waited_is_not_taken(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "VERIFIED_CACHE_MAX", 1)
    gate.judge(BOB.peer, BOB.record())
    gate.judge(CAROL.peer, CAROL.record())
    assert gate.intake.take(BOB.peer, BOB.record(), unix=UnixMs(NOW + DAY_MS)) is None


def test_answers_are_checked_one_by_one(gate: Gate) -> None:
    envelopes = (b"garbage", ALICE.record(), BOB.record()[:-1], BOB.beat(), PROOF)
    passed = gate.intake.check_all(envelopes, unix=NOW, is_foreign=True)
    assert [type(item).__name__ for item in passed] == ["VerifiedRecord", "Signed"]
    assert sum(gate.intake.refusals.values()) == 2


def test_own_stores_verdicts_are_taken_and_its_leftovers_blame_nobody(gate: Gate) -> None:
    passed = gate.intake.check_all((PROOF, b"torn"), unix=NOW, is_foreign=False)
    assert isinstance(passed[0], ProvenEquivocator)
    assert gate.intake.refusals == {}
