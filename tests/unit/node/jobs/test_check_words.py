"""What people read of checked results: by how many workers, why not, and who differed."""

import pytest

from skyops_p2p.node.jobs.check_words import discrepancy_text, verified_text
from skyops_p2p.node.jobs.job_views import ReplicaView, ShardView
from tests.gateway.fake_jobs import BOB, CAROL, attempt, shard

DAVE = "12D3KooWDaveDaveDaveDaveDaveDaveDaveDaveDaveDaveDave"


def replica(
    worker: str = CAROL, code: str = "succeeded", *, state: str = "succeeded", epoch: int = 2
) -> ReplicaView:
    return ReplicaView(job_id="00" * 16, worker=worker, state=state, code=code, round=0, epoch=epoch)


def done(checked: str, *replicas: ReplicaView, code: str = "succeeded") -> ShardView:
    return shard("succeeded", checked=checked, attempts=(attempt(code=code),), replicas=replicas, epoch=2)


@pytest.mark.parametrize(
    ("shards", "text"),
    [
        ((shard("running"),), ""),
        ((done(""),), "unverified: one worker has computed it, and nobody else"),
        ((done("not_drawn"),), "unverified: the spot checks left it out"),
        ((done("no_budget"),), "unverified: price.total_max left nothing to have it checked"),
        ((done("agreed", replica(), replica(DAVE)),), "verified by 3 workers"),
        ((done("agreed", replica(code="", state="checking")),), "verified by 2 workers"),
        (
            (done("decided", replica(), replica(DAVE), code="result_wrong"),),
            "verified by 2 workers",
        ),
        ((done("decided", replica(code="result_wrong", state="failed"), replica(DAVE)),), "verified by 2 workers"),
        ((done("agreed", replica(), replica("", "no_worker", state="failed")),), "verified by 2 workers"),
        ((done("agreed", replica(DAVE, epoch=1), replica()),), "verified by 2 workers"),
        (
            (done("agreed", replica()), done("not_drawn"), done("no_replica")),
            "spot-checked: 1 of 3 shards verified by 2 workers, the others unverified",
        ),
        (
            (done("agreed", replica()), done("agreed", replica(), replica(DAVE))),
            "verified by 2 workers or more",
        ),
        ((done("canary"),), "verified by computing the same on this node"),
        ((done("canary_failed"),), "unverified: this node could not compute it, too"),
        (
            (done("canary"), done("no_canary"), done("no_canary")),
            "spot-checked: 1 of 3 shards verified by computing the same on this node, the others unverified",
        ),
        (
            (done("canary"), done("agreed", replica())),
            "verified by 2 workers, or by computing the same on this node (1)",
        ),
        (
            (done("canary"), done("refereed", replica(code="result_wrong", state="failed"))),
            "verified by running the steps where two results part, or by computing the same on this node (1)",
        ),
    ],
)  # fmt: skip
def test_by_how_many_workers(shards: tuple[ShardView, ...], text: str) -> None:
    assert verified_text(shards) == text


def test_whoever_differed_is_named_with_what_it_did() -> None:
    text = discrepancy_text(
        (attempt(code="result_wrong"),), (replica(), replica(DAVE, "no_reveal")), "succeeded", "decided"
    )
    assert text == (
        f"worker {BOB[-8:]} came to another result than the majority (result_wrong); worker {DAVE[-8:]} did not show"
        " the result that it had committed to (no_reveal); their results are not taken"
    )  # fmt: skip


def test_no_majority_is_a_discrepancy_and_a_lie_without_a_comparison_is_none() -> None:
    assert "none is taken" in discrepancy_text(
        (attempt(code="results_differ"),), (replica(),), "results_differ", ""
    )
    assert discrepancy_text((attempt(code="worker_lied"), attempt(2, CAROL)), (), "", "") == ""
    assert discrepancy_text((attempt(code="succeeded"),), (replica(),), "succeeded", "agreed") == ""


@pytest.mark.parametrize("checked", ["", "canary"])
def test_who_was_wrong_at_a_canary_is_named_without_a_replica(checked: str) -> None:  # VER-30
    text = discrepancy_text((attempt(code="result_wrong"), attempt(2, CAROL)), (), "", checked)
    assert text == (
        f"worker {BOB[-8:]} came to another result than this node, which has computed the shard, too"
        " (result_wrong); its result is not taken"
    )


def test_no_majority_is_named_where_a_stretch_has_decided() -> None:  # VER-25
    text = discrepancy_text((attempt(code="result_wrong"),), (replica(),), "succeeded", "refereed")
    assert text == (
        f"worker {BOB[-8:]} came to another result than the steps where two results part, run on this node"
        " (result_wrong); its result is not taken"
    )
