"""EXE-17: the lines between a node and the program of a warm lease; the program may be hostile."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p import limits
from skyops_p2p.core.execution.task_lines import LINE_BYTES_MAX, TaskAnswer, decode_answer, encode_task
from skyops_p2p.errors import RemoteProtocolError


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def line(**fields: object) -> bytes:
    return json.dumps({"task": 7} | fields).encode()


@given(st.integers(0, 2**53 - 1), st.lists(st.text(max_size=20), max_size=4), st.binary(max_size=80))
def test_task_is_one_line_of_ascii_that_says_all(task: int, arguments: list[str], stdin: bytes) -> None:
    data = encode_task(task, tuple(arguments), stdin)
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1
    assert data.isascii()
    fields = json.loads(data)
    assert (fields["task"], fields["arguments"]) == (task, arguments)
    assert base64.b64decode(fields["stdin"]) == stdin


def test_largest_task_fits_a_line() -> None:
    longest = ("é" * 8192,) * 9  # six bytes each in JSON; more does not fit a TaskStart
    assert len(encode_task(2**53 - 1, longest[:2], bytes(limits.TASK_BYTES_MAX))) <= LINE_BYTES_MAX


def test_answer_may_leave_out_all_but_its_task() -> None:
    assert decode_answer(line()) == TaskAnswer(7, 0, b"", b"")
    whole = line(exit_code=255, stdout=text_of(b"\xff\x00"), stderr=text_of(b"oops"), more="ignored")
    assert decode_answer(whole) == TaskAnswer(7, 255, b"\xff\x00", b"oops")


def test_output_of_a_task_is_bounded_and_of_its_errors_the_end_is_kept() -> None:
    at_the_bound = bytes(limits.TASK_BYTES_MAX)
    assert decode_answer(line(stdout=text_of(at_the_bound))).stdout == at_the_bound
    with pytest.raises(RemoteProtocolError):
        decode_answer(line(stdout=text_of(at_the_bound + b"!")))
    long = b"x" * limits.LOG_CHUNK_BYTES_MAX + b"the end"
    kept = decode_answer(line(stderr=text_of(long))).stderr
    assert (len(kept), kept[-7:]) == (limits.LOG_CHUNK_BYTES_MAX, b"the end")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"\xff\xfe",
        b"[]",
        b"7",
        b"{}",
        b"[" * 100_000,
        b'{"task": ' + b"9" * 5000 + b"}",
        b'{"task": true}',
        b'{"task": -1}',
        b'{"task": 1.5}',
        b'{"task": "7"}',
        line(exit_code=256),
        line(exit_code=-1),
        line(exit_code=True),
        line(exit_code="0"),
        line(exit_code=0.0),
        line(stdout=5),
        line(stdout=None),
        line(stdout="not base64"),
        line(stdout="ä"),
        line(stderr="AAA"),
    ],
    ids=range(22),
)
def test_what_is_no_answer_is_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        decode_answer(data)
    assert (refused.value.code, refused.value.rule) == ("malformed", "EXE-17")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        answer = decode_answer(data)
    except RemoteProtocolError:
        return
    assert 0 <= answer.exit_code <= 255
