"""Messages of a lease: each fits a session frame whole, and what is longer than its bound is refused."""

from typing import Any

import pytest

from skyops_p2p import limits
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.messages import execution
from skyops_p2p.wire.model import Message, decode_message, encode_message
from skyops_p2p.wire.registry import MESSAGES
from tests.vectors.execution_examples import bundle, lease_open

LONG = [kind for number, kind in MESSAGES.items() if 50 <= number <= 65 and kind.bytes_max > 64 * 1024]
RECORD = execution.LogPart(unix_ms=2**53 - 1, stream="stdout", data=b"")


def filled(kind: type[Message], size: int) -> bytes:
    """Return a message of a kind whose encoding has this many bytes: a filler is as long as it must be."""
    makers: dict[type[Message], Any] = {
        execution.LeaseOpen: lambda fill: lease_open(
            secrets=tuple(
                execution.SecretPart(name=f"S{n}", value=piece) for n, piece in enumerate(pieces(fill))
            )
        ),
        execution.LogBatch: lambda fill: execution.LogBatch(
            epoch=1,
            first=0,
            head=bytes(32),
            records=tuple(RECORD.model_copy(update={"data": piece}) for piece in pieces(fill)),
        ),
        execution.TaskStart: lambda fill: execution.TaskStart(
            epoch=1, task=1, arguments=tuple(piece[:8000].decode() for piece in pieces(fill, 8000)), stdin=b""
        ),
    }
    fill = size - 2000
    while True:
        data = encode_message(makers[kind](fill))
        if len(data) == size:
            return data
        assert len(data) < size, "no filler has this length"
        fill += max(1, size - len(data) - 16)


def pieces(size: int, longest: int = limits.SECRET_BYTES_MAX) -> list[bytes]:
    return [b"x" * min(longest, size - start) for start in range(0, size, longest)]


@pytest.mark.parametrize("kind", LONG, ids=lambda kind: kind.name)
def test_longest_messages_fit_a_session_frame(kind: type[Message]) -> None:
    assert kind.bytes_max <= limits.SESSION_FRAME_BYTES_MAX


@pytest.mark.parametrize("kind", [execution.LeaseOpen, execution.LogBatch, execution.TaskStart])
def test_message_at_its_bound_is_read_and_one_byte_more_is_refused(kind: type[Message]) -> None:
    for size in (kind.bytes_max - 1, kind.bytes_max):
        assert encode_message(decode_message(kind, filled(kind, size))) == filled(kind, size)
    with pytest.raises(RemoteProtocolError) as refused:
        decode_message(kind, filled(kind, kind.bytes_max + 1))
    assert refused.value.code == "oversized"


def test_answer_of_a_task_at_its_bounds_fits() -> None:
    ended = execution.TaskEnded(
        epoch=2**31,
        task=2**53 - 1,
        exit_kind="out_of_memory",
        exit_code=255,
        stdout=bytes(limits.TASK_BYTES_MAX),
        stderr=bytes(limits.LOG_CHUNK_BYTES_MAX),
        wall_us=2**53 - 1,
    )
    assert len(encode_message(ended)) <= execution.TaskEnded.bytes_max


def test_batch_of_the_most_and_of_the_longest_records_fits() -> None:
    for count, size in (
        (limits.LOG_BATCH_RECORDS_MAX, limits.LOG_BATCH_BYTES_MAX // limits.LOG_BATCH_RECORDS_MAX),
        (limits.LOG_BATCH_BYTES_MAX // limits.LOG_CHUNK_BYTES_MAX, limits.LOG_CHUNK_BYTES_MAX),
    ):
        records = (RECORD.model_copy(update={"data": bytes(size)}),) * count
        batch = execution.LogBatch(epoch=2**31, first=2**53 - 1, head=bytes(32), records=records)
        assert len(encode_message(batch)) <= execution.LogBatch.bytes_max


def test_largest_job_fits_one_lease_open() -> None:
    """The longest specification, as many inputs, secrets and holders as there may be, and a checkpoint."""
    parts = limits.JOB_PARTS_MAX
    holder = execution.HolderPart(peer=bytes(42), addrs=("a" * 128,) * limits.ADDRS_PER_PEER_MAX)
    secret_bytes = limits.SECRETS_BYTES_MAX // parts
    request = lease_open(
        spec=bytes(limits.JOB_SPEC_BYTES_MAX),
        inputs=tuple(
            execution.InputPart(path=f"/{n:03}" + "p" * 252, bundle=bundle(n), is_file=True)
            for n in range(parts + 1)
        ),
        secrets=tuple(
            execution.SecretPart(name=f"{n:03}" + "N" * 125, value=bytes(secret_bytes), path="/" + "s" * 255)
            for n in range(parts)
        ),
        resume=bytes(4096),
        holders=(holder,) * limits.HOLDERS_MAX,
        replicas=(holder,) * limits.HOLDERS_MAX,
    )
    assert len(encode_message(request)) <= limits.LEASE_OPEN_BYTES_MAX


def test_secrets_and_keys_do_not_show_in_a_message() -> None:  # EXE-9
    message = lease_open()
    assert "hush" not in repr(message)
    assert "content_key" not in repr(message)
