"""Canonical MessagePack: one value has exactly one encoding. The only module that encodes or decodes msgpack.

Values: bool, int (-2^63 to 2^64-1), bytes, str, list, and dict with unsigned int keys in ascending order.
There is no null, no float, no extension type. Spec: protocol/00-conventions.md, "Encoding". Source: the
MessagePack specification; the minimal forms are those that msgpack's packer writes.
"""

from typing import Any

import msgpack  # type: ignore[import-untyped] # it ships no annotations

from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.limits import COLLECTION_ITEMS_MAX, MESSAGE_BYTES_MAX, NESTING_DEPTH_MAX

_SCALARS = frozenset({bool, int, bytes, str})


class _Forbidden(Exception):  # noqa: N818 - never leaves this module
    """A value outside the data model."""


class _OutOfOrder(Exception):  # noqa: N818 - never leaves this module
    """A map whose keys do not ascend."""


def encode(value: object, *, items_max: int = COLLECTION_ITEMS_MAX) -> bytes:
    """Encode a value canonically; maps are written in the ascending order of their keys.

    Args:
        value: Of the types named above; tuples count as lists.
        items_max: Most entries of one array or map.

    Raises:
        LocalProtocolError: A value outside the data model or its bounds.

    Rules: CNV-1, CNV-2, CNV-3.
    """
    try:
        encoded = msgpack.packb(_in_order(value, items_max), use_bin_type=True)
    except (_Forbidden, OverflowError, UnicodeEncodeError) as error:
        raise LocalProtocolError(f"cannot be encoded: {error}") from error
    assert isinstance(encoded, bytes)
    return encoded


def decode(data: bytes, *, bytes_max: int = MESSAGE_BYTES_MAX, items_max: int = COLLECTION_ITEMS_MAX) -> Any:
    """Decode one value and insist on its canonical form.

    Args:
        data: All of the bytes; nothing may follow the value.
        bytes_max: Longest input.
        items_max: Most entries of one array or map.

    Raises:
        RemoteProtocolError: `oversized` past `bytes_max`; `malformed` if it is not MessagePack or a value is
            outside the data model or its bounds; `non_canonical` if it does not re-encode to itself.

    Rules: CNV-1 to CNV-5.
    """
    if len(data) > bytes_max:  # CNV-4
        raise RemoteProtocolError(f"longer than {bytes_max} bytes", code="oversized", rule="CNV-4")
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=False,
            max_str_len=bytes_max,
            max_bin_len=bytes_max,
            max_array_len=items_max,
            max_map_len=items_max,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.UnpackException) as error:  # TypeError: a map or list as a map key
        raise RemoteProtocolError("not MessagePack within bounds", code="malformed", rule="CNV-1") from error
    try:
        _check(value, 0, items_max)
    except _Forbidden as error:  # CNV-2, CNV-4
        raise RemoteProtocolError(str(error), code="malformed", rule="CNV-2") from error
    except _OutOfOrder as error:  # CNV-3
        raise RemoteProtocolError("map keys do not ascend", code="non_canonical", rule="CNV-3") from error
    if msgpack.packb(value, use_bin_type=True) != data:  # CNV-5; also finds doubled keys
        raise RemoteProtocolError("does not re-encode to itself", code="non_canonical", rule="CNV-5")
    return value


def _check(value: Any, depth: int, items_max: int) -> None:
    """Walk a value; the depth is at most NESTING_DEPTH_MAX, so the recursion is bounded.

    Every message that is sent or received passes here, some of them with thousands of parts: the loops are plain.
    """
    kind = type(value)
    if kind in _SCALARS:
        return
    if depth >= NESTING_DEPTH_MAX:
        raise _Forbidden(f"nested deeper than {NESTING_DEPTH_MAX}")
    if kind is dict:
        _check_map(value, depth, items_max)
        return
    if kind is not list and kind is not tuple:
        raise _Forbidden(f"{kind.__name__} is not in the data model")
    if len(value) > items_max:
        raise _Forbidden(f"more than {items_max} items")
    for item in value:
        if type(item) not in _SCALARS:
            _check(item, depth + 1, items_max)


def _check_map(value: dict[Any, Any], depth: int, items_max: int) -> None:
    if len(value) > items_max:
        raise _Forbidden(f"more than {items_max} items")
    previous = -1
    is_ascending = True
    for key in value:
        if type(key) is not int or key < 0:
            raise _Forbidden("a map key is an unsigned int")
        if key <= previous:
            is_ascending = False
        previous = key
    for item in value.values():
        if type(item) not in _SCALARS:
            _check(item, depth + 1, items_max)
    if not is_ascending:
        raise _OutOfOrder


def _in_order(value: object, items_max: int) -> Any:
    """Return the value with its maps sorted, itself if they are; or raise _Forbidden."""
    try:
        _check(value, 0, items_max)
    except _OutOfOrder:
        return _ordered(value, 0, items_max)
    return value


def _ordered(value: Any, depth: int, items_max: int) -> Any:
    """Return the value with its maps sorted, or raise _Forbidden."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if depth >= NESTING_DEPTH_MAX:
        raise _Forbidden(f"nested deeper than {NESTING_DEPTH_MAX}")
    if kind not in (list, tuple, dict):
        raise _Forbidden(f"{kind.__name__} is not in the data model")
    if len(value) > items_max:
        raise _Forbidden(f"more than {items_max} items")
    if kind is not dict:
        return [_ordered(item, depth + 1, items_max) for item in value]
    if any(type(key) is not int or key < 0 for key in value):
        raise _Forbidden("a map key is an unsigned int")
    return {key: _ordered(value[key], depth + 1, items_max) for key in sorted(value)}
