"""The plan of a campaign: made from its seed alone, fair to nobody, but never hopeless."""

from itertools import combinations, pairwise

import pytest

from skyops_p2p.core.execution.outcomes import OUTCOMES
from skyops_p2p.testnet.chaos.campaign import topology
from skyops_p2p.testnet.chaos.jobs import job_tree
from skyops_p2p.testnet.chaos.plan import BROKER, FAILURES, REQUESTER, REST_S, FaultPlan, make_plan, stretched
from skyops_p2p.testnet.topology import CHAIN_NAME

SEEDS = range(20)


def test_the_same_seed_gives_the_same_plan_and_another_gives_another() -> None:
    assert make_plan(7, jobs=60, nodes=8) == make_plan(7, jobs=60, nodes=8)
    assert make_plan(7, jobs=60, nodes=8) != make_plan(8, jobs=60, nodes=8)


@pytest.mark.parametrize("jobs", [1, 2, 8, 61])
def test_there_are_as_many_jobs_as_asked_for_each_valid_and_with_a_name_of_its_own(jobs: int) -> None:
    for seed in SEEDS:
        plan = make_plan(seed, jobs=jobs, nodes=5)
        assert len({job.name for job in plan.jobs}) == len(plan.jobs) == jobs
        assert all(job.allowed and job.allowed <= OUTCOMES.keys() for job in plan.jobs)
        assert {str(job_tree(job)["name"]) for job in plan.jobs} == {job.name for job in plan.jobs}


def test_a_job_needs_only_one_that_was_submitted_before_it_at_the_same_node() -> None:
    for seed in SEEDS:
        before: dict[str, str] = {}
        for job in make_plan(seed, jobs=50, nodes=5).jobs:
            assert not job.needs or before[job.needs] == job.by
            before[job.name] = job.by


def test_a_large_campaign_has_jobs_of_every_kind_and_hurts_everything() -> None:
    plan = make_plan(1, jobs=200, nodes=10)
    kinds = {job.kind for job in plan.jobs}
    assert kinds == {"train", "quick", "array", "after", "tight", "orphan", *FAILURES}
    assert {job.by for job in plan.jobs} == {REQUESTER, BROKER}
    assert {fault.kind for fault in plan.faults} == {
        "kill",
        "stop",
        "restart",
        "partition",
        "slow",
        "loss",
        "reorg",
    }
    assert {fault.role for fault in plan.faults} == {"worker", "network", REQUESTER, BROKER, CHAIN_NAME}


def test_nobody_is_hurt_twice_at_once_and_most_workers_stay_up() -> None:
    for seed in SEEDS:
        plan = make_plan(seed, jobs=80, nodes=8)
        own = [fault for fault in plan.faults if fault.kind != "partition"]
        for one, other in combinations(own, 2):
            if set(one.targets) & set(other.targets):
                assert abs(one.at_s - other.at_s) > REST_S
                assert one.ends_s < other.at_s or other.ends_s < one.at_s
        cuts = [fault for fault in plan.faults if fault.kind == "partition"]
        assert all(one.ends_s < other.at_s for one, other in pairwise(cuts))
        for fault in plan.faults:
            assert _workers_down(plan.faults, fault.at_s) <= len(plan.workers) // 3
            assert len(fault.targets) <= (len(plan.workers) + 2) // 2


def test_a_reorganisation_never_reaches_what_nodes_have_confirmed() -> None:
    plans = [make_plan(seed, jobs=80, nodes=8) for seed in SEEDS]
    reorgs = [fault for plan in plans for fault in plan.faults if fault.kind == "reorg"]
    network = topology(plans[0]).network
    assert network.block_s
    assert {fault.blocks for fault in reorgs} == set(range(1, network.confirmations + 1))
    assert {fault.is_dropped for fault in reorgs} == {True, False}
    others = [fault for plan in plans for fault in plan.faults if fault.kind != "reorg"]
    assert not any(fault.blocks or fault.is_dropped for fault in others)


def test_its_network_has_everybody_whom_the_plan_names() -> None:
    plan = make_plan(5, jobs=40, nodes=6)
    nodes = topology(plan).nodes
    assert {node.name for node in nodes if node.worker} == set(plan.workers)
    named = {name for fault in plan.faults for name in fault.targets} | {job.by for job in plan.jobs}
    assert named <= {node.name for node in nodes} | {CHAIN_NAME}
    assert len(nodes) == 6


def test_a_busy_machine_gets_the_same_plan_stretched() -> None:
    plan = make_plan(5, jobs=40, nodes=6)
    slow = stretched(plan, 3.0)
    assert slow.lasts_s == pytest.approx(3 * plan.lasts_s)
    assert [job.name for job in slow.jobs] == [job.name for job in plan.jobs]
    assert [fault.targets for fault in slow.faults] == [fault.targets for fault in plan.faults]
    assert slow.faults[0].ends_s == pytest.approx(3 * plan.faults[0].ends_s)


def _workers_down(faults: tuple[FaultPlan, ...], at_s: float) -> int:
    kinds = ("kill", "stop", "restart")
    return sum(
        fault.role == "worker" and fault.kind in kinds and fault.at_s <= at_s < fault.ends_s
        for fault in faults
    )
