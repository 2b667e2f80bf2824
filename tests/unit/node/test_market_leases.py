"""The lease of a confirmed award, between market and job: taken, ended, and found after a restart."""

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.adapters.memory.store import MemoryDisk
from skyops_p2p.core.auction.leases import AwardUse, LeaseTerms
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import StoreError
from skyops_p2p.node.auction_journal import LEASES, AuctionJournal
from skyops_p2p.node.match_view import MatchStepView
from skyops_p2p.node.runtime import Node
from skyops_p2p.ports import JournalEntry
from skyops_p2p.simulation.network import SimNetwork
from skyops_p2p.types import PeerId
from tests.unit.node.small_world import SmallWorld, small_world
from tests.unit.node.test_market import job
from tests.unit.node.test_market_deaths import claims


class Won:
    """Notes the award that bob gets."""

    def __init__(self) -> None:
        self.award = b""

    def __call__(self, _network: SimNetwork, moment: str, kind: str, request: bytes) -> None:
        if (moment, kind) == ("takes", "award"):
            self.award = sha256(request)


async def settled(alice: Node) -> None:
    await alice.wait_for(lambda node: len(node.map()) == 2, timeout_s=60)
    await trio.sleep(10)


def stored(world: SmallWorld) -> int:
    return len([entry for entry in world.disks["bob"].journal if entry.stem == LEASES])


async def take(bob: Node, award: bytes) -> LeaseTerms:
    lease = await bob._market.bidding.take_lease(award)
    assert lease is not None
    assert lease.award.digest == award
    assert lease.claim.expires_at is None
    return lease


async def test_job_takes_its_lease_keeps_it_over_a_restart_and_ends_it(autojump_clock: MockClock) -> None:
    won = Won()
    async with small_world() as world, world.node("alice") as alice:
        world.taps["bob"] = won
        async with world.node("bob", join="alice") as bob:
            await settled(alice)
            assert (await alice.match(job())).winner == bob.peer_id
            first = await take(bob, won.award)
            assert await bob._market.bidding.take_lease(won.award) is None, "once"
            await trio.sleep(limits.LEASE_START_TIMEOUT_S + 1)
            assert claims(bob) == {bob.peer_id: "leased"}
            assert not (await alice.match(job())).is_matched, "its one slot is the job's"
        async with world.node("bob", join="alice") as bob:
            await trio.sleep(10)
            again = await take(bob, won.award)
            assert (again.requester, again.tender.digest, again.bid) == (
                PeerId(alice.peer_id),
                first.tender.digest,
                first.bid,
            )
            await trio.sleep(limits.LEASE_START_TIMEOUT_S + 1)
            assert claims(bob) == {bob.peer_id: "leased"}
            await bob._market.bidding.end_lease(again.tender.digest)
            assert (claims(bob), stored(world)) == ({}, 0)
            await trio.sleep(5)
            assert (await alice.match(job())).winner == bob.peer_id


async def test_job_that_does_not_come_back_loses_its_lease(autojump_clock: MockClock) -> None:
    won = Won()
    async with small_world() as world, world.node("alice") as alice:
        world.taps["bob"] = won
        async with world.node("bob", join="alice") as bob:
            await settled(alice)
            await alice.match(job())
            await take(bob, won.award)
        await trio.sleep(2 * limits.LEASE_START_TIMEOUT_S)
        async with world.node("bob", join="alice") as bob:
            await trio.sleep(limits.LEASE_START_TIMEOUT_S - 1)
            assert claims(bob) == {bob.peer_id: "leased"}
            await trio.sleep(2)
            assert (claims(bob), stored(world)) == ({}, 0)
            assert await bob._market.bidding.take_lease(won.award) is None


async def test_job_that_was_lost_in_a_restart_frees_its_place_at_once(autojump_clock: MockClock) -> None:
    won = Won()
    async with small_world() as world, world.node("alice") as alice:
        world.taps["bob"] = won
        async with world.node("bob", join="alice") as bob:
            await settled(alice)
            await alice.match(job())
            tender = (await take(bob, won.award)).tender.digest
        async with world.node("bob", join="alice") as bob:
            assert claims(bob) == {bob.peer_id: "leased"}
            await bob._market.bidding.end_lease(tender)
            assert (claims(bob), stored(world)) == ({}, 0)


async def test_lease_that_cannot_be_written_is_not_taken(autojump_clock: MockClock) -> None:
    won = Won()
    async with small_world() as world, world.node("alice") as alice:
        world.taps["bob"] = won
        async with world.node("bob", join="alice") as bob:
            await settled(alice)
            await alice.match(job())
            world.disks["bob"].free_bytes = 0
            with pytest.raises(StoreError):
                await bob._market.bidding.take_lease(won.award)
            world.disks["bob"].free_bytes = None
            await take(bob, won.award)


async def test_award_that_cannot_be_written_is_not_confirmed(autojump_clock: MockClock) -> None:  # AUC-31
    async with small_world() as world, world.node("alice") as alice, world.node("bob", join="alice") as bob:
        await settled(alice)
        world.disks["bob"].free_bytes = 0
        ended = await alice.match(job())
        assert not ended.is_matched
        (outcome,) = ended.outcomes
        assert (outcome.code, outcome.detail) == ("confirm_missing", "store_failed")
        await trio.sleep(5)
        assert claims(bob) == {}


async def test_lease_that_ends_while_it_is_written_is_not_taken(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    won = Won()
    mark_taken = AuctionJournal.mark_taken

    async def slowly(journal: AuctionJournal, award: bytes, use: AwardUse | None) -> None:
        await trio.sleep(limits.LEASE_START_TIMEOUT_S)
        await mark_taken(journal, award, use)

    monkeypatch.setattr(AuctionJournal, "mark_taken", slowly)
    async with small_world() as world, world.node("alice") as alice:
        world.taps["bob"] = won
        async with world.node("bob", join="alice") as bob:
            await settled(alice)
            await alice.match(job())
            assert await bob._market.bidding.take_lease(won.award) is None
            assert (claims(bob), stored(world)) == ({}, 0)


async def test_two_takers_of_one_lease_leave_it_with_the_first(autojump_clock: MockClock) -> None:
    won = Won()
    found: list[LeaseTerms | None] = []
    async with small_world() as world, world.node("alice") as alice:
        world.taps["bob"] = won
        async with world.node("bob", join="alice") as bob:
            await settled(alice)
            await alice.match(job())

            async def take_it() -> None:
                found.append(await bob._market.bidding.take_lease(won.award))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(take_it)
                nursery.start_soon(take_it)
            assert [lease is None for lease in found].count(True) == 1
            assert claims(bob) == {bob.peer_id: "leased"}
            assert stored(world) > 0, "it is there after a restart"


async def test_torn_entry_is_told_and_costs_nothing_else(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with small_world() as world:
        torn = JournalEntry(1, LEASES, "ab" * 32, b"torn")
        world.disks["bob"] = MemoryDisk(journal=[torn], next_number=2)
        async with world.node("alice") as alice, world.node("bob", join="alice") as bob:
            assert "lease_not_restored: the stored lease abababababababab cannot be read" in caplog.text
            await settled(alice)
            assert (await alice.match(job())).winner == bob.peer_id


async def test_unreadable_journal_is_told_and_costs_nothing_else(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_journal: AuctionJournal) -> None:
        raise StoreError("a page is torn", code="store_torn")

    monkeypatch.setattr(AuctionJournal, "leases", fail)
    async with small_world() as world, world.node("alice") as alice, world.node("bob", join="alice") as bob:
        assert "cannot be read (store_torn)" in caplog.text
        await settled(alice)
        assert (await alice.match(job())).winner == bob.peer_id


async def test_award_that_is_given_back_frees_its_worker_at_once(autojump_clock: MockClock) -> None:  # AUC-33
    async with small_world() as world, world.node("alice") as alice, world.node("bob", join="alice") as bob:
        await settled(alice)
        award = bytes.fromhex((await alice.match(job())).award_digest)
        assert claims(bob) == {bob.peer_id: "leased"}
        alice._market.release_award(bytes(32))
        await trio.sleep(1)
        assert claims(bob) == {bob.peer_id: "leased"}, "another award is not given back"
        alice._market.release_award(award)
        await trio.sleep(1)
        assert (claims(bob), stored(world)) == ({}, 0)
        alice._market.release_award(award)
        assert (await alice.match(job())).winner == bob.peer_id


async def test_match_that_is_cancelled_leaves_nothing_held(autojump_clock: MockClock) -> None:  # AUC-29
    async with small_world() as world, world.node("alice") as alice, world.node("bob", join="alice") as bob:
        await settled(alice)
        for moment in ("answered", "revealed", "awarding"):
            with trio.CancelScope() as scope:

                def watch(step: MatchStepView, at: str = moment, end: trio.CancelScope = scope) -> None:
                    if step.step == at:
                        end.cancel()

                await alice.match(job(), progress=watch)
            assert scope.cancelled_caught, moment
            await trio.sleep(1)
            assert claims(bob) == {}, moment
