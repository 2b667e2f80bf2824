"""Laws of the encoding, of frames, of messages and of envelopes, and the memory that hostile input may cost."""

import contextlib
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p.crypto.node_key import NodeKey
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.limits import COLLECTION_ITEMS_MAX, MESSAGE_BYTES_MAX
from skyops_p2p.wire import canonical
from skyops_p2p.wire.envelope import open_envelope, seal
from skyops_p2p.wire.messages.peering import Presence
from skyops_p2p.wire.model import decode_message, encode_message

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
SCALARS = st.one_of(st.booleans(), st.integers(-(2**63), 2**64 - 1), st.binary(max_size=300), TEXT)
KEYS = st.integers(0, 2**64 - 1)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=20), st.dictionaries(KEYS, inner, max_size=20)),
    max_leaves=30,
).filter(lambda value: depth(value) <= 8)
COUNT = st.integers(0, 2**53 - 1)
BEATS = st.builds(
    Presence,
    sequence=COUNT,
    record_sequence=COUNT,
    issued_unix_ms=COUNT,
    interval_ms=st.integers(100, 86_400_000),
    slots_free=st.integers(0, 256),
    load_permille=st.integers(0, 1000),
    price_microcredits_per_hour=COUNT,
    is_leaving=st.booleans(),
)
MEMORY_BYTES_MAX = 9 * 1024 * 1024
"""What decoding one message may take at its peak. The worst: msgpack makes room for COLLECTION_ITEMS_MAX entries of 8
bytes in each array that is announced, and gives up 1,024 arrays deep."""


def depth(value: Any) -> int:
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 1 + max(map(depth, value.values()), default=0) if isinstance(value, dict) else 0


def typed(value: Any) -> Any:
    """Make True and 1 different, and the order of a map's keys count."""
    if isinstance(value, list):
        return ("array", [typed(item) for item in value])
    if isinstance(value, dict):
        return ("map", [(key, typed(item)) for key, item in value.items()])
    return (type(value).__name__, value)


def in_order(value: Any) -> Any:
    if isinstance(value, list):
        return [in_order(item) for item in value]
    return {key: in_order(value[key]) for key in sorted(value)} if isinstance(value, dict) else value


@given(VALUES)
def test_every_value_comes_back(value: Any) -> None:  # CNV-1 to CNV-3
    assert typed(canonical.decode(canonical.encode(value))) == typed(in_order(value))


@given(VALUES, VALUES)
def test_two_values_never_share_an_encoding(first: Any, second: Any) -> None:  # CNV-5
    is_same = typed(in_order(first)) == typed(in_order(second))
    assert (canonical.encode(first) == canonical.encode(second)) == is_same


@given(VALUES, st.integers(0, 10_000), st.integers(1, 255))
def test_changed_bytes_never_mean_the_same(value: Any, place: int, change: int) -> None:  # CNV-5
    data = bytearray(canonical.encode(value))
    data[place % len(data)] ^= change
    try:
        decoded = canonical.decode(bytes(data))
    except RemoteProtocolError:
        return
    assert typed(decoded) != typed(in_order(value))


@given(BEATS)
def test_every_message_comes_back(beat: Presence) -> None:  # CNV-8
    assert decode_message(Presence, encode_message(beat)) == beat


@given(BEATS, st.binary(min_size=32, max_size=32), st.from_regex(r"[a-z0-9][a-z0-9-]{0,23}", fullmatch=True))
def test_every_envelope_opens_for_its_network_only(
    beat: Presence, seed: bytes, network: str
) -> None:  # ENV-3
    key = NodeKey.from_seed(seed)
    sealed = seal(beat, key, network)
    signed = open_envelope(sealed, Presence, network)
    assert (signed.message, signed.signer) == (beat, key.peer_id)
    with pytest.raises(RemoteProtocolError) as refused:
        open_envelope(sealed, Presence, network + "x")
    assert refused.value.code == "bad_signature"


def _rows(item: bytes) -> bytes:
    """Return arrays of as many items as fit, one below the largest message."""
    row = b"\xdc" + COLLECTION_ITEMS_MAX.to_bytes(2, "big") + item * COLLECTION_ITEMS_MAX
    count = (MESSAGE_BYTES_MAX - 3) // len(row)
    return b"\xdc" + count.to_bytes(2, "big") + row * count


HOSTILE = {
    "many empty arrays": _rows(b"\x90"),
    "many empty maps": _rows(b"\x80"),
    "many empty texts": _rows(b"\xa0"),
    "many large integers": _rows(b"\xce\x7f\xff\xff\xff"),
    "many one-byte texts": _rows(b"\xa1\x80"),
    "arrays without end": b"\x91" * MESSAGE_BYTES_MAX,
    "maps without end": b"\x81\x00" * (MESSAGE_BYTES_MAX // 2),
    "array of 2^32-1": b"\xdd\xff\xff\xff\xff" + bytes(100),
    "map of 2^32-1": b"\xdf\xff\xff\xff\xff" + bytes(100),
    "text of 2^32-1": b"\xdb\xff\xff\xff\xff" + bytes(100),
    "bytes of 2^32-1": b"\xc6\xff\xff\xff\xff" + bytes(100),
    "arrays that say 1024 each": b"\xdc\x04\x00" * (MESSAGE_BYTES_MAX // 3),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_message_costs_little_memory(data: bytes) -> None:  # CNV-4
    tracemalloc.start()
    try:
        with contextlib.suppress(RemoteProtocolError):
            canonical.decode(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_BYTES_MAX
