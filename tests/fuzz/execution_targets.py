"""What is fuzzed of chapter 05: openings of leases, receipts, segments of logs, and what programs write."""

from collections.abc import Callable

from skyops_p2p.core.execution.log_segments import decode_segment, encode_segment
from skyops_p2p.core.execution.opening import check_opening
from skyops_p2p.core.execution.progress import parse_progress
from skyops_p2p.core.execution.receipts import LeaseFacts, check_checkpoint, check_result
from skyops_p2p.core.execution.task_lines import decode_answer
from skyops_p2p.core.jobs.encoding import decode_spec, encode_spec
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.messages.execution import LeaseOpen
from skyops_p2p.wire.model import decode_message, encode_message
from tests.unit.core.execution.offers import job, request_for, terms_of
from tests.unit.core.people import BOB as WINNER
from tests.unit.core.people import NOW
from tests.unit.core.people import RULES as NETWORK
from tests.vectors.execution_examples import AWARD, JOB, SPEC
from tests.vectors.people import ALICE, BOB, RULES

ENVELOPED = ("checkpoint-receipt", "result-receipt")
FACTS = LeaseFacts(
    network=RULES.network,
    requester=ALICE.node_key.peer_id,
    worker=BOB.node_key.peer_id,
    job_id=JOB,
    shard=3,
    epoch=1,
    award=AWARD,
    spec_digest=sha256(b"skyops/job/1" + SPEC),
)
WANTED = job()
TERMS = terms_of(WANTED)


def _opening(data: bytes) -> None:
    request = decode_message(LeaseOpen, data)
    opened = check_opening(request, TERMS, network=NETWORK.network, own=WINNER.peer, now=NOW)
    assert opened.spec == WANTED


def _job(data: bytes) -> None:
    assert encode_spec(decode_spec(data)) == data


def _segment(data: bytes) -> None:
    assert encode_segment(decode_segment(data)) == data


def _progress(data: bytes) -> None:
    """A program that writes nonsense has no progress; to the fuzzer that is a refusal."""
    line = parse_progress(data.decode(errors="replace"))
    if line is None:
        raise RemoteProtocolError("no progress", code="malformed")
    assert 0 <= line.done <= line.total < 2**53


TARGETS: dict[str, Callable[[bytes], object]] = {
    "lease-opening": _opening,
    "job-spec": _job,
    "checkpoint": lambda data: check_checkpoint(data, FACTS),
    "result": lambda data: check_result(data, FACTS),
    "log-segment": _segment,
    "progress": _progress,
    "task-answer": decode_answer,
}
FAMILIES = {
    "lease-opening": ("leases",),
    "checkpoint": ("receipts",),
    "result": ("receipts",),
    "log-segment": ("log-segments",),
}
"""The vectors that a target begins with, where it is not those of identifiers."""


def seeds(target: str) -> set[bytes]:
    """Return further inputs to begin with."""
    return {
        "lease-opening": {encode_message(request_for(WANTED))},
        "job-spec": {encode_spec(WANTED), encode_spec(job(shards=1, checkpoint={"path": "/checkpoint"}))},
        "task-answer": {b'{"task": 7}', b'{"task": 7, "exit_code": 1, "stdout": "SEVMTE8=", "stderr": ""}'},
        "progress": {b"120/500 loss=0.31 lr=1e-3\n", b"1/2\n3/4", b"0/0"},
    }.get(target, set())
