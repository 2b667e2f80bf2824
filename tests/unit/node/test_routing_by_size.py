"""Large jobs land on the large worker and small ones on the small one; the bid books say why."""

from dataclasses import replace

import pytest
from trio.testing import MockClock

from skyops_p2p.core.auction.audit import audit
from skyops_p2p.crypto.node_key import peer_id_from_bytes
from skyops_p2p.node.runtime import Node
from skyops_p2p.ports import Gpu, Hardware
from skyops_p2p.simulation.hardware import GIB_MIB, seeded_hardware
from skyops_p2p.wire.envelope import open_envelope
from skyops_p2p.wire.messages.auction import BidBook
from tests.unit.node import small_world as worlds
from tests.unit.node.small_world import NAMES, SmallWorld, small_world
from tests.unit.node.test_market import RULES, job, market

MACHINES = {
    "bob": (Gpu("NVIDIA A100-SXM4-80GB", 80 * GIB_MIB, "8.0", ""), 256),
    "carol": (Gpu("NVIDIA GeForce RTX 3060", 12 * GIB_MIB, "8.6", ""), 32),
}
"""Name -> (device, GiB of memory)."""
PRICES = {"bob": 2_500_000, "carol": 250_000}
"""Microcredits an hour, as such machines cost."""


def hardware_of(seed: int, number: int) -> Hardware:
    found = seeded_hardware(seed, number)
    if NAMES[number] not in MACHINES:
        return replace(found, gpus=(), source="none")
    gpu, memory_gib = MACHINES[NAMES[number]]
    return replace(found, source="declared", gpus=(gpu,), cpu_cores=16, memory_mib=memory_gib * GIB_MIB)


async def route(
    world: SmallWorld, alice: Node, workers: dict[str, Node], **resources: object
) -> tuple[list[str], list[str]]:
    """Match a job; return who bid, and who is in the ranking of its book, the winner first."""
    ended = await alice.match(job(resources=resources, price={"per_hour_max": 5}))
    assert ended.is_matched, ended
    data = world.shelves["alice"].books[bytes.fromhex(ended.book_digest)]
    assert audit(data, RULES).ok
    book = open_envelope(data, BidBook, RULES.network).message
    names = {node.peer_id: name for name, node in workers.items()}
    ranking = [names[peer_id_from_bytes(peer)] for peer in book.ranking]
    assert ended.winner == workers[ranking[0]].peer_id
    return sorted(names[peer_id_from_bytes(one.bidder)] for one in book.observations), ranking


@pytest.mark.parametrize(
    ("resources", "bidders", "winner"),
    [
        ({"gpu": {"vram": "40Gi"}}, ["bob"], "bob"),
        ({"gpu": {"vram": "8Gi"}, "memory": "128Gi"}, ["bob"], "bob"),
        ({"gpu": {"vram": "8Gi"}}, ["bob", "carol"], "carol"),
        ({"gpu": {"vram": "12Gi"}, "memory": "16Gi"}, ["bob", "carol"], "carol"),
    ],
    ids=["much GPU memory", "much memory", "little", "all that the small card has"],
)
async def test_a_job_lands_on_the_machine_of_its_size(
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
    resources: dict[str, object],
    bidders: list[str],
    winner: str,
) -> None:
    monkeypatch.setattr(worlds, "seeded_hardware", hardware_of)
    prices = {name: {"price_microcredits_per_hour": price} for name, price in PRICES.items()}
    async with (
        small_world() as world,
        world.node("alice", worker={"enabled": False}) as alice,
        world.node("bob", join="alice", worker=prices["bob"]) as bob,
        world.node("carol", join="alice", worker=prices["carol"]) as carol,
    ):
        await market(world, alice)
        found, ranking = await route(world, alice, {"bob": bob, "carol": carol}, **resources)
        assert (found, ranking[0]) == (bidders, winner)
