"""Message models: frozen, strict pydantic classes whose fields carry their numbers on the wire.

A message is a canonical map: key 0 holds the message's number, each other key a field's number. An absent
optional field is absent from the map; there is no null. Spec: protocol/00-conventions.md, "Messages".
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.limits import COLLECTION_ITEMS_MAX, MESSAGE_BYTES_MAX
from skyops_p2p.wire import canonical


@dataclass(frozen=True, slots=True)
class N:
    """The number of a field on the wire, 1 to 255, never reused within its model."""

    number: int


PeerBytes = Annotated[bytes, Field(min_length=34, max_length=42)]
"""A binary peer id: a multihash of the public key (38 bytes for Ed25519)."""
Bytes16 = Annotated[bytes, Field(min_length=16, max_length=16)]
Bytes20 = Annotated[bytes, Field(min_length=20, max_length=20)]
Bytes32 = Annotated[bytes, Field(min_length=32, max_length=32)]
Signature64 = Annotated[bytes, Field(min_length=64, max_length=64)]
"""Ed25519 (RFC 8032)."""
Signature65 = Annotated[bytes, Field(min_length=65, max_length=65)]
"""Recoverable secp256k1: r, s, v with v 27 or 28 and low s (EIP-2)."""
Instant = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""Unix milliseconds; below 2^53 so that JavaScript reads it exactly."""
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
Name = Annotated[str, Field(max_length=64)]


@dataclass(frozen=True, slots=True)
class _FieldOnWire:
    """What decoding needs to know of a field."""

    name: str
    part: "type[Part] | None"
    """The class of the field's maps, or of the maps in its array."""
    is_plain: bool
    """Whether the field is neither a map nor an array."""


class Part(BaseModel):
    """A numbered map inside a message."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    _by_number: ClassVar[dict[int, "_FieldOnWire"]]
    """In ascending order, so that encoding need not sort."""
    _names: ClassVar[dict[int, str]]
    """The same numbers, with nothing but the name."""
    _nested: ClassVar[tuple["_FieldOnWire", ...]]
    """The fields that are not plain."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Collect the field numbers and refuse a missing or doubled one at import."""
        super().__pydantic_init_subclass__(**kwargs)
        by_number: dict[int, _FieldOnWire] = {}
        for name, info in cls.model_fields.items():
            numbers = [item.number for item in info.metadata if isinstance(item, N)]
            if len(numbers) != 1 or numbers[0] in by_number or not 1 <= numbers[0] <= 255:
                raise TypeError(f"{cls.__name__}.{name} needs one wire number of its own, 1 to 255")
            part = _part_of(info.annotation)
            is_plain = part is None and not _is_array(info.annotation)
            by_number[numbers[0]] = _FieldOnWire(name, part, is_plain)
        cls._by_number = dict(sorted(by_number.items()))
        cls._names = {number: field.name for number, field in cls._by_number.items()}
        cls._nested = tuple(field for field in cls._by_number.values() if not field.is_plain)

    def to_wire(self) -> dict[int, Any]:
        """Return the numbered map, ready for canonical encoding."""
        values = self.__dict__
        wire = {}
        for number, field in self._by_number.items():
            value = values[field.name]
            if value is not None:
                wire[number] = value if field.is_plain else _to_wire(value)
        return wire

    @classmethod
    def from_wire(cls, value: object) -> Self:
        """Validate a decoded map.

        Raises:
            RemoteProtocolError: Code `malformed`: not a map, an unknown number, or a field out of bounds.

        Rules: CNV-8.
        """
        try:
            # With all maps in it named, so that one call validates the whole tree.
            validated: Self = cls.__pydantic_validator__.validate_python(_named(cls, value))
            return validated
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            # Only the place and the kind of the error: a peer's bytes and its field values are not repeated.
            where = ".".join(str(part) for part in (cls.__name__, *first["loc"]))
            raise RemoteProtocolError(f"{where}: {first['type']}", code="malformed", rule="CNV-8") from error


class Message(Part):
    """A top-level message. `number` and `name` are fixed for ever in protocol/messages.toml."""

    number: ClassVar[int]
    name: ClassVar[str]
    bytes_max: ClassVar[int] = MESSAGE_BYTES_MAX
    """Longest encoding; only stored documents that no stream carries whole raise it. Rules: CNV-4."""
    items_max: ClassVar[int] = COLLECTION_ITEMS_MAX
    """Most entries of one array or map in it. Rules: CNV-4."""


AnyMessage = TypeVar("AnyMessage", bound=Message)


def encode_message(message: Message) -> bytes:
    """Encode a message canonically, its number under key 0."""
    return canonical.encode({0: message.number, **message.to_wire()}, items_max=message.items_max)


def decode_message(kind: type[AnyMessage], data: bytes, *, bytes_max: int | None = None) -> AnyMessage:
    """Decode a message of a known kind; `bytes_max` is the kind's own if it is not given.

    Raises:
        RemoteProtocolError: `malformed`, `oversized`, `non_canonical` or `wrong_type` (another number).

    Rules: CNV-4, CNV-5, CNV-8.
    """
    limit = kind.bytes_max if bytes_max is None else bytes_max
    fields = decode_fields(data, bytes_max=limit, items_max=kind.items_max)
    if fields.pop(0) != kind.number:
        raise RemoteProtocolError(f"expected {kind.name}", code="wrong_type", rule="CNV-8")
    return kind.from_wire(fields)


def decode_fields(
    data: bytes, *, bytes_max: int = MESSAGE_BYTES_MAX, items_max: int = COLLECTION_ITEMS_MAX
) -> dict[int, Any]:
    """Decode to the numbered map; key 0 is there and holds the message number.

    Raises:
        RemoteProtocolError: As `decode_message`.

    Rules: CNV-8.
    """
    fields = canonical.decode(data, bytes_max=bytes_max, items_max=items_max)
    if not isinstance(fields, dict) or type(fields.get(0)) is not int:
        raise RemoteProtocolError("not a message map with its number", code="malformed", rule="CNV-8")
    return fields


def _to_wire(value: Any) -> Any:
    if isinstance(value, Part):
        return value.to_wire()
    if isinstance(value, tuple):
        return [_to_wire(item) for item in value]
    return value


def _named(kind: type[Part], value: object) -> dict[str, Any]:
    """Turn numbers into names, also in the maps of nested parts, and arrays into tuples."""
    if not isinstance(value, dict):
        raise RemoteProtocolError(f"{kind.__name__} is not a map", code="malformed", rule="CNV-8")
    names = kind._names
    try:
        named = {names[number]: item for number, item in value.items()}
    except KeyError as error:
        raise RemoteProtocolError(
            f"{kind.__name__} has no such field", code="malformed", rule="CNV-8"
        ) from error
    for field in kind._nested:
        item, part = named.get(field.name), field.part
        if type(item) is list:
            if part is not None:
                item = [_named(part, each) if type(each) is dict else each for each in item]
            named[field.name] = tuple(item)
        elif type(item) is dict and part is not None:
            named[field.name] = _named(part, item)
    return named


def _is_array(annotation: Any) -> bool:
    """Tell whether an annotation such as `tuple[Name, ...]` or `tuple[Name, ...] | None` admits an array."""
    return get_origin(annotation) is tuple or any(map(_is_array, getattr(annotation, "__args__", ())))


def _part_of(annotation: Any) -> type[Part] | None:
    """Find the Part class inside an annotation such as `tuple[GpuPart, ...]` or `HardwarePart | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _part_of(argument)
        if found is not None:
            return found
    return None
