"""What is remembered of proofs of compute: the newest of each worker, for a day, of the hardware that it has."""

import pytest

from skyops_p2p import limits
from skyops_p2p.core.auction.proven import UNASKED, Proven, ProvenThroughput, hardware_class
from skyops_p2p.types import PeerId, UnixMs
from tests.unit.core.people import BOB, CAROL, GPU, HARDWARE, NOW

CLASS = hardware_class(HARDWARE)


def proof(throughput: int = 100, unix_ms: int = NOW) -> Proven:
    return Proven(throughput, UnixMs(unix_ms), CLASS)


def test_proof_is_fresh_for_a_day() -> None:  # AUC-39
    table = ProvenThroughput()
    table.note(BOB.peer, proof())
    last = NOW + limits.PROOF_FRESH_MS
    assert table.of(BOB.peer, CLASS, UnixMs(last - 1)) == proof()
    assert table.of(BOB.peer, CLASS, UnixMs(last)) is None
    assert table.of(CAROL.peer, CLASS, NOW) is None


def test_proof_from_the_future_is_none_beyond_the_skew_of_clocks() -> None:
    """The clock of this machine may have been set back since."""
    table = ProvenThroughput()
    table.note(BOB.peer, proof())
    assert table.of(BOB.peer, CLASS, UnixMs(NOW - limits.CLOCK_SKEW_MS_MAX)) == proof()
    assert table.of(BOB.peer, CLASS, UnixMs(NOW - limits.CLOCK_SKEW_MS_MAX - 1)) is None


def test_proof_is_of_the_gpus_and_the_processor() -> None:  # AUC-39
    table = ProvenThroughput()
    table.note(BOB.peer, proof())
    for changes in ({"gpus": (GPU, GPU)}, {"gpus": ()}, {"cpu_cores": 8}, {"cpu_model": "another"}):
        other = hardware_class(HARDWARE.model_copy(update=changes))
        assert table.of(BOB.peer, other, NOW) is None, changes
    fuller = hardware_class(HARDWARE.model_copy(update={"disk_mib": 1, "memory_mib": 1, "driver": "1"}))
    assert table.of(BOB.peer, fuller, NOW) == proof()


def test_newest_proof_counts() -> None:  # AUC-39
    table = ProvenThroughput()
    table.note(BOB.peer, proof(1))
    table.note(BOB.peer, proof(2))
    assert table.of(BOB.peer, CLASS, NOW) == proof(2)
    assert len(table) == 1


def test_failure_is_remembered_until_its_time_or_a_proof() -> None:
    table = ProvenThroughput()
    assert table.why_not(BOB.peer) == UNASKED
    assert table.may_ask(BOB.peer, NOW)
    table.fail(BOB.peer, "proof_late", until=UnixMs(NOW + 10))
    assert not table.may_ask(BOB.peer, UnixMs(NOW + 9))
    assert table.may_ask(BOB.peer, UnixMs(NOW + 10))
    assert table.why_not(BOB.peer) == "proof_late"
    table.note(BOB.peer, proof())
    assert table.may_ask(BOB.peer, NOW)
    assert table.why_not(BOB.peer) == UNASKED


def test_table_is_bounded_and_the_oldest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROVEN_PEERS_MAX", 2)
    table = ProvenThroughput()
    peers = [PeerId(f"peer-{number}") for number in range(3)]
    assert [table.note(peer, proof()) for peer in peers] == [[], [], [peers[0]]]
    assert table.note(peers[1], proof(7)) == []
    assert table.note(peers[0], proof()) == [peers[2]], "a new proof of a worker is a young one"
    for peer in peers:
        table.fail(peer, "proof_late", until=UnixMs(NOW + 1))
    assert [table.may_ask(peer, NOW) for peer in peers] == [True, False, False]
