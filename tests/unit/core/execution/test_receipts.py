"""EXE-12, EXE-13: a receipt fits its lease and the one before, or it has not come."""

from dataclasses import replace
from typing import Any

import pytest

from skyops_p2p.core.execution.receipts import (
    ZERO32,
    LeaseFacts,
    check_checkpoint,
    check_result,
    follows,
)
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.envelope import Signed, seal
from skyops_p2p.wire.messages.execution import CheckpointReceipt
from tests.unit.core.people import ALICE, BOB, CAROL, RULES, Person
from tests.vectors.execution_examples import checkpoint_receipt, result_receipt

FACTS = LeaseFacts(
    network=RULES.network,
    requester=ALICE.peer,
    worker=BOB.peer,
    job_id=bytes(range(16)),
    shard=3,
    epoch=1,
    award=bytes([0xA0] * 32),
    spec_digest=result_receipt().spec_digest,
)
OURS = {"requester": peer_id_to_bytes(ALICE.peer), "worker": peer_id_to_bytes(BOB.peer)}
OTHER_LEASES: list[dict[str, Any]] = [
    {"requester": peer_id_to_bytes(CAROL.peer)},
    {"worker": peer_id_to_bytes(CAROL.peer)},
    {"job_id": bytes(16)},
    {"shard": 2},
    {"epoch": 2},
]


def checkpoint(who: Person = BOB, **changes: Any) -> bytes:
    return seal(checkpoint_receipt(**OURS | changes), who.node_key, RULES.network)


def result(who: Person = BOB, **changes: Any) -> bytes:
    return seal(result_receipt(**OURS | changes), who.node_key, RULES.network)


def test_receipts_of_the_lease_are_taken() -> None:
    assert check_checkpoint(checkpoint(), FACTS).message.label == "step-120"
    assert check_result(result(), FACTS).message.code == "succeeded"


@pytest.mark.parametrize("changes", OTHER_LEASES, ids=lambda changes: next(iter(changes)))
def test_receipt_of_another_lease_is_a_lie(changes: dict[str, Any]) -> None:
    for check, data, rule in (
        (check_checkpoint, checkpoint(**changes), "EXE-12"),
        (check_result, result(**changes), "EXE-13"),
    ):
        with pytest.raises(RemoteProtocolError) as refused:
            check(data, FACTS)
        assert (refused.value.code, refused.value.rule) == ("worker_lied", rule)
        assert refused.value.peer == BOB.peer


def test_receipt_signed_by_anybody_else_is_a_lie() -> None:
    for check, data in ((check_checkpoint, checkpoint(CAROL)), (check_result, result(ALICE))):
        with pytest.raises(RemoteProtocolError) as refused:
            check(data, FACTS)
        assert refused.value.code == "worker_lied"


def test_receipt_of_another_network_is_refused() -> None:
    foreign = seal(checkpoint_receipt(**OURS, network="skyops"), BOB.node_key, "skyops")
    with pytest.raises(RemoteProtocolError) as refused:
        check_checkpoint(foreign, FACTS)
    assert refused.value.code == "wrong_network"


def test_result_is_no_checkpoint() -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        check_checkpoint(result(), FACTS)
    assert refused.value.code == "wrong_type"


def test_checkpoint_number_zero_is_a_lie() -> None:  # EXE-12
    with pytest.raises(RemoteProtocolError) as refused:
        check_checkpoint(checkpoint(sequence=0), FACTS)
    assert refused.value.code == "worker_lied"


@pytest.mark.parametrize(
    "changes",
    [
        {"award": bytes(32)},
        {"spec_digest": bytes(32)},
        {"exit_code": 1},
        {"exit_code": None},
        {"exit_kind": "stopped", "exit_code": None},
        {"exit_kind": "none", "exit_code": 0},
        {"ended_unix_ms": 0},
    ],
    ids=["award", "spec", "exit code", "no exit code", "stopped", "never ran", "dates"],
)
def test_result_that_contradicts_itself_or_its_lease_is_a_lie(changes: dict[str, Any]) -> None:  # EXE-13
    with pytest.raises(RemoteProtocolError) as refused:
        check_result(result(**changes), FACTS)
    assert (refused.value.code, refused.value.rule) == ("worker_lied", "EXE-13")


def test_failure_may_end_in_any_way() -> None:
    for kind, exit_code in (("exited", 1), ("stopped", None), ("lost", None), ("none", None)):
        data = result(code="program_failed", exit_kind=kind, exit_code=exit_code)
        assert check_result(data, FACTS).message.exit_kind == kind


def test_receipts_follow_each_other_over_epochs_and_workers() -> None:  # EXE-12
    first = check_checkpoint(checkpoint(), FACTS)
    carols = replace(FACTS, worker=CAROL.peer, epoch=2)
    changes = {"worker": peer_id_to_bytes(CAROL.peer), "epoch": 2, "sequence": 2}
    second = check_checkpoint(checkpoint(CAROL, **changes, previous=first.digest), carols)
    assert follows(first.message, None)
    assert follows(second.message, first)


@pytest.mark.parametrize(
    ("sequence", "previous", "is_first"),
    [(1, bytes([1] * 32), True), (2, ZERO32, True), (0, ZERO32, True), (2, ZERO32, False), (3, None, False)],
)
def test_receipt_with_a_gap_before_it_follows_nothing(
    sequence: int, previous: bytes | None, is_first: bool
) -> None:  # EXE-12
    before: Signed[CheckpointReceipt] = check_checkpoint(checkpoint(), FACTS)
    changes = {"sequence": sequence, "previous": before.digest if previous is None else previous}
    receipt = checkpoint_receipt(**OURS, **changes)
    assert not follows(receipt, None if is_first else before)
