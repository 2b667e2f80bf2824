"""VER-1 to VER-7: a worker commits to its result, and nobody sees it before the others have committed too."""

from dataclasses import replace
from typing import Any

import pytest

from skyops_p2p.core.execution.receipts import LeaseFacts
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.verification.commit import (
    check_commit,
    check_reveal,
    check_reveal_request,
    commitment_of,
    compared_class,
)
from skyops_p2p.core.verification.result_root import answer_root, has_answer, result_root, result_tree
from skyops_p2p.crypto.node_key import peer_id_from_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages.verification import RevealResult
from tests.unit.core.execution.offers import job
from tests.vectors.execution_examples import USAGE, bundle, result_receipt
from tests.vectors.people import BOB, CAROL, MALLORY, RULES
from tests.vectors.verification_examples import Part

BOBS, CAROLS = Part(BOB), Part(CAROL)
BOTH = [BOBS, CAROLS]


def facts_of(part: Part) -> LeaseFacts:
    its = part.commit().message
    return LeaseFacts(
        network=RULES.network,
        requester=peer_id_from_bytes(its.requester),
        worker=part.who.node_key.peer_id,
        job_id=its.job_id,
        shard=its.shard,
        epoch=its.epoch,
        award=its.award,
        spec_digest=its.spec_digest,
    )


def code_of(check: Any, *arguments: Any, rule: str, **named: Any) -> str:
    with pytest.raises(RemoteProtocolError) as refused:
        check(*arguments, **named)
    assert refused.value.rule == rule
    return refused.value.code


# --- which ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["exact", "numeric", "generation", "training", "interactive"])
def test_only_two_classes_are_compared(kind: str) -> None:  # VER-1
    wanted = job(verification={"class": kind, "redundancy": 2})
    is_compared = kind in ("exact", "numeric")
    assert compared_class(wanted) == (kind if is_compared else None)
    assert compared_class(wanted, is_warm=True) is None


def test_one_worker_has_nobody_to_be_compared_with() -> None:  # VER-1
    alone: JobSpec = job(verification={"class": "exact", "redundancy": 1})
    assert compared_class(alone) is None


def test_canaries_are_compared_with_what_the_requester_comes_to() -> None:  # VER-1, VER-22
    def wanted(canaries: int) -> JobSpec:
        return JobSpec.model_validate(
            {
                "module": "file:a.wasm",
                "shards": 4,
                "verification": {"class": "exact", "canaries": canaries},
            }
        )

    assert compared_class(wanted(4)) == "exact"
    assert compared_class(wanted(4), is_warm=True) is None
    assert compared_class(wanted(0)) is None


def test_ends_that_depend_on_the_machine_are_no_answers() -> None:  # VER-2
    assert has_answer(result_receipt())
    assert has_answer(result_receipt(code="program_failed", exit_code=1, outputs=None))
    for code in (
        "execution_timeout",
        "out_of_memory",
        "program_killed",
        "requeue_asked",
        "worker_leaving",
        "new",
    ):
        assert not has_answer(result_receipt(code=code))


# --- roots ------------------------------------------------------------------------------------------------------------
def test_equal_answers_have_one_root_whoever_made_them() -> None:  # VER-3
    bobs, carols = (part.receipt().message for part in BOTH)
    assert bobs.log_head != carols.log_head
    assert answer_root(bobs) == answer_root(carols)
    assert result_root(bobs) != result_root(carols)


def test_answer_root_is_a_node_of_the_result_root() -> None:  # VER-3
    receipt = BOBS.receipt().message
    (_, above) = result_tree(receipt).path(3)
    assert above == answer_root(receipt)


@pytest.mark.parametrize(
    ("change", "is_answer"),
    [
        ({"code": "program_failed"}, True),
        ({"exit_kind": "trapped"}, True),
        ({"exit_code": None}, True),
        ({"signal": 9}, True),
        ({"outputs": bundle(2)}, True),
        ({"outputs": None}, True),
        ({"log_count": 9}, False),
        ({"log_head": bytes(32)}, False),
        ({"usage": USAGE.model_copy(update={"fuel": 1})}, False),
        ({"started_unix_ms": 1}, False),
        ({"ended_unix_ms": 2**50}, False),
    ],
)
def test_root_covers_all_that_is_said(change: dict[str, Any], is_answer: bool) -> None:  # VER-3
    receipt = BOBS.receipt().message
    other = receipt.model_copy(update=change)
    assert result_root(receipt) != result_root(other)
    assert (answer_root(receipt) != answer_root(other)) == is_answer


# --- commitments ------------------------------------------------------------------------------------------------------
def test_commitment_fits_its_lease() -> None:  # VER-4
    its = BOBS.commit().message
    facts = facts_of(BOBS)
    said: dict[str, Any] = {
        name: getattr(its, name) for name in ("draw", "verification", "redundancy", "price")
    }
    assert check_commit(BOBS.commit().data, facts, **said).message == its
    others: list[tuple[LeaseFacts, dict[str, Any]]] = [
        (replace(facts, worker=CAROL.node_key.peer_id), said),
        (replace(facts, job_id=bytes(16)), said),
        (replace(facts, epoch=2), said),
        (replace(facts, award=bytes(32)), said),
        (replace(facts, spec_digest=bytes(32)), said),
        (facts, said | {"draw": bytes(32)}),
        (facts, said | {"verification": "numeric"}),
        (facts, said | {"redundancy": 2}),
        (facts, said | {"price": its.price - 1}),
    ]
    for where, what in others:
        assert code_of(check_commit, BOBS.commit().data, where, rule="VER-4", **what) == "worker_lied"


def test_commitment_signed_by_another_is_a_lie() -> None:  # VER-4
    its = BOBS.commit().message
    data = seal(its, MALLORY.node_key, RULES.network)
    said = {name: getattr(its, name) for name in ("draw", "verification", "redundancy", "price")}
    assert code_of(check_commit, data, facts_of(BOBS), rule="VER-4", **said) == "worker_lied"


def test_copied_commitment_opens_for_nobody_else() -> None:  # VER-4
    bobs = BOBS.receipt().message
    copy = bobs.model_copy(update={"worker": CAROLS.receipt().message.worker})
    assert commitment_of(copy, BOBS.salt) != commitment_of(bobs, BOBS.salt)
    for change in ({"job_id": bytes(16)}, {"shard": 4}, {"epoch": 2}, {"award": bytes(32)}):
        assert commitment_of(bobs.model_copy(update=change), BOBS.salt) != commitment_of(bobs, BOBS.salt)
    assert commitment_of(bobs, bytes(32)) != commitment_of(bobs, BOBS.salt)


def test_commitment_is_the_same_after_a_restart() -> None:  # VER-5
    assert Part(BOB).commit().data == BOBS.commit().data


# --- reveals ----------------------------------------------------------------------------------------------------------
def test_result_is_shown_once_others_have_committed() -> None:  # VER-6
    others = check_reveal_request(RevealResult(epoch=1, others=(CAROLS.commit().data,)), BOBS.commit())
    assert [other.signer for other in others] == [CAROL.node_key.peer_id]


def test_result_is_shown_to_a_requester_that_found_nobody_else() -> None:  # VER-6
    assert check_reveal_request(RevealResult(epoch=1, others=()), BOBS.commit()) == ()


@pytest.mark.parametrize(
    "others",
    [
        (BOBS,),
        (CAROLS, CAROLS),
        (replace(CAROLS, commit_changes=(("spec_digest", bytes(32)),)),),
        (replace(CAROLS, commit_changes=(("shard", 2),)),),
        (replace(CAROLS, commit_changes=(("requester", BOBS.commit().message.worker),)),),
        (replace(CAROLS, commit_changes=(("verification", "numeric"),)),),
        (replace(CAROLS, commit_changes=(("redundancy", 2),)),),
        (replace(CAROLS, commit_changes=(("worker", Part(MALLORY).commit().message.worker),)),),
        (replace(CAROLS, commit_changes=(("job_id", BOBS.commit().message.job_id),)),),
    ],
)
def test_result_is_not_shown_for_a_commitment_that_proves_nothing(others: tuple[Part, ...]) -> None:  # VER-6
    request = RevealResult(epoch=1, others=tuple(other.commit().data for other in others))
    assert code_of(check_reveal_request, request, BOBS.commit(), rule="VER-6") == "proof_fails"


def test_request_of_another_epoch_is_refused() -> None:  # VER-6
    request = RevealResult(epoch=2, others=(CAROLS.commit().data,))
    assert code_of(check_reveal_request, request, BOBS.commit(), rule="VER-6") == "stale_epoch"


def test_reveal_opens_the_commitment_and_says_what_was_seen() -> None:  # VER-7
    reveal = check_reveal(BOBS.reveal(BOTH).data, BOBS.commit(), BOBS.receipt())
    assert reveal.message.seen == (CAROLS.commit().digest,)


@pytest.mark.parametrize(
    "bad",
    [
        replace(BOBS, reveal_changes=(("salt", bytes(32)),)),
        replace(BOBS, reveal_changes=(("commit", bytes(32)),)),
        replace(BOBS, reveal_changes=(("receipt", bytes(32)),)),
    ],
)
def test_reveal_that_does_not_open_is_a_lie(bad: Part) -> None:  # VER-7
    assert (
        code_of(check_reveal, bad.reveal(BOTH).data, BOBS.commit(), BOBS.receipt(), rule="VER-7")
        == "worker_lied"
    )


def test_another_result_than_was_committed_to_is_a_lie() -> None:  # VER-7
    other = replace(BOBS, shows=2)
    arguments = (other.reveal(BOTH).data, BOBS.commit(), other.receipt(2))
    assert code_of(check_reveal, *arguments, rule="VER-7") == "worker_lied"


def test_result_without_what_opens_it_is_a_lie() -> None:  # VER-7
    assert code_of(check_reveal, None, BOBS.commit(), BOBS.receipt(), rule="VER-7") == "worker_lied"


def test_reveal_of_another_worker_is_a_lie() -> None:  # VER-7
    data = seal(BOBS.reveal(BOTH).message, CAROL.node_key, RULES.network)
    assert code_of(check_reveal, data, BOBS.commit(), BOBS.receipt(), rule="VER-7") == "worker_lied"
