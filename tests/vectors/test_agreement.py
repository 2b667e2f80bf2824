"""Both decoders agree about inputs that are not stored: all bounds of all fields, and mutated vectors."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.limits import FRAME_BYTES_MAX
from skyops_p2p.wire import canonical
from skyops_p2p.wire.envelope import open_envelope
from skyops_p2p.wire.model import Message, decode_message
from tests.vectors import message_cases, schema
from tests.vectors import second_wire as wire
from tests.vectors.examples import examples
from tests.vectors.notation import named_fields, written
from tests.vectors.second_crypto import RefusedError
from tests.vectors.test_vectors import cases

ENCODED = [bytes.fromhex(case["bytes"]) for family in ("canonical", "messages") for case in cases(family)]
ENVELOPES = [(bytes.fromhex(case["bytes"]), case["message"]) for case in cases("envelopes")]
FORM = frozenset({"malformed", "non_canonical"})
"""Where an input is wrong in several ways, the specification leaves open which of the two is said."""


def attempt(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except (RemoteProtocolError, RefusedError) as refused:
        return "form" if refused.code in FORM else refused.code


def mutate(data: bytes, edits: list[tuple[int, int, int]]) -> bytes:
    changed = bytearray(data)
    for place, action, value in edits:
        at = place % (len(changed) + 1)
        if action == 0:
            changed[at:at] = bytes([value])
        elif action == 1:
            del changed[at : at + 1 + value % 4]
        else:
            changed[at : at + 1] = bytes([value])
    return bytes(changed)


EDITS = st.lists(
    st.tuples(st.integers(0, 2000), st.integers(0, 2), st.integers(0, 255)), min_size=1, max_size=4
)


def _groups() -> dict[str, list[tuple[str, bytes, bool]]]:
    groups: dict[str, list[tuple[str, bytes, bool]]] = {}
    for name, message, data, is_legal in message_cases.boundary_cases():
        groups.setdefault(message, []).append((name, data, is_legal))
    return groups


BOUNDARIES = _groups()


@pytest.mark.parametrize("message", BOUNDARIES)
def test_every_field_below_at_and_above_its_bounds(message: str) -> None:  # CNV-8
    kind = schema.kind_of(message)
    assert len(BOUNDARIES[message]) >= 4
    for name, data, is_legal in BOUNDARIES[message]:
        first = attempt(
            lambda data: named_fields(decode_message(kind, data, bytes_max=FRAME_BYTES_MAX)), data
        )
        second = attempt(wire.message, data, message, FRAME_BYTES_MAX)
        assert (first != "form", second != "form") == (is_legal, is_legal), name


@given(st.sampled_from(ENCODED), EDITS)
def test_mutated_encodings(data: bytes, edits: list[tuple[int, int, int]]) -> None:  # CNV-1 to CNV-5
    changed = mutate(data, edits)
    first = attempt(lambda data: written(canonical.decode(data)), changed)
    assert first == attempt(lambda data: written(wire.decode(data)), changed)


SCALARS = st.one_of(st.booleans(), st.integers(-2, 2**54), st.binary(max_size=70), st.text(max_size=70))
STRANGE = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=6,
)
"""Legal values that a field does not expect."""


@given(st.sampled_from(examples()), st.dictionaries(st.integers(1, 17), STRANGE, min_size=1, max_size=3))
def test_strange_fields(message: Message, strange: dict[int, Any]) -> None:  # CNV-8
    data = attempt(canonical.encode, {0: message.number, **message.to_wire()} | strange)
    first = attempt(lambda data: named_fields(decode_message(type(message), data)), data)
    second = attempt(wire.message, data, message.name)
    assert written(_plain(first)) == written(_plain(second))


def _plain(value: Any) -> Any:
    """Make maps and tuples lists, so that the results can be compared by type."""
    if isinstance(value, dict):
        return [[name, _plain(item)] for name, item in sorted(value.items())]
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


@given(st.binary(max_size=64))
def test_random_bytes(data: bytes) -> None:  # CNV-1 to CNV-5
    first = attempt(lambda data: written(canonical.decode(data)), data)
    assert first == attempt(lambda data: written(wire.decode(data)), data)


@given(st.sampled_from(ENVELOPES), EDITS)
def test_mutated_envelopes(
    case: tuple[bytes, str], edits: list[tuple[int, int, int]]
) -> None:  # ENV-2 to ENV-8
    data, name = mutate(case[0], edits), case[1]
    kind = schema.kind_of(name)
    first = attempt(lambda data: open_envelope(data, kind, "testnet-4f2a").signer, data)
    assert first == attempt(lambda data: wire.envelope(data, name, "testnet-4f2a")[1], data)
