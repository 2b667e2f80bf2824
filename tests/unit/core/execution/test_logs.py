"""EXE-14: the chain of a log, and its sealed segments."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p import limits
from skyops_p2p.core.execution.log_chain import START, head_after, next_head
from skyops_p2p.core.execution.log_segments import (
    RECORD_COST_BYTES,
    SEGMENT_BYTES_MAX,
    SEGMENT_RECORDS_MAX,
    LogSegment,
    cost_of,
    decode_segment,
    encode_segment,
)
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire import canonical
from skyops_p2p.wire.messages.execution import LogPart
from tests.vectors.execution_examples import LOG, bundle

RECORDS = st.lists(
    st.builds(
        LogPart,
        unix_ms=st.integers(0, 2**53 - 1),
        stream=st.sampled_from(("stdout", "stderr", "skyops")),
        data=st.binary(max_size=40),
    ),
    min_size=2,
    max_size=6,
)


def test_chain_is_the_hash_of_domain_head_number_and_record() -> None:
    head = bytes(32)
    for number, record in enumerate(LOG, 7):
        encoded = canonical.encode(record.to_wire())
        head = hashlib.sha256(b"skyops/log/1" + head + number.to_bytes(8, "big") + encoded).digest()
    assert head_after(START, 7, LOG) == head


@given(RECORDS, st.data())
def test_head_notices_every_change_of_the_records(records: list[LogPart], data: st.DataObject) -> None:
    head = head_after(START, 0, records)
    at = data.draw(st.integers(0, len(records) - 1))
    changed = records[at].model_copy(update={"data": records[at].data + b"!"})
    assert head_after(START, 0, [*records[:at], changed, *records[at + 1 :]]) != head
    assert head_after(START, 0, [*records[:at], *records[at + 1 :]]) != head
    assert head_after(START, 1, records) != head
    if records[0] != records[1]:
        assert head_after(START, 0, [records[1], records[0], *records[2:]]) != head


@given(RECORDS, st.integers(0, 6))
def test_chain_goes_on_where_it_was_cut(records: list[LogPart], cut: int) -> None:
    first, rest = records[:cut], records[cut:]
    assert head_after(head_after(START, 0, first), len(first), rest) == head_after(START, 0, records)
    assert head_after(START, 0, []) == START
    assert head_after(START, 3, records[:1]) == next_head(START, 3, records[0])


# --- segments ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("previous", [None, bundle(3)])
def test_segment_comes_back_as_it_was(previous) -> None:
    segment = LogSegment(4, 17, bytes([9] * 32), LOG, previous)
    assert decode_segment(encode_segment(segment)) == segment


def segment_map(**changes: object) -> dict[int, object]:
    fields = {1: 4, 2: 17, 3: bytes(32), 4: [record.to_wire() for record in LOG]}
    changed = {int(key[1:]): value for key, value in changes.items()}
    return {key: value for key, value in (fields | changed).items() if value is not None}


@pytest.mark.parametrize(
    "changes",
    [
        {"f1": None},
        {"f2": None},
        {"f3": None},
        {"f4": None},
        {"f1": "four"},
        {"f1": True},
        {"f2": False},
        {"f2": -1},
        {"f3": bytes(31)},
        {"f4": [{1: 5}]},
        {"f4": ["a line"]},
        {"f5": bytes(36)},
        {"f6": 1},
    ],
    ids=str,
)
def test_what_is_no_segment_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        decode_segment(canonical.encode(segment_map(**changes)))
    assert refused.value.code == "malformed"


def test_segment_is_a_map() -> None:
    with pytest.raises(RemoteProtocolError):
        decode_segment(canonical.encode([1, 2]))


def test_largest_segment_fits_and_a_longer_one_is_refused() -> None:
    """LOG_SEGMENT_BYTES of empty records are the most numerous, of long ones the longest."""
    empty = LogPart(unix_ms=2**53 - 1, stream="stdout", data=b"")
    long = LogPart(unix_ms=2**53 - 1, stream="stdout", data=bytes(limits.LOG_CHUNK_BYTES_MAX))
    assert (cost_of(empty), cost_of(long)) == (
        RECORD_COST_BYTES,
        limits.LOG_CHUNK_BYTES_MAX + RECORD_COST_BYTES,
    )
    for record in (empty, long):
        count = limits.LOG_SEGMENT_BYTES // cost_of(record)
        assert count <= SEGMENT_RECORDS_MAX
        data = encode_segment(LogSegment(1, 0, START, (record,) * count, bundle(1)))
        assert len(data) <= SEGMENT_BYTES_MAX
        assert len(decode_segment(data).records) == count
    with pytest.raises(RemoteProtocolError) as refused:
        decode_segment(bytes(SEGMENT_BYTES_MAX + 1))
    assert refused.value.code == "oversized"
