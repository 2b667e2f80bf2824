"""Looks at the chain: each pair and stake in its turn, a bounded number in a round, and what an outage leaves."""

import itertools
from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.reputation.deals import PairMoney
from skyops_p2p.core.reputation.ratings import Pair
from skyops_p2p.core.reputation.voices import Stake
from skyops_p2p.node.reputation.looks import ChainLooks
from skyops_p2p.simulation.clock import EPOCH_UNIX_MS
from skyops_p2p.simulation.money import SimBank, SimMoney

SKYOPS = 10**18
DAY = EPOCH_UNIX_MS // 86_400_000


def account(number: int) -> bytes:
    return number.to_bytes(20, "big")


@dataclass
class World:
    bank: SimBank = field(default_factory=SimBank)
    asked: list[bytes] = field(default_factory=list)
    pairs_asked: list[Pair] = field(default_factory=list)

    def looks(self) -> ChainLooks:
        money = self.bank.open(account(0))
        asked, stake_of = self.asked, money.stake_of
        pairs_asked, pair_funds = self.pairs_asked, money.pair_funds

        class Watched(SimMoney):
            async def stake_of(self, one: bytes) -> object:  # type: ignore[override]
                asked.append(one)
                return await stake_of(one)

            async def pair_funds(self, *pair: bytes) -> object:  # type: ignore[override]
                pairs_asked.append((pair[0], pair[1]))
                return await pair_funds(*pair)

        money.__class__ = Watched
        return ChainLooks(money)


@pytest.fixture
def world() -> World:
    return World()


async def test_stakes_and_money_are_what_the_chain_says(world: World) -> None:
    pair = (account(1), account(2))
    world.bank.stakes[account(2)] = 7 * SKYOPS
    world.bank.deposit(account(1), 5 * SKYOPS)
    looks = world.looks()
    assert not await looks.renew([pair], [account(2), account(3)])
    assert looks.stakes == {account(2): Stake(7 * 10**6, DAY, False, DAY * 86_400), account(3): Stake(0, 0)}
    assert looks.money == {pair: PairMoney(0, 0, 1)}


async def test_a_round_is_bounded_and_the_next_one_goes_on(world: World) -> None:
    looks, everybody = world.looks(), [account(number) for number in range(limits.REPUTATION_LOOKS_MAX + 10)]
    assert await looks.renew([], everybody)
    assert len(world.asked) == limits.REPUTATION_LOOKS_MAX
    assert not await looks.renew([], everybody)
    assert sorted(world.asked) == everybody


async def test_nothing_is_asked_twice_before_its_time(world: World, autojump_clock: MockClock) -> None:
    looks = world.looks()
    for _ in range(3):
        await looks.renew([], [account(1)])
    assert len(world.asked) == 1
    await trio.sleep(limits.REPUTATION_LOOK_S)
    await looks.renew([], [account(1)])
    assert len(world.asked) == 2


async def test_an_outage_leaves_what_was_seen_and_is_told(world: World, autojump_clock: MockClock) -> None:
    world.bank.stakes[account(1)] = SKYOPS
    looks = world.looks()
    await looks.renew([], [account(1)])
    before = looks.seen()
    world.bank.leave()
    await trio.sleep(limits.REPUTATION_LOOK_S)
    assert not await looks.renew([], [account(1), account(2)])
    assert (looks.is_away, looks.seen()) == (True, before)
    world.bank.come_back()
    assert not await looks.renew([], [account(1), account(2)])
    assert (looks.is_away, set(looks.stakes)) == (False, {account(1), account(2)})


async def test_who_is_of_no_interest_any_more_is_forgotten(world: World) -> None:
    looks = world.looks()
    await looks.renew([(account(1), account(2))], [account(1)])
    await looks.renew([], [])
    assert looks.seen() == ({}, {})


async def test_a_pair_with_a_new_receipt_is_looked_at_soon(world: World, autojump_clock: MockClock) -> None:
    pair = (account(1), account(2))
    looks = world.looks()
    await looks.renew([pair], [])
    looks.hasten(pair)
    await looks.renew([pair], [])
    world.bank.pair(*pair).redeemed = 3
    await trio.sleep(limits.REPUTATION_LOOK_SOON_S)
    await looks.renew([pair], [])
    assert looks.money[pair].redeemed == 3


async def test_the_older_a_receipt_the_less_often_its_pair_is_looked_at(
    world: World, autojump_clock: MockClock
) -> None:
    pair = (account(1), account(2))
    looks, seen = world.looks(), list[float]()
    looks.hasten(pair)
    begun = trio.current_time()
    for _second in range(2 * limits.REPUTATION_LOOKS_PER_AGE * int(limits.REPUTATION_LOOK_S)):
        before = len(world.pairs_asked)
        await looks.renew([pair], [])
        seen += [trio.current_time() - begun] * (len(world.pairs_asked) - before)
        await trio.sleep(1)
    gaps = [round(later - one) for one, later in itertools.pairwise(seen)]
    assert gaps[0] == limits.REPUTATION_LOOK_SOON_S
    assert gaps == sorted(gaps)
    assert gaps[-1] == limits.REPUTATION_LOOK_S
    assert len(seen) < 25  # a look each ten seconds would be a hundred
