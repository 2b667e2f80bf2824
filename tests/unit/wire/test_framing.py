"""Frames: any split of the stream gives the same frames, and bad lengths end it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.limits import FRAME_BYTES_MAX
from skyops_p2p.wire.framing import FrameDecoder, decode_uvarint, encode_frame, encode_uvarint


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (2**28 - 1, "ffffff7f"),
    ],
)
def test_uvarint_vectors(value: int, encoded: str) -> None:  # CNV-6
    assert encode_uvarint(value).hex() == encoded
    assert decode_uvarint(bytes.fromhex(encoded)) == (value, len(encoded) // 2)


def test_uvarint_out_of_range_is_our_bug() -> None:
    for value in (-1, 2**28):
        with pytest.raises(LocalProtocolError):
            encode_uvarint(value)


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 50))
def test_any_split_gives_the_same_frames(payloads: list[bytes], step: int) -> None:  # CNV-6
    stream = b"".join(encode_frame(payload) for payload in payloads)
    decoder = FrameDecoder(300)
    frames = [
        frame for start in range(0, len(stream), step) for frame in decoder.feed(stream[start : start + step])
    ]
    assert frames == payloads
    assert decoder.bytes_buffered == 0


def test_frame_one_below_at_and_above_the_limit() -> None:  # CNV-6
    for size in (99, 100):
        assert FrameDecoder(100).feed(encode_frame(bytes(size))) == [bytes(size)]
    with pytest.raises(RemoteProtocolError) as refused:
        FrameDecoder(100).feed(encode_uvarint(101))
    assert refused.value.code == "oversized"


def test_frame_limit_of_the_sender() -> None:  # CNV-6
    assert len(encode_frame(bytes(FRAME_BYTES_MAX))) == FRAME_BYTES_MAX + 3
    with pytest.raises(LocalProtocolError):
        encode_frame(bytes(FRAME_BYTES_MAX + 1))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("8000", "non_canonical"),
        ("818000", "non_canonical"),
        ("80808080", "malformed"),
        ("ffffff7f", "oversized"),
    ],
)
def test_bad_length_ends_the_stream(data: str, code: str) -> None:  # CNV-6
    decoder = FrameDecoder()
    for attempt in (bytes.fromhex(data), b"\x00", b""):
        with pytest.raises(RemoteProtocolError) as refused:
            decoder.feed(attempt)
        assert refused.value.code == code
    assert decoder.bytes_buffered == 0


def test_unfinished_length_and_frame_wait() -> None:
    decoder = FrameDecoder()
    assert decoder.feed(b"\x80") == []
    assert decoder.feed(b"\x01" + bytes(127)) == []
    assert decoder.bytes_buffered == 129
    assert decoder.feed(b"\x00\x00") == [bytes(128), b""]


def test_buffer_holds_at_most_one_unfinished_frame() -> None:
    decoder = FrameDecoder(1000)
    for _ in range(100):
        decoder.feed(encode_frame(bytes(1000)) + encode_uvarint(1000) + bytes(999))
        assert decoder.bytes_buffered <= 1002
        assert decoder.feed(b"\0") == [bytes(1000)]
