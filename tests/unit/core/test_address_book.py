"""PER-24, PER-27: whom to dial, whose word on addresses counts, and who makes room."""

import pytest

from skyops_p2p import limits
from skyops_p2p.core.address_book import AddressBook
from skyops_p2p.core.peering import (
    BAN_S,
    STABLE_S,
    ConnectionClosed,
    ConnectionOpened,
    Dial,
    DialFailed,
    LinkState,
    Misbehaved,
)
from skyops_p2p.types import Multiaddr, PeerId
from tests.unit.core.people import ALICE, BOB, CAROL, MALLORY, at


def addr(number: int) -> Multiaddr:
    return Multiaddr(f"/ip4/127.0.0.1/tcp/{number}")


def peers(count: int) -> list[PeerId]:
    return [PeerId(f"peer-{number}") for number in range(count)]


def book(*, target: int = 8, bootstrap: tuple[PeerId, ...] = (), salt: bytes = b"") -> AddressBook:
    return AddressBook(ALICE.peer, peers_target=target, bootstrap=bootstrap, salt=salt)


def filled(count: int, **options: object) -> AddressBook:
    made = book(**options)  # type: ignore[arg-type] # the options of `book`
    for number, peer in enumerate(peers(count)):
        made.learn(peer, [addr(number)])
    return made


def dialled(effects: object) -> list[PeerId]:
    assert isinstance(effects, list)
    return [effect.peer for effect in effects if isinstance(effect, Dial)]


def test_own_id_is_never_learned_or_dialled() -> None:
    alice = book()
    assert alice.learn(ALICE.peer, [addr(1)]) is None
    assert alice.request_dial(ALICE.peer, at(0)) == []
    assert alice.handle(ALICE.peer, ConnectionOpened(is_outbound=True), at(0)) == []
    assert len(alice) == 0


def test_plan_dials_what_the_target_misses_and_no_more() -> None:
    alice = filled(20, target=3)
    first = dialled(alice.plan(at(0)))
    assert len(first) == 3
    assert alice.plan(at(0)) == []
    alice.handle(first[0], ConnectionOpened(is_outbound=True), at(1))
    alice.handle(first[1], DialFailed("refused"), at(1))
    assert len(dialled(alice.plan(at(1)))) == 1
    alice.check_invariants()


def test_plan_dials_at_most_so_many_at_once() -> None:
    alice = filled(50, target=50)
    assert len(dialled(alice.plan(at(0)))) == limits.DIALS_IN_FLIGHT_MAX


def test_plan_asks_bootstrap_peers_first_and_never_peers_without_address() -> None:
    alice = filled(50, target=1, bootstrap=(BOB.peer,))
    alice.learn(CAROL.peer, [])
    alice.learn(BOB.peer, [addr(1)])
    assert dialled(alice.plan(at(0))) == [BOB.peer]


def test_failed_peers_come_last() -> None:
    alice = filled(2, target=1)
    (worst,) = dialled(alice.plan(at(0)))
    alice.handle(worst, DialFailed("refused"), at(0))
    deadline = alice.next_deadline()
    assert deadline is not None
    (other,) = {*peers(2)} - {worst}
    assert dialled([*alice.wake(deadline), *alice.plan(deadline)]) == [other]


def test_order_depends_on_a_secret() -> None:
    orders = [dialled(filled(50, target=4, salt=salt).plan(at(0))) for salt in (b"one", b"two", b"one")]
    assert orders[0] == orders[2] != orders[1]


def test_hearsay_cannot_push_out_proven_addresses() -> None:
    alice = book()
    alice.learn(BOB.peer, [addr(1)])
    link = alice.learn(BOB.peer, [addr(number) for number in range(100, 120)], is_hearsay=True)
    assert link is not None
    assert link.addrs[0] == addr(1)
    assert len(link.addrs) == limits.ADDRS_PER_PEER_MAX


def test_hearsay_goes_first_once_dialling_failed() -> None:
    alice = book(target=1)
    alice.learn(BOB.peer, [addr(1)])
    alice.plan(at(0))
    alice.handle(BOB.peer, DialFailed("refused"), at(0))
    link = alice.learn(BOB.peer, [addr(2)], is_hearsay=True)
    assert link is not None
    assert link.addrs == (addr(2), addr(1))


def test_new_word_of_the_peer_goes_first() -> None:
    alice = book()
    alice.learn(BOB.peer, [addr(1), addr(2)])
    link = alice.learn(BOB.peer, [addr(3), addr(2)])
    assert link is not None
    assert link.addrs == (addr(3), addr(2), addr(1))


@pytest.fixture
def small_book(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ADDRESS_BOOK_PEERS_MAX", 4)


@pytest.mark.usefixtures("small_book")
def test_full_book_forgets_whom_it_never_reached() -> None:
    alice = filled(4, target=0)
    reached = peers(4)[2]
    alice.handle(reached, ConnectionOpened(is_outbound=True), at(0))
    alice.handle(reached, ConnectionClosed(), at(STABLE_S))
    for number in range(10, 20):
        assert alice.learn(PeerId(f"new-{number}"), [addr(number)]) is not None
        assert len(alice) == 4
    assert alice.link(reached) is not None
    alice.check_invariants()


@pytest.mark.usefixtures("small_book")
def test_full_book_keeps_connections_and_bootstrap_peers() -> None:
    alice = filled(3, target=0, bootstrap=(BOB.peer,))
    alice.learn(BOB.peer, [addr(9)])
    for peer in peers(3):
        alice.handle(peer, ConnectionOpened(is_outbound=False), at(0))
    assert alice.learn(CAROL.peer, [addr(1)]) is None
    assert alice.handle(CAROL.peer, ConnectionOpened(is_outbound=False), at(0)) == []
    assert len(alice) == 4
    alice.check_invariants()


@pytest.mark.usefixtures("small_book")
def test_bans_of_many_ids_do_not_close_the_book() -> None:
    alice = book(target=0)
    for second, peer in enumerate(peers(4)):
        alice.handle(peer, Misbehaved("flood"), at(second))
    assert alice.learn(BOB.peer, [addr(1)]) is not None
    assert alice.link(peers(4)[0]) is None
    assert all(alice.is_banned(peer) for peer in peers(4)[1:])
    alice.check_invariants()


def test_ban_ends() -> None:
    alice = book()
    alice.handle(MALLORY.peer, Misbehaved("flood"), at(0))
    assert alice.is_banned(MALLORY.peer)
    assert alice.next_deadline() == at(BAN_S)
    alice.wake(at(BAN_S))
    assert not alice.is_banned(MALLORY.peer)
    assert alice.next_deadline() is None


def test_sample_is_bounded_and_leaves_one_out() -> None:
    alice = filled(6)
    for peer in peers(5):
        alice.handle(peer, ConnectionOpened(is_outbound=True), at(0))
    everyone = alice.sample(10, salt=b"x")
    assert {link.peer for link in everyone} == set(peers(5))
    assert len(alice.sample(2, salt=b"x")) == 2
    assert peers(5)[0] not in {link.peer for link in alice.sample(10, salt=b"x", without=peers(5)[0])}


def test_pick_takes_others_at_each_call() -> None:
    alice = filled(20)
    for peer in peers(20):
        alice.handle(peer, ConnectionOpened(is_outbound=True), at(0))
    picked = {alice.pick(1)[0].peer for _ in range(100)}
    assert len(picked) > 10


def test_request_dial_goes_beyond_the_target_but_not_to_the_banned() -> None:
    alice = filled(2, target=0)
    assert dialled(alice.request_dial(peers(2)[0], at(0))) == [peers(2)[0]]
    alice.handle(peers(2)[1], Misbehaved("flood"), at(0))
    assert alice.request_dial(peers(2)[1], at(0)) == []
    assert alice.request_dial(PeerId("unknown"), at(0)) == []


def test_links_tells_connected_ones_first() -> None:
    alice = filled(5)
    alice.handle(peers(5)[3], ConnectionOpened(is_outbound=True), at(0))
    states = [link.state for link in alice.links()]
    assert states[0] is LinkState.CONNECTED
    assert alice.connected() == {peers(5)[3]}
