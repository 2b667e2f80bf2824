"""Receipts reach everybody under loss and partition, and a double history is found by whoever sees both halves."""

import pytest

from skyops_p2p import limits
from skyops_p2p.simulation.faults import LinkFaults
from skyops_p2p.simulation.receipt_world import ReceiptWorld

LOSSY = LinkFaults(loss=0.05, delay_mean_s=0.05)


def trade(world: ReceiptWorld, deals: int) -> None:
    for _ in range(deals):
        requester, worker = world.random.sample(range(len(world.nodes)), 2)
        world.deal(requester, worker)
        world.run_for(0.5)


@pytest.mark.parametrize("seed", range(2))
def test_everybody_has_every_receipt_though_links_lose_packets(seed: int) -> None:
    world = ReceiptWorld(seed, nodes=32, links=LOSSY)
    trade(world, 30)
    world.run_for(240.0)
    assert world.faults.statistics.lost > 0
    assert world.missing() == {}
    assert len({node.exchange.shelf.digests() for node in world.nodes}) == 1
    world.check()


def test_a_hundred_nodes_ask_a_bounded_number_of_questions() -> None:
    world = ReceiptWorld(5, nodes=100)
    trade(world, 12)
    world.run_for(130.0)
    assert world.missing() == {}
    world.check()
    before = world.questions
    world.run_for(300.0)  # nothing happens any more: each node compares once in a while, and that is all
    assert world.questions - before <= 100 * (300 / limits.RECEIPT_SYNC_S + 1)


def test_two_halves_of_a_network_learn_of_each_other_after_a_partition() -> None:
    world = ReceiptWorld(1, nodes=20, links=LOSSY)
    cut = world.faults.partition(range(10), range(10, 20))
    trade_within(world, range(10))
    trade_within(world, range(10, 20))
    world.run_for(60.0)
    assert set(world.missing()) == set(range(20))
    assert world.faults.heal(cut, now=world.now)
    world.run_for(240.0)
    assert world.missing() == {}
    world.check()


def trade_within(world: ReceiptWorld, side: range) -> None:
    for _ in range(12):
        requester, worker = world.random.sample(side, 2)
        world.deal(requester, worker)
        world.run_for(0.5)


def test_a_node_that_was_away_catches_up_and_a_restart_forgets_nothing() -> None:
    world = ReceiptWorld(2, nodes=10)
    trade(world, 20)
    world.run_for(60.0)
    world.stop(7)
    for _ in range(120):
        requester, worker = world.random.sample([n for n in range(10) if n != 7], 2)
        world.deal(requester, worker)
        world.run_for(0.2)
    before = len(world.nodes[7].exchange.shelf)
    world.restart(7)
    assert len(world.nodes[7].exchange.shelf) == before > 0
    world.run_for(120.0)
    assert world.missing() == {}
    world.check()


@pytest.mark.parametrize("seed", range(2))
def test_a_double_history_is_found_and_known_to_all(seed: int) -> None:  # SET-17, RCP-12, RCP-13
    world = ReceiptWorld(seed, nodes=30, links=LOSSY)
    world.deal(3, 4)
    world.run_for(40.0)
    world.double(3, 10, 20)
    world.run_for(240.0)
    liar = world.account(3)
    for node in world.nodes:
        assert [history.account for history in node.found] == [liar]
        assert not node.exchange.shelf.knows(liar)
    world.made.clear()
    world.check()


def test_a_half_is_told_once_its_window_has_passed() -> None:  # RCP-5
    world = ReceiptWorld(4, nodes=20)
    world.deal(0, 1, is_worker_silent=True)
    world.run_for(limits.RECEIPT_HALF_WAIT_MS / 1000 - 60)
    assert all(len(node.exchange.shelf) == 0 for node in world.nodes)
    world.run_for(300.0)
    assert world.missing() == {}
    world.check()


def test_receipts_without_money_on_chain_fill_nobodys_memory() -> None:  # RCP-6
    world = ReceiptWorld(6, nodes=12)
    world.unfunded.add((world.account(0), world.account(1)))
    for _ in range(50):
        world.deal(0, 1)
    world.made.clear()
    world.deal(2, 3)
    world.run_for(200.0)
    assert world.missing() == {}
    assert [len(node.exchange.shelf) for node in world.nodes[2:]] == [1] * 10
    world.check()


def test_the_newest_stay_and_all_hold_the_same() -> None:  # RCP-6
    world = ReceiptWorld(8, nodes=12, held_max=32)
    trade(world, 60)
    world.run_for(200.0)
    kept = {tuple(one.digest for one in node.exchange.shelf.all()) for node in world.nodes}
    newest = list(world.made)[-32:]
    assert len(kept) == 1
    assert set(kept.pop()) == set(newest)
    world.check()
