"""Rates, schedules, nonces, sequence reserves and changed nodes."""

import math

import pytest

from skyops_p2p import limits
from skyops_p2p.core.changed_nodes import ChangedNodes
from skyops_p2p.core.node_events import ForgetNodes, RememberNodes, RememberSequence
from skyops_p2p.core.nonces import NonceCache
from skyops_p2p.core.rate import PeerRates
from skyops_p2p.core.refusals import HANDSHAKE_CODES, known_code
from skyops_p2p.core.schedule import Schedule
from skyops_p2p.core.sequence_reserve import RESERVE, RETRY_S, SequenceReserve
from skyops_p2p.types import UnixMs
from tests.unit.core.people import ALICE, BOB, CAROL, NOW, START, at


# --- rates --------------------------------------------------------------------------------------------------
def test_burst_then_the_long_run() -> None:
    rates = PeerRates(burst=3, per_s=0.5, peers_max=10)
    assert [rates.take(BOB.peer, at(0)) for _ in range(5)] == [True, True, True, False, False]
    assert rates.excess(BOB.peer) == 2
    assert not rates.take(BOB.peer, at(1.9))
    assert rates.take(BOB.peer, at(2))
    assert rates.excess(BOB.peer) == 2
    assert [rates.take(BOB.peer, at(1000)) for _ in range(4)] == [True, True, True, False]


def test_peers_have_their_own_rates() -> None:
    rates = PeerRates(burst=1, per_s=1, peers_max=10)
    assert rates.take(BOB.peer, at(0))
    assert rates.take(CAROL.peer, at(0))
    assert not rates.take(BOB.peer, at(0))
    assert rates.excess(ALICE.peer) == 0


def test_rates_remember_so_many_peers() -> None:
    rates = PeerRates(burst=1, per_s=1, peers_max=2)
    for peer in (ALICE.peer, BOB.peer, ALICE.peer, CAROL.peer):
        rates.take(peer, at(0))
    assert len(rates) == 2
    assert rates.excess(ALICE.peer) == 1
    assert rates.take(BOB.peer, at(0))  # forgotten, so its burst is new


# --- schedule -----------------------------------------------------------------------------------------------
def test_chores_come_round_after_the_start() -> None:
    schedule = Schedule(often=1.0, seldom=10.0)
    assert schedule.next_deadline() is None
    assert schedule.due(at(100)) == frozenset()
    schedule.start(at(0))
    assert schedule.next_deadline() == at(1)
    assert schedule.due(at(0.9)) == frozenset()
    assert schedule.due(at(1)) == {"often"}
    assert schedule.due(at(50)) == {"often", "seldom"}
    assert schedule.next_deadline() == at(51)


def test_hastened_chore_is_due_earlier_but_never_later() -> None:
    schedule = Schedule(chore=10.0)
    schedule.hasten("chore", at(0))
    assert schedule.next_deadline() is None
    schedule.start(at(0))
    schedule.hasten("chore", at(3))
    schedule.hasten("chore", at(30))
    assert schedule.next_deadline() == at(3)
    assert schedule.due(at(3)) == {"chore"}
    assert schedule.next_deadline() == at(13)


# --- nonces (HSK-5) -----------------------------------------------------------------------------------------
def test_nonce_is_fresh_once_within_its_time() -> None:
    nonces = NonceCache()
    life = 2 * limits.CLOCK_SKEW_MS_MAX
    assert nonces.is_fresh(b"a", NOW)
    assert not nonces.is_fresh(b"a", UnixMs(NOW + life - 1))
    assert nonces.is_fresh(b"a", UnixMs(NOW + life))


def test_full_cache_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NONCE_CACHE_MAX", 3)
    nonces = NonceCache()
    for nonce in (b"a", b"b", b"c", b"d"):
        assert nonces.is_fresh(nonce, NOW)
    assert len(nonces) == 3
    assert not nonces.is_fresh(b"d", NOW)
    assert nonces.is_fresh(b"a", NOW)


def test_nonces_of_the_past_go_by_themselves() -> None:
    nonces = NonceCache()
    for number in range(100):
        nonces.is_fresh(number.to_bytes(2, "big"), NOW)
    nonces.is_fresh(b"later", UnixMs(NOW + 2 * limits.CLOCK_SKEW_MS_MAX))
    assert len(nonces) == 1


# --- sequence numbers (PER-6) -------------------------------------------------------------------------------
def test_reserve_is_persisted_once_for_many_numbers() -> None:
    reserve = SequenceReserve()
    reserve.resume(100)
    assert reserve.covers(100)
    assert not reserve.covers(101)
    assert reserve.ask(101) == [RememberSequence(101 + RESERVE)]
    assert not reserve.covers(101)  # asked for, not confirmed
    assert reserve.ask(102) == []
    reserve.confirm(101 + RESERVE)
    assert reserve.covers(101 + RESERVE)
    assert reserve.ask(101 + RESERVE) == []
    assert reserve.ask(102 + RESERVE) == [RememberSequence(102 + 2 * RESERVE)]


def test_failed_reserve_rests_and_is_asked_for_again() -> None:
    reserve = SequenceReserve()
    assert reserve.ask(1) == [RememberSequence(1 + RESERVE)]
    assert reserve.rests_until == math.inf
    reserve.fail(START)
    assert reserve.rests_until == START + RETRY_S
    assert not reserve.covers(1)
    assert reserve.ask(2) == [RememberSequence(2 + RESERVE)]


# --- changed nodes ------------------------------------------------------------------------------------------
def test_node_is_written_or_deleted_but_never_both() -> None:
    changed = ChangedNodes()
    changed.change(ALICE.peer)
    changed.remove((ALICE.peer, BOB.peer))
    changed.change(BOB.peer)
    assert changed.flush() == [ForgetNodes((ALICE.peer,)), RememberNodes((BOB.peer,))]
    assert changed.flush() == []


# --- refusal codes ------------------------------------------------------------------------------------------
def test_invented_codes_are_one_code() -> None:
    assert {known_code(code) for code in HANDSHAKE_CODES} == HANDSHAKE_CODES
    assert known_code("made_up_by_mallory") == "remote_protocol"
