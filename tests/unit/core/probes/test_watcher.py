"""A witness, slot by slot."""

import pytest

from skyops_p2p import limits
from skyops_p2p.core.machine import DeadlineReached, Effect
from skyops_p2p.core.probes.draw import StakeFacts
from skyops_p2p.core.probes.probe import Answered, AskProbe, Failed, Probe, ProbeState, SlotEnded
from skyops_p2p.core.probes.statements import open_statement, unpacked
from skyops_p2p.core.probes.times import ProbeTimes
from skyops_p2p.core.probes.watcher import (
    ProbeAnswered,
    ProbeFailed,
    SlotBegan,
    StatementMade,
    Target,
    TimeCame,
    Watcher,
)
from skyops_p2p.core.reputation.conduct import Outcome
from skyops_p2p.core.reputation.voices import Stake
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.wallet import address_to_bytes
from skyops_p2p.errors import LocalProtocolError, UnexpectedEvent
from skyops_p2p.types import MonotonicS, UnixMs
from tests.unit.core.people import ALICE, BOB, CAROL, NOW, RULES, START

TIMES = ProbeTimes(60_000, 4)
FIRST = TIMES.slot_at(TIMES.watch_start(TIMES.watch_of(TIMES.slot_at(NOW)) + 1))
"""First slot of a watch."""
ALICES, BOBS, CAROLS = (address_to_bytes(one.wallet.address) for one in (ALICE, BOB, CAROL))
STAKES = {account: Stake(100_000_000, 0) for account in (ALICES, BOBS, CAROLS)}
TARGETS = (Target(BOBS, BOB.peer), Target(CAROLS, CAROL.peer), Target(ALICES, ALICE.peer))
BEACON = bytes(32)
YES, NO, AWAY, NOT = Outcome.ANSWERED, Outcome.SILENT, Outcome.ANNOUNCED, Outcome.UNASKED


class Night:
    """Alice as a witness, who watches bob and carol."""

    def __init__(self, *, salt: bytes = b"salt", has_spoken: bool = False) -> None:
        self.spoken = has_spoken
        self.watcher = Watcher(
            ALICE.wallet, RULES.network, TIMES, salt=salt, has_spoken=lambda _watch: self.spoken
        )

    def begin(
        self, number: int, *, beacon: bytes | None = BEACON, stakes: dict[bytes, Stake] = STAKES,
        has_neighbours: bool = True,
    ) -> list[Effect]:  # fmt: skip
        """Begin the slot of a number."""
        unix = TIMES.slot_start(FIRST + number)
        event = SlotBegan(unix, TARGETS, beacon, StakeFacts(stakes, 300_000_000), has_neighbours)
        return self.watcher.handle(event, self.at(number))

    def at(self, number: int, part: float = 0.0) -> MonotonicS:
        return MonotonicS(START + 60.0 * (number + part))

    def asks(self, number: int, part: float) -> dict[bytes, AskProbe]:
        """Let time pass to a part of a slot; return who is asked then, in any order."""
        effects = self.watcher.handle(TimeCame(), self.at(number, part))
        self.watcher.check_invariants()
        return {one.account: one for one in effects if isinstance(one, AskProbe)}

    def live(self, number: int, *, bob: bool = True, carol: bool = True, announced: bool = False) -> None:
        """Live through a slot in which these are there."""
        for part in (0.6, 0.9):
            for account in self.asks(number, part):
                is_there = bob if account == BOBS else carol
                slot = FIRST + number
                event = ProbeAnswered(account, slot) if is_there else ProbeFailed(account, slot, announced)
                self.watcher.handle(event, self.at(number, part + 0.01))

    def said(self, effects: list[Effect]) -> dict[bytes, tuple[Outcome, ...]]:
        (made,) = effects
        assert isinstance(made, StatementMade)
        statement = open_statement(made.data, network=RULES.network, times=TIMES)
        assert (statement.witness, statement.watch) == (ALICES, TIMES.watch_of(FIRST))
        return {account: unpacked(data, TIMES.watch_slots) for account, data in statement.probed}


def test_a_watch_is_watched_and_then_told() -> None:  # PRB-4, PRB-7, PRB-8
    night = Night()
    for number, (bob, carol) in enumerate([(True, True), (False, True), (True, False), (True, True)]):
        assert night.begin(number) == []
        assert night.watcher.drawn == {BOBS, CAROLS}
        night.live(number, bob=bob, carol=carol, announced=number == 2)
    assert night.said(night.begin(4)) == {BOBS: (YES, NO, YES, YES), CAROLS: (YES, YES, AWAY, YES)}
    assert night.watcher.asked == 2 * 4 + 1  # bob was asked twice when he was silent
    assert night.begin(8) == []  # a watch in which nobody was asked


def test_each_is_asked_once_at_a_secret_moment_and_once_more_if_silent() -> None:  # PRB-4
    night, other = Night(), Night(salt=b"pepper")
    night.begin(0)
    other.begin(0)
    assert night.watcher.next_deadline() != other.watcher.next_deadline()
    asked = night.asks(0, 0.6)
    assert set(asked) == {BOBS, CAROLS}
    assert asked[BOBS].nonce != asked[CAROLS].nonce
    assert night.asks(0, 0.61) == {}
    night.watcher.handle(ProbeAnswered(CAROLS, FIRST), night.at(0, 0.61))
    night.watcher.handle(ProbeFailed(BOBS, FIRST, False), night.at(0, 0.61))
    assert night.asks(0, 0.7) == {}
    again = night.asks(0, 0.77)
    assert set(again) == {BOBS}
    assert again[BOBS].nonce != asked[BOBS].nonce
    night.watcher.handle(ProbeAnswered(BOBS, FIRST), night.at(0, 0.8))
    assert night.asks(0, 0.99) == {}
    assert night.said(night.begin(4)) == {BOBS: (YES, NOT, NOT, NOT), CAROLS: (YES, NOT, NOT, NOT)}


def test_what_comes_too_late_says_nothing() -> None:  # PRB-7
    night = Night()
    night.begin(0)
    night.asks(0, 0.6)
    night.begin(1)
    night.watcher.handle(ProbeFailed(BOBS, FIRST, False), night.at(1, 0.1))
    night.watcher.handle(ProbeAnswered(CAROLS, FIRST), night.at(1, 0.1))
    night.live(1)
    assert night.said(night.begin(4)) == {BOBS: (NOT, YES, NOT, NOT), CAROLS: (NOT, YES, NOT, NOT)}


def test_who_is_cut_off_itself_says_nothing() -> None:  # PRB-7
    night = Night()
    night.begin(0)
    night.live(0, bob=False, carol=False)
    night.begin(1, has_neighbours=False)
    night.live(1, bob=False)
    night.begin(2, has_neighbours=False)  # carol has answered: the silence is bob's
    assert night.said(night.begin(4)) == {BOBS: (NOT, NO, NOT, NOT), CAROLS: (NOT, YES, NOT, NOT)}


def test_nothing_is_said_twice_of_a_watch() -> None:  # PRB-8
    night = Night(has_spoken=True)
    night.begin(0)
    night.live(0)
    assert night.begin(4) == []


def test_a_clock_that_goes_back_changes_nothing() -> None:  # PRB-8
    night = Night()
    night.begin(1)
    night.live(1)
    assert night.begin(0) == []
    assert night.watcher.slot == FIRST + 1
    assert night.said(night.begin(4))[BOBS] == (NOT, YES, NOT, NOT)


@pytest.mark.parametrize(
    "changes",
    [
        {"beacon": None},
        {"stakes": {**STAKES, ALICES: Stake(0, 0)}},
        {"stakes": {**STAKES, ALICES: Stake(100_000_000, 0, registered_unix_s=NOW // 1000 + 86_400)}},
        {"stakes": {ALICES: STAKES[ALICES]}},
    ],
)
def test_nobody_is_watched_without_a_beacon_or_stakes(changes: dict[str, object]) -> None:  # PRB-2, PRB-3
    night = Night()
    night.begin(0, **changes)  # type: ignore[arg-type]
    assert night.watcher.drawn == frozenset()


def test_at_most_sixty_four_are_watched() -> None:  # PRB-4
    night = Night()
    accounts = [sha256(b"%d" % number)[:20] for number in range(limits.PROBED_MAX + 10)]
    stakes = {ALICES: Stake(10**9, 0), **{account: Stake(1, 0) for account in accounts}}
    targets = [Target(account, BOB.peer) for account in accounts]
    event = SlotBegan(UnixMs(FIRST * 60_000), targets, BEACON, StakeFacts(stakes, 10**9), True)
    night.watcher.handle(event, START)
    assert len(night.watcher.drawn) == limits.PROBED_MAX
    night.watcher.check_invariants()


def test_an_event_of_somebody_else_is_a_bug() -> None:
    with pytest.raises(LocalProtocolError):
        Night().watcher.handle(DeadlineReached(), START)


# --- the machine --------------------------------------------------------------------------------------------------
def probe() -> Probe:
    return Probe(BOBS, BOB.peer, FIRST, at=START, pause_s=9.0, nonces=(bytes(16), bytes([1] * 16)))


def test_a_probe_ends_in_what_was_seen() -> None:  # PRB-7
    ways: list[tuple[list[object], ProbeState, Outcome]] = [
        ([SlotEnded()], ProbeState.UNASKED, NOT),
        ([DeadlineReached(), SlotEnded()], ProbeState.UNASKED, NOT),
        ([DeadlineReached(), Answered()], ProbeState.ANSWERED, YES),
        ([DeadlineReached(), Failed(True)], ProbeState.ANNOUNCED, AWAY),
        ([DeadlineReached(), Failed(False), SlotEnded()], ProbeState.SILENT, NO),
        ([DeadlineReached(), Failed(False), DeadlineReached(), Failed(False)], ProbeState.SILENT, NO),
        ([DeadlineReached(), Failed(False), DeadlineReached(), Answered()], ProbeState.ANSWERED, YES),
    ]
    for events, state, outcome in ways:
        machine = probe()
        for event in events:
            machine.handle(event, START)  # type: ignore[arg-type]
            machine.check_invariants()
        assert (machine.state, machine.outcome) == (state, outcome)
        assert machine.next_deadline() is None


def test_an_answer_that_nobody_asked_for_changes_nothing() -> None:  # PRB-6
    machine = probe()
    with pytest.raises(UnexpectedEvent):
        machine.handle(Answered(), START)
    assert machine.state is ProbeState.WAITING
