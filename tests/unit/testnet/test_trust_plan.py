"""The plan of a trust campaign: the same seed gives the same one, and most workers are honest."""

import pytest

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.testnet.trust.campaign import topology
from skyops_p2p.testnet.trust.jobs import job_tree
from skyops_p2p.testnet.trust.plan import (
    ACCOMPLICE,
    FAKES,
    FRIEND,
    KINDS,
    NODES_MIN,
    make_plan,
    most_misbehaving,
)


def test_the_same_seed_gives_the_same_plan_and_another_one_another() -> None:
    sizes = {"nodes": 20, "misbehaving": 6, "jobs": 40}
    assert make_plan(3, **sizes) == make_plan(3, **sizes)
    assert make_plan(3, **sizes) != make_plan(4, **sizes)


@pytest.mark.parametrize("nodes", [NODES_MIN, 7, 12, 20, 64])
def test_a_plan_has_as_many_as_were_asked_for_and_most_workers_are_honest(nodes: int) -> None:
    for misbehaving in range(most_misbehaving(nodes) + 1):
        plan = make_plan(1, nodes=nodes, misbehaving=misbehaving, jobs=10)
        assert (plan.nodes, plan.misbehaving) == (nodes, misbehaving)
        cheats = sum(bool(worker.misbehaves) for worker in plan.workers)
        assert 2 * cheats < len(plan.workers)
        assert len(plan.honest) == nodes - misbehaving


def test_of_six_in_twenty_five_cheat_in_ways_of_their_own_and_one_has_an_accomplice() -> None:
    plan = make_plan(1, nodes=20, misbehaving=6, jobs=40)
    assert sorted(worker.misbehaves for worker in plan.workers if worker.misbehaves) == sorted(KINDS[:5])
    assert plan.has_accomplice
    fakes = [job for job in plan.jobs if job.by == ACCOMPLICE]
    assert len(fakes) == FAKES
    for job in fakes:
        assert plan.conduct(job.only) == FRIEND
        assert job.redundancy == 1, "nobody else is to look"
    honest = [job for job in plan.jobs if job.by != ACCOMPLICE]
    assert len(honest) == 40
    assert {job.redundancy for job in honest} == {2, 3}
    assert {job.by for job in honest} == set(plan.requesters)


def test_a_network_has_every_node_of_its_plan_with_its_conduct() -> None:
    plan = make_plan(1, nodes=20, misbehaving=6, jobs=1)
    nodes = topology(plan, 1.0).nodes
    assert len(nodes) == 20
    assert {node.name: node.misbehaves for node in nodes if node.worker} == {
        worker.name: worker.misbehaves for worker in plan.workers
    }
    assert [node.name for node in nodes if not node.worker] == [*plan.requesters, ACCOMPLICE]


def test_jobs_are_valid_and_those_of_one_training_alike_but_for_their_name() -> None:
    plan = make_plan(1, nodes=20, misbehaving=6, jobs=40)
    peers = {worker.name: _PEER for worker in plan.workers}
    trees = [job_tree(job, peers) for job in plan.jobs]
    for job, tree in zip(plan.jobs, trees, strict=True):
        spec = JobSpec.model_validate(tree)
        assert spec.verification.redundancy == job.redundancy
        assert spec.placement.allow == ((_PEER,) if job.only else ())
    programs = {(job.answer, str(tree["args"])) for job, tree in zip(plan.jobs, trees, strict=True)}
    assert len(programs) == len({job.answer for job in plan.jobs})


_PEER = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
