"""Witnesses under churn, partition, an outage of the chain and liars: all honest nodes count the same."""

import pytest

from skyops_p2p.core.reputation.conduct import Day
from skyops_p2p.core.reputation.voices import Stake
from skyops_p2p.simulation.faults import LinkFaults
from skyops_p2p.simulation.probe_world import TIMES, UNIT, ProbeWorld

LOSSY = LinkFaults(loss=0.02, delay_mean_s=0.05)


def total(world: ProbeWorld, number: int) -> Day:
    return sum(world.days().get(world.accounts[number], {}).values(), Day(0, 0))


@pytest.mark.parametrize("seed", range(2))
def test_churn_is_seen_and_all_count_the_same(seed: int) -> None:  # PRB-4, PRB-8, PRB-13
    world = ProbeWorld(seed, nodes=12, links=LOSSY)
    world.run_watches(2)
    world.stop(3)
    world.stop(4, says_goodbye=True)
    world.run_watches(2)
    world.restart(3)
    world.restart(4)
    world.run_watches(4.5)
    assert len(world.digests()) == 1
    assert all(world.days(number) == world.days() for number in range(12))
    assert world.faults.statistics.lost > 0
    good, dead, left = (total(world, number) for number in (0, 3, 4))
    assert good.answered / good.probed > 0.97
    assert 0.5 < dead.answered / dead.probed < 0.9
    assert left.answered / left.probed > 0.97
    assert left.announced > 6
    assert 4 < good.voices / good.probed <= 5
    world.check()


def test_liars_below_three_of_five_move_nobody() -> None:  # PRB-13
    world = ProbeWorld(3, nodes=12)
    for liar in (10, 11):
        world.nodes[liar].slanders = frozenset({world.accounts[0], world.accounts[1]})
    world.run_watches(6.5)
    assert world.answered_part(0) == world.answered_part(1) == 1.0
    for liar in range(2, 10):
        world.nodes[liar].slanders = frozenset({world.accounts[0]})
    world.run_watches(4)
    assert world.answered_part(0) != 1.0  # ten of eleven: no lot helps against them
    assert world.answered_part(1) == 1.0


def test_many_names_with_one_stake_have_the_weight_of_the_stake() -> None:  # PRB-3
    world = ProbeWorld(4, nodes=24)
    liars = range(12, 24)
    for liar in liars:  # half of the names, a twelfth of the stake
        world.nodes[liar].slanders = frozenset({world.accounts[0]})
        world.stakes[world.accounts[liar]] = Stake(8 * UNIT, 0)
    world.run_watches(5.5)
    part = world.answered_part(0)
    assert part is not None
    assert part > 0.9


def test_a_partition_makes_nobody_absent_who_has_a_side() -> None:  # PRB-7
    world = ProbeWorld(5, nodes=12)
    world.run_watches(1)
    cut = world.faults.partition(range(11), [11])
    world.run_watches(3)
    assert world.faults.heal(cut, now=world.now)
    world.run_watches(3.5)
    assert len(world.digests()) == 1
    assert world.answered_part(0) == 1.0  # the one that was cut off has said nothing of the others
    lonely = world.answered_part(11)
    assert lonely is not None
    assert lonely < 0.8
    world.check()


def test_who_answers_only_some_is_absent_for_the_others() -> None:  # PRB-5
    world = ProbeWorld(6, nodes=12)
    world.nodes[0].answers = lambda witness: witness % 3 == 0
    world.run_watches(5)
    part = world.answered_part(0)
    assert part is not None
    assert part < 0.5


def test_while_the_chain_is_away_nobody_is_probed_and_nobody_blamed() -> None:  # PRB-2
    world = ProbeWorld(7, nodes=8)
    world.run_watches(2)
    world.is_chain_away = True
    world.run_watches(1 / 6)  # what was drawn before is asked to the end of its slot
    world.stop(5)
    world.run_watches(1.5)
    before = total(world, 5)
    world.restart(5)
    world.is_chain_away = False
    world.run_watches(2.5)
    assert before.probed == before.answered
    assert world.answered_part(5) == 1.0
    assert total(world, 5).probed < 6 * 6


def test_a_witness_that_contradicts_itself_is_known_to_all_and_heard_no_more() -> None:  # PRB-10, PRB-14
    world = ProbeWorld(8, nodes=6)
    world.run_watches(3.5)
    before = total(world, 0)
    world.contradict(5)
    world.run_watches(0.4)
    after = total(world, 0)
    assert {node.exchange.shelf.doubled() for node in world.nodes} == {frozenset({world.accounts[5]})}
    assert len(world.digests()) == 1
    assert before.probed == after.probed > 0
    assert (before.voices, after.voices) == (5 * before.probed, 4 * before.probed)
    assert world.accounts[5] not in world.days()
    world.check()


def test_a_node_that_comes_late_catches_up_and_counts_the_same() -> None:  # PRB-12
    world = ProbeWorld(9, nodes=8)
    world.stop(7)
    world.run_watches(6)
    world.nodes[7].written.clear()
    world.restart(7)
    world.run_watches(0.9)
    assert len(world.digests()) == 1
    assert world.days(7) == world.days(0)
    world.check()


def test_what_a_slot_costs_is_bounded() -> None:  # PRB-4
    world = ProbeWorld(10, nodes=16)
    world.run_watches(2)
    slots = 2 * TIMES.watch_slots
    probes = sum(node.watcher.asked for node in world.nodes) / 16
    assert 6 * slots <= probes <= 12 * slots * 1.1  # six to twelve witnesses for each, on average
    assert sum(node.answerer.answered for node in world.nodes) / 16 == probes
    world.check()
