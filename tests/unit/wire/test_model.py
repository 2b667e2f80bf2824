"""Message models: numbers on the wire, strict fields, and coded refusals."""

from typing import Annotated, Any, ClassVar

import pytest
from pydantic import Field

from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire import canonical
from skyops_p2p.wire.messages.peering import PeersReply, Ping, Presence, ProbeReply, RecordReply
from skyops_p2p.wire.model import Message, N, Part, decode_fields, decode_message, encode_message

BEAT = Presence(
    sequence=7,
    record_sequence=3,
    issued_unix_ms=1_700_000_000_000,
    interval_ms=30_000,
    slots_free=1,
    load_permille=0,
    price_microcredits_per_hour=1_000_000,
    is_leaving=False,
)


def refused_code(kind: type[Message], value: object) -> str:
    with pytest.raises(RemoteProtocolError) as refused:
        decode_message(kind, canonical.encode(value))
    return refused.value.code


def beat_map(**changes: Any) -> dict[int, Any]:
    fields = {0: 3, 1: 7, 2: 3, 3: 1_700_000_000_000, 4: 30_000, 5: 1, 6: 0, 7: 1_000_000, 8: False}
    return fields | {int(key[1:]): value for key, value in changes.items()}


def test_message_is_a_map_of_numbers() -> None:  # CNV-8
    assert canonical.decode(encode_message(BEAT)) == beat_map()
    assert decode_message(Presence, encode_message(BEAT)) == BEAT


def test_absent_optional_field_is_absent_from_the_map() -> None:  # CNV-8
    assert canonical.decode(encode_message(RecordReply(presence=b"x"))) == {0: 15, 2: b"x"}
    assert decode_message(RecordReply, encode_message(RecordReply())) == RecordReply()


def test_nested_parts_come_back() -> None:  # CNV-8
    reply = {0: 19, 1: [{1: bytes(38), 2: ["/ip4/127.0.0.1/tcp/1"]}, {1: bytes(34), 2: []}]}
    message = decode_message(PeersReply, canonical.encode(reply))
    assert message.peers[0].addrs == ("/ip4/127.0.0.1/tcp/1",)
    assert canonical.decode(encode_message(message)) == reply


@pytest.mark.parametrize("value", [[], 3, b"x", {}, {1: 1}, {0: True}, {0: b"\3"}], ids=repr)
def test_what_is_no_numbered_map_is_malformed(value: object) -> None:  # CNV-8
    assert refused_code(Presence, value) == "malformed"


def test_another_number_is_wrong_type() -> None:  # CNV-8
    assert refused_code(Presence, beat_map(f0=4)) == "wrong_type"
    assert decode_fields(canonical.encode({0: 999}))[0] == 999


REFUSED_FIELDS = {
    "unknown field": {"f9": 1},
    "below its bound": {"f4": 99},
    "above its bound": {"f6": 1001},
    "past 2^53-1": {"f3": 2**53},
    "negative": {"f1": -1},
    "bool for int": {"f1": True},
    "text for int": {"f1": "7"},
    "int for bool": {"f8": 0},
    "array for int": {"f1": [7]},
    "map for int": {"f1": {}},
}


@pytest.mark.parametrize("changes", REFUSED_FIELDS.values(), ids=REFUSED_FIELDS.keys())
def test_field_out_of_bounds_is_malformed(changes: dict[str, Any]) -> None:  # CNV-8
    assert refused_code(Presence, beat_map(**changes)) == "malformed"


def test_missing_field_is_malformed() -> None:  # CNV-8
    fields = beat_map()
    del fields[8]
    assert refused_code(Presence, fields) == "malformed"


@pytest.mark.parametrize(
    "item", [1, b"x", [], {}, {1: bytes(38)}, {1: bytes(38), 2: [], 3: 1}, {1: 5, 2: []}], ids=repr
)
def test_wrong_nested_part_is_malformed(item: object) -> None:  # CNV-8
    assert refused_code(PeersReply, {0: 19, 1: [item]}) == "malformed"
    if item != []:
        assert refused_code(PeersReply, {0: 19, 1: item}) == "malformed"


def test_refusal_does_not_repeat_the_peers_bytes() -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        decode_message(Ping, canonical.encode({0: 10, 1: "MARKER"}))
    assert "MARKER" not in str(refused.value)


def test_messages_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        BEAT.sequence = 8  # type: ignore[misc] # the point of the test


def test_size_limit_of_the_caller_counts() -> None:  # CNV-4
    data = encode_message(ProbeReply(is_alive=True))
    assert decode_message(ProbeReply, data, bytes_max=len(data)).is_alive
    with pytest.raises(RemoteProtocolError) as refused:
        decode_message(ProbeReply, data, bytes_max=len(data) - 1)
    assert refused.value.code == "oversized"


def test_field_without_a_number_or_with_anothers_is_refused_at_import() -> None:
    with pytest.raises(TypeError, match="number"):

        class Nameless(Part):
            field: int

    with pytest.raises(TypeError, match="number"):

        class Twice(Part):
            first: Annotated[int, N(1)]
            second: Annotated[int, N(1)]

    with pytest.raises(TypeError, match="number"):

        class Large(Part):
            first: Annotated[int, N(256)]


def test_fields_are_written_by_number_whatever_their_order_in_the_class() -> None:  # CNV-3
    class Backwards(Message):
        number: ClassVar[int] = 60_000
        name: ClassVar[str] = "backwards"
        second: Annotated[int, Field(ge=0), N(2)]
        first: Annotated[int, N(1)]

    assert encode_message(Backwards(second=2, first=1)).hex() == "8300cdea6001010202"
