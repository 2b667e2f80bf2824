"""Whole nodes that witness each other in virtual time: who is gone, who said so, restarts, and a chain that is away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p.core.probes import exchange_events as ev
from skyops_p2p.core.probes.statements import make_statement
from skyops_p2p.core.reputation.conduct import Outcome
from skyops_p2p.node.probes.desk import ProbeDesk
from skyops_p2p.node.reputation.views import ExplanationView
from skyops_p2p.simulation.clock import EPOCH_UNIX_MS
from skyops_p2p.simulation.money import SimBank
from tests.unit.node.jobs.paid_world import SKYOPS, PaidWorld
from tests.unit.node.small_world import account, all_in_state, identity, small_world

PEOPLE = ("alice", "bob", "carol", "dave", "erin")
SLOT_S, WATCH_SLOTS = 20, 3
WATCH_S = SLOT_S * WATCH_SLOTS
SHORT = {"probe_slot_s": SLOT_S, "probe_watch_slots": WATCH_SLOTS}


class WitnessWorld(PaidWorld):
    """All work, and all have a stake."""

    async def start(self, name: str, **_worker: object) -> object:  # type: ignore[override]
        join = "bob" if name == "alice" and "bob" in self.nodes else "alice"
        join = None if not self.nodes else join
        node = self.small.node(name, join=join, beat_s=5.0, **SHORT)  # a beat a second is near a flood
        self._gone[name], self._stops[name] = trio.Event(), trio.Event()
        await self._nursery.start(self._live, name, node)
        return node

    def probes(self, name: str) -> ProbeDesk:
        desk = self.desk(name).probes
        assert desk is not None
        return desk

    async def explained(self, name: str, *, by: str = "alice") -> ExplanationView:
        view = await self.nodes[by].reputation(identity(name).wallet.address)
        return next(one for one in view.explanations if one.role == "worker")


@asynccontextmanager
async def witness_world(folder: Path, **payment: object) -> AsyncIterator[WitnessWorld]:
    async with small_world(folder) as small, trio.open_nursery() as nursery:
        small.bank, small.payment = SimBank(block_s=1.0), payment
        for name in PEOPLE:
            small.bank.stakes[account(name)] = 100 * SKYOPS
        world = WitnessWorld(small, nursery)
        for name in PEOPLE:
            await world.start(name)
        for node in list(world.nodes.values()):
            await node.wait_for(all_in_state("active", PEOPLE), timeout_s=300)
        yield world
        nursery.cancel_scope.cancel()


async def watches(count: float) -> None:
    await trio.sleep(count * WATCH_S)


async def alike(world: WitnessWorld, name: str) -> dict[str, ExplanationView]:
    """Return what all others say of a node, once they say the same: news of a watch takes seconds to reach all."""
    with trio.fail_after(WATCH_S):
        while True:
            found = {by: await world.explained(name, by=by) for by in PEOPLE if by != name}
            seen = {(one.slots_probed, one.slots_answered, one.availability) for one in found.values()}
            if len(seen) == len({world.probes(by).digest() for by in found}) == 1:
                return found
            await trio.sleep(1)


async def test_who_is_gone_is_seen_by_all_alike(tmp_path: Path, autojump_clock: MockClock) -> None:  # PRB-15
    async with witness_world(tmp_path) as world:
        await watches(4)
        before = await world.explained("erin")
        await world.crash("erin")
        await watches(4)
        found = await alike(world, "erin")
        assert before.slots_probed == before.slots_answered >= WATCH_SLOTS
        assert before.slots_voices >= 3 * before.slots_probed
        assert before.availability > 500_000
        assert found["alice"].slots_answered < found["alice"].slots_probed - WATCH_SLOTS
        assert found["alice"].availability < before.availability
        bob = await world.explained("bob")
        assert bob.slots_probed == bob.slots_answered > 0


async def test_who_says_goodbye_is_counted_as_announced(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with witness_world(tmp_path) as world:  # PRB-7
        await watches(2)
        await world.stop("erin")
        await watches(4)
        found = await world.explained("erin")
        assert found.slots_announced > WATCH_SLOTS
        assert found.slots_probed - found.slots_answered <= 1  # the slot in which it left


async def test_a_restart_keeps_statements_and_signs_none_twice(
    tmp_path: Path, autojump_clock: MockClock
) -> None:  # PRB-8
    async with witness_world(tmp_path) as world:
        await watches(3)
        before = world.probes("alice").digest()
        await world.crash("alice")
        await world.start("alice")
        await world.nodes["alice"].wait_for(all_in_state("active", PEOPLE), timeout_s=300)
        await watches(4)
        assert world.probes("alice").digest() != before
        assert all(not world.probes(name).exchange.shelf.doubled() for name in PEOPLE)
        assert len({world.probes(name).digest() for name in PEOPLE}) == 1


async def test_without_the_chain_nobody_witnesses_and_afterwards_all_do(
    tmp_path: Path, autojump_clock: MockClock
) -> None:  # PRB-2
    async with witness_world(tmp_path) as world:
        await watches(2)
        world.bank.leave()
        await watches(1.5)
        asked = world.probes("alice").witness.watcher.asked
        await watches(3)
        assert world.probes("alice").witness.watcher.asked == asked
        world.bank.come_back()
        await watches(4)
        assert world.probes("alice").witness.watcher.asked > asked
        assert (await world.explained("bob")).availability > 500_000


async def test_who_leaves_witnessing_to_others_is_witnessed_all_the_same(
    tmp_path: Path, autojump_clock: MockClock
) -> None:  # PRB-15
    async with witness_world(tmp_path, witness=False) as world:
        await watches(3)
        assert all(world.probes(name).witness.watcher.asked == 0 for name in PEOPLE)
        assert all(world.probes(name).witness.watcher.slot == -1 for name in PEOPLE)


async def test_two_statements_of_one_watch_end_the_availability(
    tmp_path: Path, autojump_clock: MockClock
) -> None:  # PRB-14
    async with witness_world(tmp_path) as world:
        await watches(3)
        desk = world.probes("erin")
        (watch, *_) = {one.watch for one in desk.exchange.shelf.all() if one.witness == account("erin")}
        lie = {account("bob"): [Outcome.SILENT] * WATCH_SLOTS}
        statement = make_statement(lie, watch, identity("erin").wallet, "testnet-small")
        assert statement is not None
        desk._loop.post(ev.OwnStatementMade(statement.data))
        await watches(1)
        for name in PEOPLE:
            found = await world.explained("erin", by=name)
            assert (found.availability, found.has_contradicted) == (0, True)
        assert "two statements" in " ".join(desk.warnings)
        assert world.probes("bob").warnings == ()


@pytest.mark.parametrize("watch", [0, 1])
def test_the_simulated_chain_begins_with_the_simulation(watch: int) -> None:
    bank = SimBank(block_s=2.0)
    began = EPOCH_UNIX_MS // 1000
    assert bank.block_before(began - 1000) == bank.block_before(began + watch)
    assert bank.block_before(began + 2) != bank.block_before(began)
