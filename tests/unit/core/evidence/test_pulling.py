"""RCP-5, RCP-8, RCP-10: what the exchanges of receipts and of verdicts do alike, at its bounds."""

from skyops_p2p import limits
from skyops_p2p.core import pull_events as pull
from skyops_p2p.core.evidence.asking import Asking, ForNames
from skyops_p2p.core.evidence.gate import FOREIGN, Gate
from skyops_p2p.core.evidence.pulling import Pulling
from skyops_p2p.core.evidence.shelf import Shelf
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from tests.vectors.evidence_cases import SCOPE
from tests.vectors.people import NOW

BOB, CAROL = PeerId("bob"), PeerId("carol")
START = MonotonicS(0.0)
DIGESTS = bytes(64)
KNOWN, WANTED = bytes([1] * 32), bytes([2] * 32)
UNTOLD_MAX = limits.RECEIPT_NAMES_TOLD_MAX + 6


class Node:
    """One node's part, and what it is made of; its neighbours are bob and carol."""

    def __init__(self) -> None:
        self.gate = Gate(SCOPE, Shelf(), {}, lambda _account: False)
        self.asking = Asking(bytes(32))
        self.pulling = Pulling(self.gate, self.asking, is_known=KNOWN.__eq__, untold_max=UNTOLD_MAX)
        self.pulling.start(START)
        self.pulling.due(pull.TimeCame((BOB, CAROL), UnixMs(NOW)), START)

    def compare(self, now: float) -> PeerId:
        """Return who was asked what differs."""
        (asked,) = self.pulling.compare(DIGESTS, MonotonicS(now))
        assert isinstance(asked, pull.AskNames)
        return asked.peer


def names(count: int) -> tuple[bytes, ...]:
    return tuple(number.to_bytes(32, "big") for number in range(1, count + 1))


# --- what is told -------------------------------------------------------------------------------------------------
def test_own_names_are_told_batch_by_batch_and_past_the_bound_the_oldest_go() -> None:  # RCP-5, RCP-7
    pulling, own = Node().pulling, names(UNTOLD_MAX + 1)
    for name in own:
        pulling.note_untold(name)
    batches = [pulling.take_untold() for _ in range(3)]
    assert batches == [
        own[1 : limits.RECEIPT_NAMES_TOLD_MAX + 1],
        own[limits.RECEIPT_NAMES_TOLD_MAX + 1 :],
        (),
    ]


# --- what is asked ------------------------------------------------------------------------------------------------
def test_nothing_is_due_before_the_start_and_a_comparison_soon_after() -> None:
    asking = Asking(bytes(32))
    gate = Gate(SCOPE, Shelf(), {}, lambda _account: False)
    pulling = Pulling(gate, asking, is_known=KNOWN.__eq__, untold_max=1)
    asking.want(WANTED, BOB, START)
    assert pulling.next_deadline() is None
    pulling.start(MonotonicS(5.0))
    assert pulling.next_deadline() == START, "a want comes before chores"
    due = pulling.due(pull.TimeCame((), UnixMs(NOW)), MonotonicS(5.0 + limits.RECEIPT_SYNC_SOON_S))
    assert "sync" in due
    assert "old" not in due


def test_what_is_known_or_refused_is_not_wanted() -> None:  # RCP-8
    node = Node()
    node.pulling.want(KNOWN, BOB, START)
    node.gate.refuse(frozenset({WANTED}), "unfunded", START)
    node.pulling.want(WANTED, BOB, START)
    assert len(node.asking) == 0
    node.pulling.want(WANTED, BOB, MonotonicS(limits.RECEIPT_REFUSED_S))
    assert len(node.asking) == 1


def test_who_rests_is_not_asked() -> None:  # RCP-8
    node = Node()
    node.gate.rest(BOB, "flood", START)
    node.pulling.want(WANTED, BOB, START)
    assert node.pulling.ask(START) == [pull.AskItems(CAROL, (WANTED,))]


def test_a_comparison_for_which_nobody_is_free_comes_soon_again() -> None:  # RCP-10
    node = Node()
    after = MonotonicS(limits.RECEIPT_SYNC_S)
    node.pulling.due(pull.TimeCame((), UnixMs(NOW)), after)
    assert node.pulling.compare(DIGESTS, after) == []
    soon = MonotonicS(after + limits.RECEIPT_SYNC_SOON_S)
    assert "sync" in node.pulling.due(pull.TimeCame((), UnixMs(NOW)), soon)


# --- what answers bring -------------------------------------------------------------------------------------------
def test_an_answer_of_somebody_who_was_not_asked_brings_nothing() -> None:  # RCP-8, RCP-10
    node = Node()
    assert node.pulling.names_answered(pull.NamesAnswered(BOB, (WANTED,), is_complete=True), START) == []
    assert len(node.asking) == 0


def test_after_an_answer_that_names_something_new_a_comparison_comes_soon_again() -> None:  # RCP-10
    answered_at = MonotonicS(limits.RECEIPT_SYNC_S)
    soon = MonotonicS(answered_at + limits.RECEIPT_SYNC_SOON_S)
    for named, is_new in ((WANTED, True), (KNOWN, False)):
        node = Node()
        node.pulling.due(pull.TimeCame((BOB, CAROL), UnixMs(NOW)), answered_at)
        answer = pull.NamesAnswered(node.compare(answered_at), (named,), is_complete=True)
        node.pulling.names_answered(answer, answered_at)
        assert ("sync" in node.pulling.due(pull.TimeCame((BOB, CAROL), UnixMs(NOW)), soon)) == is_new


def test_a_comparison_that_never_ends_is_left_after_its_rounds() -> None:  # RCP-10
    node = Node()
    peer = node.compare(0.0)
    rounds = 0
    for name in names(limits.RECEIPT_SYNC_ROUNDS_MAX + 2):
        answer = pull.NamesAnswered(peer, (name,), is_complete=False)
        on = [one for one in node.pulling.names_answered(answer, START) if isinstance(one, pull.AskNames)]
        if not on:
            break
        assert on == [pull.AskNames(peer, DIGESTS, name)]
        rounds += 1
    assert rounds == limits.RECEIPT_SYNC_ROUNDS_MAX
    assert not node.asking.is_comparing


def test_a_comparison_that_was_not_answered_comes_soon_again() -> None:  # RCP-10
    node = Node()
    failed_at = MonotonicS(limits.RECEIPT_SYNC_S)
    node.pulling.due(pull.TimeCame((BOB, CAROL), UnixMs(NOW)), failed_at)
    peer = node.compare(failed_at)
    assert node.pulling.ask_failed(pull.AskFailed(peer), failed_at) == []
    soon = MonotonicS(failed_at + limits.RECEIPT_SYNC_SOON_S)
    assert "sync" in node.pulling.due(pull.TimeCame((BOB, CAROL), UnixMs(NOW)), soon)


def test_who_does_not_answer_is_not_blamed_and_another_is_asked() -> None:  # RCP-8
    node = Node()
    node.pulling.want(WANTED, BOB, START)
    assert node.pulling.ask(START) == [pull.AskItems(BOB, (WANTED,))]
    assert node.pulling.ask_failed(pull.AskFailed(BOB), START) == []
    later = MonotonicS(limits.WANT_BACKOFF_S_MAX)
    assert node.pulling.ask(later) == [pull.AskItems(CAROL, (WANTED,))]
    assert node.gate.refusals.total() == 0


def test_only_who_named_it_first_has_named_it_in_vain() -> None:  # RCP-8
    node, named = Node(), names(int(limits.RECEIPT_BOGUS_BURST) + 1)
    for name in named:
        node.pulling.want(name, BOB, START)
        node.pulling.missed(ForNames((name,)), CAROL, START)
    assert not node.gate.is_resting(CAROL, START)
    for name in named[:-1]:
        node.pulling.missed(ForNames((name,)), BOB, START)
    assert not node.gate.is_resting(BOB, START)
    node.pulling.missed(ForNames((named[-1],)), BOB, START)
    assert node.gate.is_resting(BOB, START)


def test_who_is_of_another_market_rests_and_who_lies_is_blamed() -> None:  # RCP-8
    node = Node()
    for code in sorted(FOREIGN):
        assert node.pulling.refused(BOB, code, START) == []
    assert node.gate.is_resting(BOB, START)
    assert node.pulling.refused(CAROL, "bad_signature", START) == [pull.BlamePeer(CAROL, "bad_signature")]
    assert node.gate.is_resting(CAROL, START)
