"""Blocks of watches: seen in time, once more when they are final, few at a time, and never while the chain is away."""

import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.probes.times import ProbeTimes
from skyops_p2p.node.probes.beacons import Beacons
from skyops_p2p.simulation.clock import SimClock
from skyops_p2p.simulation.money import SimBank

TIMES = ProbeTimes(60_000, 6)
WATCH_S = TIMES.watch_ms / 1000


def beacons(bank: SimBank) -> tuple[Beacons, SimClock]:
    clock = SimClock()
    return Beacons(bank.open(bytes(20)), TIMES, clock), clock


def watch_now(clock: SimClock) -> int:
    return TIMES.watch_of(TIMES.slot_at(clock.now_ms()))


async def test_a_watch_is_counted_by_its_block_once_it_is_over(autojump_clock: MockClock) -> None:  # PRB-2
    bank = SimBank()
    bank.stakes[bytes(20)] = 7 * 10**18
    found, clock = beacons(bank)
    await trio.sleep(3 * WATCH_S)
    now = watch_now(clock)
    seen = await found.current(now)
    assert seen == bank.block_before(TIMES.beacon_unix_s(now))
    assert found.total == 7_000_000
    assert await found.renew({now, now - 1, now - 2})
    assert set(found.final) == {now - 1, now - 2}
    assert not await found.renew({now, now - 1})
    assert set(found.final) == {now - 1}  # what nobody needs is forgotten
    await trio.sleep(WATCH_S)
    assert await found.renew({now})
    assert found.final == {now: seen}


async def test_few_are_looked_up_at_once_and_the_latest_first(autojump_clock: MockClock) -> None:
    found, clock = beacons(SimBank())
    await trio.sleep(20 * WATCH_S)
    now = watch_now(clock)
    wanted = set(range(now - 10, now))
    assert await found.renew(wanted)
    assert set(found.final) == set(range(now - limits.BEACONS_LOOKED_UP_MAX, now))
    assert await found.renew(wanted)
    assert set(found.final) == wanted


async def test_an_outage_of_the_chain_leaves_what_was_seen(autojump_clock: MockClock) -> None:  # PRB-2
    bank = SimBank()
    found, clock = beacons(bank)
    await trio.sleep(3 * WATCH_S)
    now = watch_now(clock)
    seen = await found.current(now)
    bank.leave()
    assert await found.current(now) == seen is not None
    assert await found.current(now + 1) is None
    assert not await found.renew({now - 1})
    assert found.final == {}
    bank.come_back()
    assert await found.renew({now - 1})
