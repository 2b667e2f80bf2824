"""Frame lengths: shortest form, bounds, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p import limits
from skyops_p2p.adapters.libp2p.frames import encode_length, parse_length
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import PeerId

MALLORY = PeerId("mallory")


@given(st.integers(0, limits.FRAME_BYTES_MAX))
def test_encoded_length_parses_to_itself(length):
    prefix = encode_length(length)
    assert parse_length(prefix + b"rest", limits.FRAME_BYTES_MAX, MALLORY) == (len(prefix), length)
    for cut in range(len(prefix)):
        assert parse_length(prefix[:cut], limits.FRAME_BYTES_MAX, MALLORY) is None


@pytest.mark.parametrize("bound", [0, 1, 127, 128, 4096, limits.FRAME_BYTES_MAX])
def test_length_at_the_bound_passes_and_above_is_oversized(bound):
    assert parse_length(encode_length(bound), bound, MALLORY) is not None
    with pytest.raises(RemoteProtocolError) as caught:
        parse_length(encode_length(bound + 1), bound, MALLORY)
    assert (caught.value.code, caught.value.rule, caught.value.peer) == ("oversized", "CNV-6", "mallory")


@pytest.mark.parametrize("prefix", [b"\x80\x00", b"\x81\x80\x00", b"\xff\xff\xff\xff\xff", b"\x80" * 5])
def test_overlong_and_endless_lengths_are_malformed(prefix):
    with pytest.raises(RemoteProtocolError) as caught:
        parse_length(prefix, 2**40, MALLORY)
    assert caught.value.code == "malformed"


@given(st.binary(max_size=12), st.integers(0, limits.FRAME_BYTES_MAX))
def test_any_bytes_parse_or_raise_the_peers_error(data, bound):
    codes = set()
    parsed = None
    try:
        parsed = parse_length(data, bound, MALLORY)
    except RemoteProtocolError as error:
        codes.add(error.code)
    assert codes <= {"oversized", "malformed"}
    assert parsed is None or parsed[1] <= bound
