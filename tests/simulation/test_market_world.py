"""Markets in virtual time: real tenders, bids and awards over links that delay and lose."""

import pytest
import trio

from skyops_p2p import limits
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.simulation.faults import CALM
from skyops_p2p.simulation.identities import SIM_RULES
from skyops_p2p.simulation.market_world import MarketOptions, MarketWorld, Timed, Traffic, run_market
from skyops_p2p.simulation.transport import CONNECTED
from skyops_p2p.wire.envelope import open_envelope
from skyops_p2p.wire.messages.auction import BidBook

NODES = 30
QUIET = MarketOptions(links=CALM, transport=CONNECTED)
HELD_S = limits.LEASE_START_TIMEOUT_S + limits.BOOK_FETCH_DELAY_S_MAX + limits.MATCH_TIMEOUT_S
"""After so long everything that a match has held is free, and everybody has looked at the bid book."""


def job(vram: str = "8Gi") -> JobSpec:
    return JobSpec.model_validate(
        {
            "name": "sim",
            "runtime": "wasm",
            "module": "file:sim.wasm",
            "resources": {"gpu": {"vram": vram}},
        }
    )


async def at_once(world: MarketWorld, requesters: range, spec: JobSpec) -> list[Timed]:
    ended: list[Timed] = []

    async def one(number: int) -> None:
        ended.append(await world.match(number, spec))

    async with trio.open_nursery() as nursery:
        for number in requesters:
            nursery.start_soon(one, number)
    return ended


def sold(world: MarketWorld, match: Timed) -> tuple[str, ...]:
    """Return the devices that a match got: from its bid book, as anybody can."""
    shelves = [stall.books.books for stall in world.opened()]
    digest = bytes.fromhex(match.view.book_digest)
    data = next(shelf[digest] for shelf in shelves if digest in shelf)
    book = open_envelope(data, BidBook, SIM_RULES.network, bytes_max=limits.BOOK_BYTES_MAX).message
    bids = [reveal.bid.devices for reveal in book.reveals]
    return next(names for names in bids if all(name.startswith(match.view.winner) for name in names))


def test_same_seed_gives_the_same_matches_and_another_one_does_not() -> None:
    async def some_matches(world: MarketWorld) -> tuple[object, ...]:
        ended = await at_once(world, range(3), job())
        return (
            [(one.view, one.took_s, one.steps) for one in ended],
            world.traffic(),
            world.fabric.trace.digest(),
        )

    first, again, other = (run_market(some_matches, seed=seed, nodes=NODES) for seed in (4, 4, 5))
    assert first == again
    assert first[-1] != other[-1]


def test_every_invited_node_answers_with_a_bid_or_a_code() -> None:
    async def one_match(world: MarketWorld) -> tuple[Timed, Traffic]:
        match = await world.match(0, job("20Gi"))
        await trio.sleep(1.0)
        return match, world.traffic()

    match, traffic = run_market(one_match, seed=2, nodes=NODES, options=QUIET)
    messages, answers = traffic.messages, traffic.answers
    asked = sum(step.count for _, step in match.steps if step.step == "asked")
    assert match.view.is_matched
    assert answers["commit"] + answers["decline"] == messages["tender"] == asked > 2
    assert answers["reveal"] == messages["reveal-request"] == match.bids
    assert answers["award-confirm"] == messages["award"] == 1
    held = sum(messages[kind] for kind in ("release", "award"))
    assert held == answers["commit"] + answers["commit-ack"]


@pytest.mark.parametrize("seed", range(3))
def test_overlapping_matches_never_share_a_device(seed: int) -> None:
    """More jobs than there are workers, all at once: each device goes to one of them, and the others have a reason."""

    async def rush(world: MarketWorld) -> tuple[list[Timed], list[str]]:
        ended = await at_once(world, range(20), job())
        world.check()
        return ended, [name for one in ended if one.view.is_matched for name in sold(world, one)]

    ended, devices = run_market(rush, seed=seed, nodes=NODES)
    assert len(devices) == len(set(devices)) > 5
    winners = [one.view.winner for one in ended if one.view.is_matched]
    assert len(winners) == len(set(winners)), "one slot each"
    for one in ended:
        assert one.view.is_matched or one.view.reasons
        assert one.took_s <= limits.MATCH_TIMEOUT_S + 0.01


def test_stream_of_jobs_ends_with_all_capacity_free() -> None:
    async def stream(world: MarketWorld) -> list[bool]:
        done: list[bool] = []

        async def one_job(number: int) -> None:
            await trio.sleep(number / 4)
            match = await world.match(number % NODES, job())
            done.append(match.view.is_matched)
            if match.view.is_matched:
                assert await world.run_job(match, duration_s=2.0)

        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(one_job, number)
        await trio.sleep(2 * limits.MATCH_TIMEOUT_S)
        assert world.busy() == 0
        return done

    done = run_market(stream, seed=3, nodes=NODES)
    assert sum(done) > 30


def test_award_whose_job_never_begins_is_free_again() -> None:
    async def forget(world: MarketWorld) -> tuple[int, int]:
        await world.match(0, job())
        held = world.busy()
        await trio.sleep(HELD_S)
        return held, world.busy()

    assert run_market(forget, seed=3, nodes=NODES) == (1, 0)


def test_only_those_whom_tenders_reach_are_opened() -> None:
    async def one_match(world: MarketWorld) -> int:
        await world.match(0, job("40Gi"))
        return len(world.opened())

    assert 2 < run_market(one_match, seed=1, nodes=200) < 100


def test_parts_of_a_match_add_up_and_its_messages_are_counted() -> None:
    async def one_match(world: MarketWorld) -> tuple[Timed, MarketWorld]:
        before = world.traffic()
        match = await world.match(0, job())
        traffic = world.traffic().since(before)
        assert traffic.messages["award"] == 1
        assert traffic.messages["reveal-request"] <= match.bids
        assert traffic.gossip_copies >= NODES - 1
        assert min(traffic.direct_bytes.values()) > 50
        await world.stalls[0].hang_up()
        dials = world.stalls[0].dials
        await world.match(0, job())
        assert world.stalls[0].dials > dials
        return match, world

    match, _ = run_market(one_match, seed=6, nodes=NODES)
    assert sum(match.phases_s().values()) == pytest.approx(match.took_s)
    assert match.phases_s()["commit"] > 0
