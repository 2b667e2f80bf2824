"""Messages between node and child: whole, bounded, and without secrets in their text form."""

import pytest

from skyops_p2p.adapters.wasm.frames import (
    BrokenFrame,
    CompileRequest,
    FrameReader,
    Preopen,
    RunRequest,
    decode_request,
    encode,
    encode_request,
)

RUN = RunRequest(
    compiled="/c",
    digest="ab" * 32,
    arguments=["a", "ü"],
    env={"TOKEN": "secret of alice"},
    preopens=[Preopen("/w", "/work", True)],
    working_dir="/work",
    entry_point="",
    is_deterministic=True,
    seed="00",
    memory_bytes_max=65536,
    file_bytes_max=1,
    disk_bytes_max=2,
    fuel_max=3,
    snapshot="",
    hidden_state="",
)


@pytest.mark.parametrize("request_", [RUN, CompileRequest("/m", "ab", "/t", True, 1)])
def test_requests_survive_the_way(request_):
    [message] = FrameReader().feed(encode_request(request_))
    assert decode_request(message) == request_


def test_no_secret_is_in_the_text_of_a_request():
    assert "alice" not in repr(RUN)


def test_pieces_of_any_size_make_the_same_messages():
    data = encode({"a": 1}) + encode({"b": "ü"})
    reader = FrameReader()
    found = [message for place in range(len(data)) for message in reader.feed(data[place : place + 1])]
    assert found == [{"a": 1}, {"b": "ü"}]


def test_a_frame_at_the_bound_is_read_and_one_above_is_not():
    data = encode({"a": 1})
    assert FrameReader(bytes_max=len(data) - 4).feed(data) == [{"a": 1}]
    with pytest.raises(BrokenFrame):
        FrameReader(bytes_max=len(data) - 5).feed(data)


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"\xff"])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(BrokenFrame):
        FrameReader().feed(len(text).to_bytes(4, "big") + text)
