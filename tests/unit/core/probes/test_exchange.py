"""The exchange of statements at one node: gossip, looks at stakes, catching up, and who is blamed."""

import pytest

from skyops_p2p import limits
from skyops_p2p.core import pull_events as pull
from skyops_p2p.core.intake import Judgement
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.core.probes import exchange_events as ev
from skyops_p2p.core.probes.catching import CatchUpState
from skyops_p2p.core.probes.exchange import StatementExchange
from skyops_p2p.core.probes.statements import Statement, make_statement
from skyops_p2p.core.probes.times import ProbeTimes
from skyops_p2p.core.reputation.conduct import Outcome
from skyops_p2p.crypto.wallet import Wallet, address_to_bytes
from skyops_p2p.errors import LocalProtocolError
from skyops_p2p.types import MonotonicS, UnixMs
from tests.unit.core.people import ALICE, BOB, CAROL, MALLORY, NOW, RULES, START

TIMES = ProbeTimes()
WATCH = TIMES.watch_of(TIMES.slot_at(NOW)) - 1
CAROLS, ALICES = (address_to_bytes(one.wallet.address) for one in (CAROL, ALICE))
PEERS = (ALICE.peer, BOB.peer)


def said(
    wallet: Wallet = ALICE.wallet, *, watch: int = WATCH, outcome: Outcome = Outcome.ANSWERED
) -> Statement:
    made = make_statement({CAROLS: [outcome] * TIMES.watch_slots}, watch, wallet, RULES.network)
    assert made is not None
    return made


class Desk:
    """Bob's exchange, as its shell drives it."""

    def __init__(self, stakes: dict[bytes, bool] | None = None) -> None:
        self.stakes = {ALICES: True} if stakes is None else stakes
        self.exchange = StatementExchange(RULES.network, TIMES, salt=b"salt", is_staked=self.stakes.get)
        self.now = START
        self.tell(pull.Restored((), NOW))

    def tell(self, event: Event) -> list[Effect]:
        effects = self.exchange.handle(event, self.now)
        self.exchange.check_invariants()
        return effects

    def judge(self, data: bytes, unix_ms: UnixMs = NOW) -> Judgement:
        return self.exchange.judge(MALLORY.peer, data, now=self.now, unix_ms=unix_ms)

    def wait(self, seconds: float = limits.PROBE_SYNC_S) -> list[Effect]:
        self.now = MonotonicS(self.now + seconds)
        return self.tell(pull.TimeCame(PEERS, NOW))

    def compare(self) -> pull.AskNames:
        (asked,) = [one for one in self.wait() if isinstance(one, pull.AskNames)]
        return asked

    def name(self, *statements: Statement) -> pull.AskItems:
        """Let the neighbour of a comparison name these; return what is asked for then."""
        peer = self.compare().peer
        names = tuple(sorted(one.name for one in statements))
        assert self.tell(pull.NamesAnswered(peer, names, True)) == []
        (asked,) = self.wait(limits.PROBE_ASK_PAUSE_S)
        assert isinstance(asked, pull.AskItems)
        return asked

    def give(self, asked: pull.AskItems, *items: bytes) -> list[Effect]:
        return self.tell(pull.ItemsAnswered(asked.peer, items, NOW))


# --- gossip -------------------------------------------------------------------------------------------------------
def test_gossip_is_judged_before_it_is_forwarded() -> None:  # PRB-11
    desk, one = Desk(), said()
    assert desk.judge(one.data) is Judgement.ACCEPT
    (kept,) = desk.tell(ev.GossipAccepted(one.data))
    assert kept == pull.KeepItem(one.key, one.data)
    assert desk.judge(one.data) is Judgement.IGNORE
    assert desk.judge(one.data[:-1]) is Judgement.REJECT
    assert desk.judge(bytes(limits.GOSSIP_BYTES_MAX + 1)) is Judgement.REJECT
    assert desk.judge(said(watch=WATCH + 1).data) is Judgement.IGNORE
    assert desk.judge(said(watch=WATCH - 200).data) is Judgement.IGNORE
    assert desk.exchange.refusals["not_yet_valid"] == desk.exchange.refusals["expired"] == 1


def test_an_author_that_floods_is_ignored() -> None:  # PRB-11
    desk = Desk()
    for _ in range(round(limits.PROBE_GOSSIP_BURST)):
        assert desk.judge(b"") is Judgement.REJECT
    assert desk.judge(said().data) is Judgement.IGNORE
    desk.now = MonotonicS(desk.now + 1 / limits.PROBE_GOSSIP_PER_S)
    assert desk.judge(said().data) is Judgement.ACCEPT


def test_gossip_of_somebody_unknown_waits_for_a_look_at_its_stake() -> None:  # PRB-10, PRB-11
    desk, one = Desk({}), said()
    assert desk.judge(one.data) is Judgement.IGNORE
    assert ev.JudgeStake(ALICES) in desk.wait()
    desk.tell(ev.StakeJudged(ALICES, True))
    assert desk.judge(one.data) is Judgement.ACCEPT
    desk.tell(ev.StakeJudged(ALICES, False))
    assert desk.judge(one.data) is Judgement.IGNORE


def test_own_statements_are_kept_before_they_are_told() -> None:  # PRB-8
    desk, own = Desk(), said(BOB.wallet)
    effects = desk.tell(ev.OwnStatementMade(own.data))
    assert effects == [pull.KeepItem(own.key, own.data), pull.Gossip(own.data)]


def test_a_contradiction_is_told_once() -> None:  # PRB-10, PRB-14
    desk = Desk()
    first, second, third = (said(outcome=outcome) for outcome in list(Outcome)[1:])
    desk.tell(ev.GossipAccepted(first.data))
    assert ev.ContradictionFound(ALICES) in desk.tell(ev.GossipAccepted(second.data))
    assert ev.ContradictionFound(ALICES) not in desk.tell(ev.GossipAccepted(third.data))
    assert len(desk.exchange.shelf) == 2


# --- restarts -----------------------------------------------------------------------------------------------------
def test_a_restart_keeps_what_counts_still() -> None:  # PRB-9
    new, old = said(), said(watch=WATCH - 200)
    desk = Desk()
    effects = desk.tell(pull.Restored((new.data, old.data), NOW))
    assert effects == [pull.ForgetItem(old.key)]
    later = UnixMs(NOW + 40 * 86_400_000)
    desk.now = MonotonicS(desk.now + 3601)
    assert pull.ForgetItem(new.key) in desk.tell(pull.TimeCame(PEERS, later))
    assert len(desk.exchange.shelf) == 0


# --- catching up --------------------------------------------------------------------------------------------------
def test_what_is_missing_is_asked_for_page_by_page() -> None:  # PRB-12
    desk = Desk()
    statements = sorted((said(watch=WATCH - age) for age in range(20)), key=lambda one: one.name)
    peer = desk.compare().peer
    names = tuple(one.name for one in statements)
    desk.tell(pull.NamesAnswered(peer, names[:18], False))
    (first,) = desk.wait(limits.PROBE_ASK_PAUSE_S)
    assert first == pull.AskItems(peer, names[:16])
    desk.tell(pull.ItemsAnswered(peer, tuple(one.data for one in statements[:16]), NOW))
    (second,) = desk.wait(limits.PROBE_ASK_PAUSE_S)
    assert second == pull.AskItems(peer, names[16:18])
    desk.tell(pull.ItemsAnswered(peer, (), NOW))
    (third,) = desk.wait(limits.PROBE_ASK_PAUSE_S)
    assert isinstance(third, pull.AskNames)
    assert third.after == names[17]
    desk.tell(pull.NamesAnswered(peer, (), True))
    assert desk.exchange.catching.state is CatchUpState.RESTING
    assert len(desk.exchange.shelf) == 16


def test_another_neighbour_is_asked_after_one_that_does_not_answer() -> None:  # PRB-12
    desk = Desk()
    first = desk.compare().peer
    desk.tell(pull.AskFailed(first))
    (again,) = desk.wait(limits.PROBE_SYNC_SOON_S)
    assert isinstance(again, pull.AskNames)
    assert again.peer != first


def test_a_statement_waits_for_a_look_at_its_witness() -> None:  # PRB-10
    desk, one = Desk({}), said()
    assert desk.give(desk.name(one), one.data) == [ev.JudgeStake(ALICES)]
    assert desk.tell(ev.StakeJudged(ALICES, True)) == [pull.KeepItem(one.key, one.data)]


@pytest.mark.parametrize(("is_staked", "code"), [(False, "no_stake"), (None, "chain_away")])
def test_what_nobody_with_a_stake_has_signed_is_not_asked_for_again(
    is_staked: bool | None, code: str
) -> None:  # PRB-10
    desk, one = Desk({}), said()
    desk.give(desk.name(one), one.data)
    assert desk.tell(ev.StakeJudged(ALICES, is_staked)) == []
    assert desk.exchange.refusals[code] == 1
    peer = desk.compare().peer
    desk.tell(pull.NamesAnswered(peer, (one.name,), True))
    is_resting = desk.exchange.catching.state is CatchUpState.RESTING
    assert is_resting == (is_staked is False), "a chain that was silent is asked again sooner"


def test_who_gives_what_nobody_can_hold_is_blamed_and_rests() -> None:  # PRB-9, PRB-12
    desk, one = Desk(), said()
    asked = desk.name(one)
    assert desk.give(asked, one.data[:-1]) == [pull.BlamePeer(asked.peer, "malformed")]
    peer = desk.compare().peer
    assert peer != asked.peer
    desk.tell(pull.NamesAnswered(peer, (), True))
    assert desk.compare().peer == asked.peer  # its rest is over


def test_who_gives_what_was_not_asked_for_rests_without_blame() -> None:  # PRB-12
    desk, one, other = Desk(), said(), said(watch=WATCH - 1)
    asked = desk.name(one)
    assert desk.give(asked, other.data) == []
    assert desk.exchange.refusals["unsolicited"] == 1
    assert len(desk.exchange.shelf) == 0


def test_what_waits_for_looks_is_bounded() -> None:  # PRB-10
    desk = Desk({})
    wallets = [
        Wallet.from_secret(bytes([1 + n // 200, 1 + n % 200] * 16))
        for n in range(limits.PROBE_PENDING_MAX + 16)
    ]
    looked = 0
    for start in range(0, len(wallets), 16):
        batch = [said(wallet) for wallet in wallets[start : start + 16]]
        looked += len(desk.give(desk.name(*batch), *(one.data for one in batch)))
    assert looked == limits.PROBE_PENDING_MAX


def test_an_event_of_somebody_else_is_a_bug() -> None:
    with pytest.raises(LocalProtocolError):
        Desk().tell(Event())
