"""PER-27: a link rests after a failure, for longer each time, and a ban ends."""

import itertools

import pytest

from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.peering import (
    BACKOFF_FIRST_S,
    BACKOFF_MAX_S,
    BAN_S,
    DIAL_ANSWER_S,
    STABLE_S,
    ConnectionClosed,
    ConnectionOpened,
    Dial,
    DialFailed,
    DialRequested,
    Disconnect,
    Link,
    LinkState,
    Misbehaved,
)
from skyops_p2p.errors import UnexpectedEvent
from skyops_p2p.types import Multiaddr
from tests.unit.core.people import BOB, at

ADDR = Multiaddr("/ip4/127.0.0.1/tcp/4001")
EVENTS: tuple[Event, ...] = (
    DialRequested(),
    DialFailed("refused"),
    ConnectionOpened(is_outbound=True),
    ConnectionClosed(),
    Misbehaved("flood"),
    DeadlineReached(),
)
WAYS: dict[LinkState, tuple[Event, ...]] = {
    LinkState.KNOWN: (),
    LinkState.DIALING: (DialRequested(),),
    LinkState.CONNECTED: (ConnectionOpened(is_outbound=False),),
    LinkState.BACKOFF: (DialRequested(), DialFailed("refused")),
    LinkState.BANNED: (Misbehaved("flood"),),
}
"""State -> the events that lead to it."""


def link_in(state: LinkState) -> Link:
    link = Link(BOB.peer)
    link.addrs = (ADDR,)
    for event in WAYS[state]:
        step(link, event)
    assert link.state is state
    return link


def step(link: Link, event: Event, after_s: float = 0.0) -> list[Effect]:
    effects = list(link.handle(event, at(after_s)))
    link.check_invariants()
    return effects


@pytest.mark.parametrize(("state", "event"), list(itertools.product(LinkState, EVENTS)))
def test_every_entry_of_the_table(state: LinkState, event: Event) -> None:
    link = link_in(state)
    step(link, event, after_s=1.0)
    assert link.state in Link.TRANSITIONS[state, type(event)]


def test_event_of_another_machine_is_refused() -> None:
    link = link_in(LinkState.DIALING)
    with pytest.raises(UnexpectedEvent):
        link.handle(Event(), at(0))
    assert link.state is LinkState.DIALING


def test_dial_goes_to_all_addresses_and_success_connects() -> None:
    link = link_in(LinkState.KNOWN)
    assert step(link, DialRequested()) == [Dial(BOB.peer, (ADDR,))]
    assert step(link, DialRequested()) == []
    step(link, ConnectionOpened(is_outbound=True))
    assert link.state is LinkState.CONNECTED
    assert link.is_outbound
    assert link.next_deadline() is None


def test_rest_doubles_up_to_its_maximum_and_ends() -> None:
    link = link_in(LinkState.KNOWN)
    rests = []
    for _ in range(12):
        step(link, DialRequested())
        step(link, DialFailed("refused"))
        rests.append((link.next_deadline() or 0.0) - at(0))
        step(link, DeadlineReached())
        assert link.state is LinkState.KNOWN
    for number, rest in enumerate(rests):
        base = min(BACKOFF_FIRST_S * 2**number, BACKOFF_MAX_S)
        assert base <= rest <= 1.5 * base
    assert link.failures == 12


def test_resting_link_can_be_asked_for() -> None:
    link = link_in(LinkState.BACKOFF)
    assert step(link, DialRequested()) == [Dial(BOB.peer, (ADDR,))]


def test_dial_that_nobody_answers_gives_its_place_back() -> None:
    link = link_in(LinkState.DIALING)
    assert link.next_deadline() == at(DIAL_ANSWER_S)
    step(link, DeadlineReached(), after_s=DIAL_ANSWER_S)
    assert link.state is LinkState.BACKOFF
    assert "never answered" in link.reason


def test_late_failure_of_a_dial_does_not_end_a_connection() -> None:
    link = link_in(LinkState.CONNECTED)
    step(link, DialFailed("too late"))
    assert link.state is LinkState.CONNECTED


def test_peer_that_closes_at_once_is_not_dialled_at_once() -> None:
    link = link_in(LinkState.CONNECTED)
    step(link, ConnectionClosed(), after_s=STABLE_S - 0.1)
    assert link.state is LinkState.BACKOFF
    assert link.failures == 1


def test_connection_that_lasted_clears_the_failures() -> None:
    link = link_in(LinkState.BACKOFF)
    step(link, ConnectionOpened(is_outbound=True))
    step(link, ConnectionClosed(), after_s=STABLE_S)
    assert link.state is LinkState.KNOWN
    assert link.failures == 0
    assert link.was_connected


def test_second_connection_changes_nothing() -> None:
    link = link_in(LinkState.CONNECTED)
    step(link, ConnectionOpened(is_outbound=True), after_s=STABLE_S)
    assert not link.is_outbound
    step(link, ConnectionClosed(), after_s=STABLE_S)
    assert link.state is LinkState.KNOWN


def test_banned_peer_is_disconnected_until_the_ban_ends() -> None:
    link = link_in(LinkState.CONNECTED)
    assert step(link, Misbehaved("flood")) == [Disconnect(BOB.peer)]
    assert step(link, DialRequested()) == []
    assert step(link, ConnectionOpened(is_outbound=False)) == [Disconnect(BOB.peer)]
    assert link.state is LinkState.BANNED
    assert link.next_deadline() == at(BAN_S)
    step(link, DeadlineReached(), after_s=BAN_S)
    assert link.state is LinkState.KNOWN
