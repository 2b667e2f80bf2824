"""Verdicts reach everybody under loss, restarts and late joining, and all come to the same scores from them."""

from dataclasses import replace

import pytest

from skyops_p2p import limits
from skyops_p2p.core import pull_events as pull
from skyops_p2p.core.evidence import events as ev
from skyops_p2p.core.reputation.ledger import Ledger
from skyops_p2p.core.reputation.ratings import Role
from skyops_p2p.core.reputation.standings import Standing
from skyops_p2p.core.reputation.voices import Stake
from skyops_p2p.core.verification.policy import findings_of
from skyops_p2p.simulation.faults import LinkFaults
from skyops_p2p.simulation.identities import sim_identity
from skyops_p2p.simulation.receipt_world import ReceiptNode, ReceiptWorld
from skyops_p2p.types import MonotonicS
from skyops_p2p.wire.messages.evidence import VerdictNames, VerdictsRequest
from skyops_p2p.wire.model import encode_message

LOSSY = LinkFaults(loss=0.05, delay_mean_s=0.05)
NODES = 8


def scores(world: ReceiptWorld, node: ReceiptNode) -> list[Standing]:
    """Return what a node makes of the verdicts that it holds, where everybody has a stake."""
    ledger = Ledger()
    for checked in node.counted.values():
        for finding in findings_of(checked):
            assert ledger.add_finding(finding)
    epoch = world.unix_ms // 86_400_000
    stakes = {
        world.account(number): Stake((number + 1) * 10**7, epoch - 20) for number in range(len(world.nodes))
    }
    return [one for role in Role for one in ledger.assess(role, stakes, epoch=epoch).standings()]


def compare(world: ReceiptWorld, count: int, *, without: frozenset[int] = frozenset()) -> None:
    for number in range(count):
        requester, worker = world.random.sample([n for n in range(NODES) if n not in without], 2)
        world.judge(requester, worker, is_wrong=number % 2 == 0)
        world.run_for(0.5)


def test_everybody_has_every_verdict_and_the_same_scores() -> None:  # RCP-14, RCP-16, RCP-17, I10
    world = ReceiptWorld(0, nodes=NODES, links=LOSSY)
    compare(world, 4)
    world.stop(7)
    compare(world, 3, without=frozenset({7}))
    world.run_for(60.0)
    before = len(world.nodes[7].counted)
    world.restart(7)  # with what it had written down; the rest it learns by comparing
    assert len(world.nodes[7].counted) == before
    world.run_for(240.0)
    assert world.faults.statistics.lost > 0
    assert {frozenset(node.counted) for node in world.nodes} == {frozenset(world.judged)}
    assert len({node.verdicts.shelf.names.digests() for node in world.nodes}) == 1
    world.check()
    found = [scores(world, node) for node in world.nodes]
    assert all(one == found[0] for one in found)
    assert any(one.tally.bad for one in found[0])


def test_a_node_without_anything_catches_up() -> None:  # RCP-17
    world = ReceiptWorld(1, nodes=NODES)
    world.stop(5)
    compare(world, 3, without=frozenset({5}))
    world.run_for(20.0)
    world.nodes[5].kept_verdicts.clear()
    world.restart(5)
    assert not world.nodes[5].counted
    world.run_for(120.0)
    assert set(world.nodes[5].counted) == set(world.judged)
    assert scores(world, world.nodes[5]) == scores(world, world.nodes[0])
    world.check()


@pytest.mark.parametrize("held_max", [2])
def test_the_newest_verdicts_stay_and_all_hold_the_same(held_max: int) -> None:  # RCP-16
    world = ReceiptWorld(2, nodes=NODES, held_max=held_max)
    compare(world, 4)
    world.run_for(200.0)
    newest = list(world.judged)[-held_max:]
    assert {frozenset(node.counted) for node in world.nodes} == {frozenset(newest)}
    world.check()


def test_verdicts_of_a_requester_without_money_are_held_by_nobody_else() -> None:  # RCP-16
    world = ReceiptWorld(3, nodes=NODES)
    world.unfunded |= {(world.account(0), world.account(number)) for number in range(NODES)}
    world.judge(0, 1, is_wrong=True)
    world.run_for(120.0)
    assert [len(node.counted) for node in world.nodes] == [1] + [0] * (NODES - 1)
    world.check()


def test_who_gives_a_false_verdict_is_blamed_and_rests() -> None:  # RCP-8, RCP-15
    world = ReceiptWorld(4, nodes=NODES)
    name = world.judge(0, 1, is_wrong=True)
    (data,) = world.judged.values()
    node, peer, now = world.nodes[2], sim_identity(world.seed, 0).peer_id, MonotonicS(world.now)
    node.verdicts.handle(pull.TimeCame((peer,), world.unix_ms), now)
    node.verdicts.handle(pull.AskFailed(peer), now)
    later = MonotonicS(now + 1)
    told = ev.GossipAccepted(peer, encode_message(VerdictNames(names=(name,))), world.unix_ms)
    asked = node.verdicts.handle(told, later)
    assert asked == [pull.AskItems(peer, (name,))]
    bad = data[:-1] + bytes([data[-1] ^ 1])
    effects = node.verdicts.handle(pull.ItemsAnswered(peer, (bad,), world.unix_ms), later)
    assert effects == [pull.BlamePeer(peer, "bad_verdict")]
    assert node.verdicts.gate.is_resting(peer, later)
    assert not node.counted


@pytest.mark.parametrize(
    ("shift_ms", "code"),
    [(limits.CLOCK_SKEW_MS_MAX + 1, "not_yet_valid"), (-limits.RECEIPT_AGE_MS_MAX - 1, "expired")],
)
def test_a_verdict_of_another_time_is_refused_and_nobody_is_blamed(
    shift_ms: int, code: str
) -> None:  # RCP-15
    world = ReceiptWorld(5, nodes=NODES)
    name = world.judge(0, 1)
    node, peer, now = world.nodes[2], sim_identity(world.seed, 0).peer_id, MonotonicS(world.now)
    node.verdicts.handle(pull.TimeCame((peer,), world.unix_ms), now)
    node.verdicts.handle(pull.AskFailed(peer), now)
    later = MonotonicS(now + 1)
    told = ev.GossipAccepted(peer, encode_message(VerdictNames(names=(name,))), world.unix_ms)
    assert node.verdicts.handle(told, later)
    reply = pull.ItemsAnswered(peer, (world.judged[name],), world.unix_ms)
    assert node.verdicts.handle(replace(reply, unix_ms=world.unix_ms - shift_ms), later) == []
    assert node.verdicts.gate.refusals[code] == 1
    assert node.verdicts.gate.is_refused(name, later)


def test_no_more_is_given_than_fits_a_message() -> None:  # RCP-17
    world = ReceiptWorld(6, nodes=NODES)
    names = tuple(world.judge(0, worker) for worker in (1, 2, 3))
    reply = world.nodes[0].verdicts.answer(
        sim_identity(world.seed, 1).peer_id,
        encode_message(VerdictsRequest(names=names)),
        MonotonicS(world.now),
    )
    assert len(reply) <= limits.MESSAGE_BYTES_MAX
    assert sum(data in reply for data in world.judged.values()) == 3
