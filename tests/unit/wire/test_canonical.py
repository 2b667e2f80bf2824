"""The canonical encoding: every legal value comes back, every other input has its code."""

from typing import Any

import msgpack
import pytest

from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.limits import COLLECTION_ITEMS_MAX, MESSAGE_BYTES_MAX, NESTING_DEPTH_MAX
from skyops_p2p.wire import canonical


def refused_code(data: bytes, **options: int) -> str:
    with pytest.raises(RemoteProtocolError) as refused:
        canonical.decode(data, **options)
    assert refused.value.rule.startswith("CNV-")
    return refused.value.code


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


LEGAL: list[tuple[Any, str]] = [
    (True, "c3"),
    (False, "c2"),
    (0, "00"),
    (127, "7f"),
    (128, "cc80"),
    (255, "ccff"),
    (256, "cd0100"),
    (65_536, "ce00010000"),
    (2**32, "cf0000000100000000"),
    (2**64 - 1, "cfffffffffffffffff"),
    (-1, "ff"),
    (-32, "e0"),
    (-33, "d0df"),
    (-(2**63), "d38000000000000000"),
    (b"", "c400"),
    (b"ab", "c4026162"),
    ("", "a0"),
    ("é", "a2c3a9"),
    ([], "90"),
    ([1, b"x"], "9201c40178"),
    ({}, "80"),
    ({0: 1, 5: [True]}, "8200010591c3"),
]


@pytest.mark.parametrize(("value", "encoded"), LEGAL, ids=lambda part: str(part)[:20])
def test_value_has_this_one_encoding(value: Any, encoded: str) -> None:  # CNV-1, CNV-2
    assert canonical.encode(value).hex() == encoded
    decoded = canonical.decode(bytes.fromhex(encoded))
    assert decoded == value
    assert type(decoded) is type(value)


def test_maps_are_written_in_ascending_order_and_tuples_as_arrays() -> None:  # CNV-3
    assert canonical.encode({7: (1,), 2: {9: 1, 3: 2}}) == canonical.encode({2: {3: 2, 9: 1}, 7: [1]})


MALFORMED = {
    "nothing": "",
    "cut short": "9201",
    "bytes cut short": "c403aabb",
    "bytes behind": "0101",
    "null": "c0",
    "null in an array": "91c0",
    "float 32": "ca3f800000",
    "float 64": "cb3ff0000000000000",
    "not a number": "cb7ff8000000000000",
    "reserved byte": "c1",
    "fixext 1": "d40101",
    "fixext 4 timestamp": "d6ff00000000",
    "ext 8 of no bytes": "c70001",
    "text is not utf-8": "a2c328",
    "text has a surrogate": "a3eda080",
    "overlong utf-8": "a2c080",
    "text as a key": "81a16101",
    "bytes as a key": "81c4016101",
    "negative key": "81ff01",
    "true as a key": "81c301",
    "array as a key": "819001",
    "map as a key": "818001",
    "array of 2^32-1": "ddffffffff",
    "map of 2^32-1": "dfffffffff",
    "bytes of 2^32-1": "c6ffffffff",
    "text of 2^32-1": "dbffffffff",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_outside_the_data_model_is_malformed(data: str) -> None:  # CNV-1, CNV-2
    assert refused_code(bytes.fromhex(data)) == "malformed"


NON_CANONICAL = {
    "uint 8 for 1": "cc01",
    "uint 16 for 255": "cd00ff",
    "uint 32 for 1": "ce00000001",
    "uint 64 for 1": "cf0000000000000001",
    "int 8 for 1": "d001",
    "int 8 for -1": "d0ff",
    "int 16 for -33": "d1ffdf",
    "int 64 for 1": "d30000000000000001",
    "str 8 for one letter": "d90161",
    "str 16 for one letter": "da000161",
    "bin 16 for one byte": "c5000161",
    "bin 32 for one byte": "c60000000161",
    "array 16 of one": "dc000101",
    "array 32 of one": "dd0000000101",
    "map 16 of one": "de00010001",
    "map 32 of one": "df000000010001",
    "keys descend": "8202010101",
    "keys descend inside": "81018202010101",
    "key twice": "8201010101",
    "long key": "81cc0101",
}


@pytest.mark.parametrize("data", NON_CANONICAL.values(), ids=NON_CANONICAL.keys())
def test_legal_value_in_another_encoding_is_refused(data: str) -> None:  # CNV-3, CNV-5
    assert refused_code(bytes.fromhex(data)) == "non_canonical"


def test_size_one_below_at_and_above_the_limit() -> None:  # CNV-4
    for size in (MESSAGE_BYTES_MAX - 1, MESSAGE_BYTES_MAX):
        data = canonical.encode(bytes(size - 3))
        assert len(data) == size
        assert canonical.decode(data) == bytes(size - 3)
    assert refused_code(canonical.encode(bytes(MESSAGE_BYTES_MAX - 2))) == "oversized"
    assert refused_code(b"\x92\x01\x01", bytes_max=2) == "oversized"


def test_depth_one_below_at_and_above_the_limit() -> None:  # CNV-4
    for depth in (NESTING_DEPTH_MAX - 1, NESTING_DEPTH_MAX):
        assert canonical.decode(canonical.encode(nested(depth))) == nested(depth)
    assert refused_code(msgpack.packb(nested(NESTING_DEPTH_MAX + 1))) == "malformed"
    with pytest.raises(LocalProtocolError):
        canonical.encode(nested(NESTING_DEPTH_MAX + 1))


def test_bottomless_nesting_is_malformed() -> None:  # CNV-4
    assert refused_code(b"\x91" * MESSAGE_BYTES_MAX) == "malformed"
    assert refused_code(b"\x81\x00" * (MESSAGE_BYTES_MAX // 2)) == "malformed"


def test_items_one_below_at_and_above_the_limit() -> None:  # CNV-4
    for count in (COLLECTION_ITEMS_MAX - 1, COLLECTION_ITEMS_MAX):
        assert len(canonical.decode(canonical.encode([1] * count))) == count
        assert len(canonical.decode(canonical.encode(dict.fromkeys(range(count), 1)))) == count
    count = COLLECTION_ITEMS_MAX + 1
    for value in ([1] * count, dict.fromkeys(range(count), 1)):
        assert refused_code(msgpack.packb(value)) == "malformed"
        with pytest.raises(LocalProtocolError):
            canonical.encode(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        1.5,
        2**64,
        -(2**63) - 1,
        "\ud800",
        {"a": 1},
        {-1: 1},
        {True: 1},
        {1, 2},
        object(),
        bytearray(b"x"),
    ],
    ids=lambda value: f"{type(value).__name__} {value!r}".split(" at ")[0],
)
def test_encoding_outside_the_data_model_is_our_bug(value: Any) -> None:  # CNV-2
    with pytest.raises(LocalProtocolError):
        canonical.encode(value)
