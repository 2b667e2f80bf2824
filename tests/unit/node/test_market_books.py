"""Bid books over a simulated network: who may see them, who looks, and what becomes of a requester that cheats."""

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.auction.book import Evidence, build_book
from skyops_p2p.core.auction.events import KeepProof
from skyops_p2p.core.rules import AUCTION_PROTOCOL
from skyops_p2p.errors import ExecutionError, RemoteProtocolError
from skyops_p2p.node import bidding
from skyops_p2p.node.auction_journal import PROOFS
from skyops_p2p.node.runtime import Node
from skyops_p2p.simulation.network import SimNetwork
from skyops_p2p.types import PeerId
from skyops_p2p.wire import canonical
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages.auction import BidBook, BookRequest, Release
from skyops_p2p.wire.model import Message, encode_message
from tests.unit.node.small_world import SmallWorld, identity, small_world
from tests.unit.node.test_market import RULES, job, market


def second_wins(evidence: Evidence, commit_set: bytes) -> BidBook:
    """Decide against the rule."""
    book = build_book(evidence, commit_set)
    return book.model_copy(update={"ranking": book.ranking[::-1]})


def cheat(alice: Node) -> None:
    """Let alice award whom she likes."""
    house = alice._market._house
    house._context = replace(house._context, decide=second_wins)


def proofs(world: SmallWorld, name: str) -> list[tuple[str, str]]:
    """Return the offences that a node has kept proofs of, and whose they are."""
    bodies = [entry.body for entry in world.disks[name].journal if entry.stem == PROOFS]
    contents = [canonical.decode(body, bytes_max=limits.JOURNAL_ENTRY_BYTES_MAX)[1] for body in bodies]
    return [(content[1], content[2]) for content in contents]


async def test_winner_and_losers_look_at_the_book_each_at_its_time(  # AUC-34
    autojump_clock: MockClock,
) -> None:
    looked: list[tuple[float, str]] = []

    def watch(network: SimNetwork, moment: str, kind: str, _request: bytes) -> None:
        if (moment, kind) == ("answered", "book-request"):
            looked.append((trio.current_time(), network.peer_id))

    async with small_world() as world, world.node("alice") as alice:
        world.taps.update(bob=watch, carol=watch)
        async with world.node("bob", join="alice"), world.node("carol", join="alice"):
            await market(world, alice)
            ended = await alice.match(job())
            matched_at = trio.current_time()
            await trio.sleep(limits.BOOK_FETCH_DELAY_S_MAX + 1)
        (won_at, winner), (lost_at, loser) = looked
        assert winner == ended.winner != loser
        assert won_at - matched_at < 1
        assert 0 < lost_at - won_at < limits.BOOK_FETCH_DELAY_S_MAX + 1
        assert proofs(world, "bob") == proofs(world, "carol") == []


async def test_requester_that_awards_against_the_rule_is_proven_by_winner_and_loser(
    autojump_clock: MockClock,
) -> None:
    async with (
        small_world() as world,
        world.node("alice") as alice,
        world.node("bob", join="alice"),
        world.node("carol", join="alice") as carol,
    ):
        await market(world, alice)
        cheat(alice)
        async with carol.events() as events:
            assert (await alice.match(job())).is_matched
            await trio.sleep(limits.BOOK_FETCH_DELAY_S_MAX + 1)
            texts = [event.text for event in _waiting(events) if event.peer_id == alice.peer_id]
        assert proofs(world, "bob") == proofs(world, "carol") == [("misaward", alice.peer_id)]
        assert "offence proven: misaward" in texts
        await trio.sleep(limits.LEASE_START_TIMEOUT_S)  # the place that was won is free again
        again = await alice.match(job())
        assert {outcome.code for outcome in again.outcomes} == {"requester_refused"}  # AUC-46


async def test_worker_whose_offence_is_proven_is_asked_no_more_also_after_a_restart(  # AUC-46
    autojump_clock: MockClock,
) -> None:
    async with (
        small_world() as world,
        world.node("bob") as bob,
        world.node("carol", join="bob") as carol,
    ):
        async with world.node("alice", join="bob") as alice:
            await market(world, alice)
            proof = KeepProof("two_commits", bob.peer_id, bytes(32), (b"one", b"other"))
            await alice._market._journal.keep_proof(proof)
            await check_left_out(alice, bob, winner=carol)
        await trio.sleep(limits.LEASE_START_TIMEOUT_S)
        async with world.node("alice", join="bob") as alice:
            await market(world, alice)
            await check_left_out(alice, bob, winner=carol)


async def check_left_out(alice: Node, offender: Node, *, winner: Node) -> None:
    ended = await alice.match(job())
    assert ended.winner == winner.peer_id
    assert [one.code for one in ended.outcomes if one.peer_id == offender.peer_id] == ["offence_proven"]
    preview = await alice.preview(job())
    (seen,) = [one for one in preview.candidates if one.peer_id == offender.peer_id]
    assert [one.code for one in seen.mismatches] == ["offence_proven"]


def _waiting(events: trio.MemoryReceiveChannel[object]) -> list[object]:
    found = []
    while events.statistics().current_buffer_used:
        found.append(events.receive_nowait())
    return found


async def test_worker_that_does_not_audit_keeps_no_proof(autojump_clock: MockClock) -> None:
    async with (
        small_world() as world,
        world.node("alice") as alice,
        world.node("bob", join="alice", worker={"audit_awards": False}),
        world.node("carol", join="alice"),
    ):
        await market(world, alice)
        cheat(alice)
        assert (await alice.match(job())).is_matched
        await trio.sleep(limits.BOOK_FETCH_DELAY_S_MAX + 1)
        assert proofs(world, "bob") == []
        assert proofs(world, "carol") == [("misaward", alice.peer_id)]


async def test_book_that_cannot_be_audited_here_costs_nothing(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    def fail(_wanted: object, data: bytes, _rules: object) -> None:
        asked.append(data)
        raise ExecutionError("chiavdf is not installed", code="vdf_missing")

    monkeypatch.setattr(bidding, "audit_named_book", fail)
    async with small_world() as world, world.node("alice") as alice, world.node("bob", join="alice") as bob:
        await alice.wait_for(lambda node: len(node.map()) == 2, timeout_s=60)
        await trio.sleep(10)
        assert (await alice.match(job())).winner == bob.peer_id
        await trio.sleep(1)
        assert len(asked) == 1
        assert bob.status().connections == 1, "the node goes on"


async def test_books_looked_at_side_by_side_are_bounded(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BOOK_FETCHES_MAX", 0)
    async with (
        small_world() as world,
        world.node("alice") as alice,
        world.node("bob", join="alice") as bob,
        world.node("carol", join="alice") as carol,
    ):
        await market(world, alice)
        cheat(alice)
        winner = (await alice.match(job())).winner
        await trio.sleep(limits.BOOK_FETCH_DELAY_S_MAX + 1)
        loser = {bob.peer_id: "carol", carol.peer_id: "bob"}[PeerId(winner)]
        assert proofs(world, loser) == [], "winners look at theirs in any case"
        assert proofs(world, {"bob": "carol", "carol": "bob"}[loser]) == [("misaward", alice.peer_id)]


# --- refusals -------------------------------------------------------------------------------------------------------
async def refusal(asker: Node, answerer: Node, request: bytes) -> str:
    """Send a request of the auction protocol by hand, and return the code that it is refused with."""
    with pytest.raises(RemoteProtocolError) as refused:
        await asker._network.request(
            answerer.peer_id, RULES.protocol_id(AUCTION_PROTOCOL), request, timeout_s=5.0
        )
    return refused.value.code


def by_alice(message: Message) -> bytes:
    return seal(message, identity("alice").node_key, RULES.network)


async def test_requests_about_nothing_are_refused(autojump_clock: MockClock) -> None:  # AUC-34, AUC-35
    async with (
        small_world() as world,
        world.node("alice", worker={"enabled": False}) as alice,
        world.node("bob", join="alice") as bob,
    ):
        await alice.wait_for(lambda node: len(node.map()) == 2, timeout_s=60)
        nowhere = by_alice(Release(tender=bytes(32), code="not_chosen"))
        assert await refusal(alice, bob, nowhere) == "unknown_tender"
        assert await refusal(bob, alice, nowhere) == "not_a_worker"
        assert await refusal(alice, bob, encode_message(BookRequest(book=bytes(32)))) == "unknown_book"
        assert await refusal(alice, bob, b"\x80") in ("malformed", "wrong_type")
        assert await refusal(alice, bob, bytes(limits.MESSAGE_BYTES_MAX + 1)) == "oversized"


async def test_book_that_does_not_fit_a_frame_is_refused(autojump_clock: MockClock) -> None:  # AUC-34
    async with small_world() as world, world.node("alice") as alice, world.node("bob", join="alice") as bob:
        await alice.wait_for(lambda node: len(node.map()) == 2, timeout_s=60)
        await world.shelves["alice"].save(bytes(limits.FRAME_BYTES_MAX), job_id=bytes(16), round_number=0)
        (digest,) = world.shelves["alice"].books
        assert await refusal(bob, alice, encode_message(BookRequest(book=digest))) == "oversized"
