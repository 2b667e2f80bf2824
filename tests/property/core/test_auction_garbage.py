"""Any bytes as any message of an auction: a coded outcome, nothing changed, and the honest go on as if nothing was."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from skyops_p2p.core.auction import events as ev
from skyops_p2p.core.auction.codes import explain
from skyops_p2p.core.auction.worker import BiddingState
from tests.property.core.test_garbage import altered
from tests.unit.core.auction.counter import Counter
from tests.unit.core.auction.house import three
from tests.unit.core.people import ALICE, BOB, CAROL, MALLORY

STEPS = ("tender", "ack", "reveal", "award", "release")
ANSWERS = (ev.AnswerArrived, ev.RevealArrived, ev.ConfirmArrived)
changes = st.tuples(st.integers(0, 5000), st.integers(1, 255), st.integers(0, 3))


def at_step(step: str) -> tuple[Counter, bytes]:
    """Bring bob to the step before a request of alice's; return her, and the request."""
    alice = Counter()
    if step == "tender":
        return alice, alice.tender.data
    commit = alice.commit()
    if step in ("ack", "release"):
        return alice, alice.ack(commit) if step == "ack" else alice.release()
    request = alice.request(commit)
    return alice, request if step == "reveal" else alice.award(alice.revealed())


def state(alice: Counter) -> tuple[Any, ...]:
    """Return all that a request may change."""
    bidding = alice.shop.desk.get(alice.tender.digest)
    return (
        bidding.state if bidding else BiddingState.IDLE,
        alice.shop.capacity.claims(),
        list(alice.shop.said),
    )


@settings(max_examples=150, deadline=None)
@given(step=st.sampled_from(STEPS), change=changes)
def test_a_changed_request_is_refused_and_changes_nothing(step: str, change: tuple[int, int, int]) -> None:
    alice, request = at_step(step)
    before = state(alice)
    bad = altered(request, *change)
    answer = alice.offer(bad) if step == "tender" else alice.send(bad)
    assert isinstance(answer, ev.RefuseRequest)
    assert state(alice) == before
    good = alice.offer(request) if step == "tender" else alice.send(request)
    assert isinstance(good, ev.AnswerRequest), "the right one is taken"


@given(data=st.binary(max_size=200), step=st.sampled_from(STEPS))
def test_any_bytes_as_a_request_are_refused(data: bytes, step: str) -> None:
    alice, _ = at_step(step)
    before = state(alice)
    for answer in (alice.offer(data) if data else None, alice.send(data)):
        assert answer is None or isinstance(answer, ev.RefuseRequest)
    assert state(alice) == before


@settings(max_examples=100, deadline=None)
@given(kind=st.sampled_from(ANSWERS), who=st.sampled_from((BOB, CAROL, MALLORY)), change=changes)
def test_a_changed_answer_costs_its_sender_the_job_and_nobody_else(
    kind: type[Any], who: Any, change: tuple[int, int, int]
) -> None:
    house = three()
    house.changes[kind] = lambda event: (
        replace(event, data=altered(event.data, *change)) if event.peer == who.peer else event
    )
    house.begin().run()
    reached = kind is not ev.ConfirmArrived or who is BOB  # the others are not awarded
    assert house.match.winner == (CAROL.peer if who is BOB else BOB.peer)
    wanted = {
        ev.AnswerArrived: "answer_invalid",
        ev.RevealArrived: "reveal_mismatch",
        ev.ConfirmArrived: "confirm_invalid",
    }[kind]
    assert house.outcomes()[who.peer] == (wanted if reached else "not_chosen")
    assert all(explain(code) for code in house.outcomes().values())
    house.wait(60)
    assert house.claims() == {}
    assert ALICE.peer not in house.outcomes()
