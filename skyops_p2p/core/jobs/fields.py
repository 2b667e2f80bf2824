"""The kinds of values in a job specification: how they are read, bounded and written. Pure.

A person writes "16Gi", the model holds 17179869184. In `mode="json"` a model is dumped as a person writes it, in
`mode="python"` as integers; the canonical form is made of the latter and read with the context CANONICAL.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    ValidationInfo,
)
from pydantic_core import CoreSchema, core_schema

from skyops_p2p import limits
from skyops_p2p.core.jobs import sizes
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import PeerId

CANONICAL = {"form": "canonical"}
"""Validation context: values are the integers of the canonical form."""
TEXT = {"form": "text"}
"""Validation context: values come from a file or over the control API, where no secret may stand."""

_BIG = 2**53 - 1
"""JavaScript reads it exactly; the bound of sizes and of microcredits."""
_CONTENT = re.compile(r"[A-Za-z0-9]{1,128}(/[^\s\x00]{0,512})?")
_OUTPUT_OF = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}(/(?!\.\.?(/|$))[^\s\x00/]*){0,64}")
URI_WORDS = (
    'allowed is a URI such as "file:data.csv", "ipfs://bafy…", "cid:bafy…", "job:ID" for all outputs of a job, or '
    '"job:ID/path" for one'
)
DEADLINE_WORDS = 'allowed is a point in time with its zone, such as "2027-01-31T18:00:00Z"'
PATH_WORDS = 'allowed is an absolute path without "..", such as "/data", of at most 256 characters'


class Section(BaseModel):
    """A table of a job specification: frozen, strict, unknown fields refused, values kept out of error texts."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


class Matching:
    """Annotates a text that must match a pattern as a whole.

    Args:
        pattern: A regular expression that JSON Schema understands too.
        words: What the error says, "allowed is …".
    """

    def __init__(self, pattern: str, words: str) -> None:
        self._pattern = re.compile(pattern)
        self._words = words

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Any:
        return handler(schema) | {"pattern": f"^{self._pattern.pattern}$"}

    def _check(self, text: str) -> str:
        if not self._pattern.fullmatch(text):
            raise ValueError(self._words)
        return text


def form_of(info: ValidationInfo) -> str:
    """Return which form is being read: "canonical", "text", or "" for Python values."""
    return str((info.context or {}).get("form", ""))


def _number(
    read: Callable[[Any], int], kinds: tuple[type, ...], words: str, *, top: int
) -> Callable[[Any, ValidationInfo], Any]:
    """Return the validator that reads a value as people write it; `words` say what is allowed."""

    def check(value: Any, info: ValidationInfo) -> Any:
        if form_of(info) == "canonical":
            return value
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(words)
        number = read(value)
        if number > top:
            raise ValueError(f"{words}; this is too much")
        return number

    return check


def _deadline(value: Any, info: ValidationInfo) -> Any:
    if form_of(info) == "canonical" or value is None:
        return value
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError(DEADLINE_WORDS) from error
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(DEADLINE_WORDS)
    try:
        return round(value.timestamp()) * 1000
    except (OverflowError, ValueError) as error:
        raise ValueError(DEADLINE_WORDS) from error


def _deadline_text(unix_ms: int | None) -> str | None:
    if unix_ms is None:
        return None
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat().replace("+00:00", "Z")


def _path(text: str) -> str:
    parts = text.split("/")
    if not text.startswith("/") or len(text) > 256 or ".." in parts or "\0" in text or text.strip("/") == "":
        raise ValueError(PATH_WORDS)
    return "/" + "/".join(part for part in parts if part not in ("", "."))


def _uri(text: str) -> str:
    scheme, _, rest = text.partition(":")
    checks = {
        "file": lambda: rest.strip("/") != "" and "\0" not in rest and len(rest) <= 1024,
        "ipfs": lambda: rest.startswith("//") and _CONTENT.fullmatch(rest[2:]) is not None,
        "cid": lambda: _CONTENT.fullmatch(rest) is not None,
        "job": lambda: _OUTPUT_OF.fullmatch(rest) is not None,
    }
    if scheme not in checks or not checks[scheme]():
        raise ValueError(URI_WORDS)
    return text


def _word(text: str) -> str:
    if "\0" in text or len(text) > limits.JOB_TEXT_CHARS_MAX:
        raise ValueError(f"allowed is a text of at most {limits.JOB_TEXT_CHARS_MAX} characters without NUL")
    return text


def _peer(text: str) -> str:
    try:
        peer_id_to_bytes(PeerId(text))
    except RemoteProtocolError as error:
        raise ValueError('allowed is a whole peer id, "12D3KooW…"; `skyops map --json` shows them') from error
    return text


_SIZE_INPUT = Annotated[str, Field(pattern=r"^\d+(\.\d+)?\s*([kKmMgGtT][iI]?)?[bB]?$", examples=["16Gi"])]
_DURATION_INPUT = Annotated[str, Field(pattern=r"^(\d+d)?(\d+h)?(\d+m)?(\d+s)?$", examples=["2h30m"])] | int

Size = Annotated[
    int,
    Field(ge=0, le=_BIG),
    BeforeValidator(
        _number(sizes.parse_size, (str,), sizes.SIZE_WORDS, top=_BIG), json_schema_input_type=_SIZE_INPUT
    ),
    PlainSerializer(sizes.size_text, return_type=str, when_used="json"),
]
"""Bytes; written "16Gi"."""
Duration = Annotated[
    int,
    Field(ge=0, le=limits.JOB_DURATION_S_MAX),
    BeforeValidator(
        _number(sizes.parse_duration, (str, int), sizes.DURATION_WORDS, top=limits.JOB_DURATION_S_MAX),
        json_schema_input_type=_DURATION_INPUT,
    ),
    PlainSerializer(sizes.duration_text, return_type=str, when_used="json"),
]
"""Seconds; written "2h30m"."""
Credits = Annotated[
    int,
    Field(ge=0, le=_BIG),
    BeforeValidator(
        _number(
            lambda value: sizes.parse_millionths(value, sizes.CREDITS_WORDS),
            (str, int, float),
            sizes.CREDITS_WORDS,
            top=_BIG,
        ),
        json_schema_input_type=str | float,
    ),
    PlainSerializer(sizes.millionths_text, return_type=str, when_used="json"),
]
"""Microcredits; written "1.25" credits."""
Share = Annotated[
    int,
    Field(ge=0, le=sizes.MICRO),
    BeforeValidator(
        _number(
            lambda value: sizes.parse_millionths(value, sizes.SHARE_WORDS),
            (str, int, float),
            sizes.SHARE_WORDS,
            top=sizes.MICRO,
        ),
        json_schema_input_type=str | Annotated[float, Field(ge=0, le=1)],
    ),
    PlainSerializer(sizes.millionths_text, return_type=str, when_used="json"),
]
"""Millionths; written 0.25."""
Deadline = Annotated[
    int | None,
    BeforeValidator(
        _deadline,
        json_schema_input_type=Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None,
    ),
    PlainSerializer(_deadline_text, when_used="json"),
]
"""Unix ms, whole seconds; written as RFC 3339 text."""
SandboxPath = Annotated[str, AfterValidator(_path)]
"""A path as the job sees it."""
Uri = Annotated[str, AfterValidator(_uri)]
"""Where data comes from or goes to."""
Word = Annotated[str, AfterValidator(_word)]
"""One argument, or the value of one variable."""
PeerText = Annotated[str, AfterValidator(_peer)]
"""A peer id in base58."""
VariableName = Annotated[
    str,
    Matching(
        r"(?!SKYOPS_)[A-Za-z_][A-Za-z0-9_]{0,127}",
        "allowed is a name of letters, digits and underscores that does not begin with SKYOPS_",
    ),
]
"""The name of an environment variable; those that begin with SKYOPS_ are set by the worker."""
JobReference = Annotated[
    str,
    Matching(
        r"[a-z0-9][a-z0-9_-]{0,63}", "allowed is a job's id or name: lower-case letters, digits, - and _"
    ),
]
"""Another job, by id or by its name in the same graph."""
Region = Annotated[
    str,
    Matching(r"[a-z0-9-]{1,16}", 'allowed is a region code of lower-case letters and digits, such as "eu"'),
]
Label = Annotated[str, Matching(r"[^\s]{1,64}", 'allowed is a label such as "tier=gold", without spaces')]
Host = Annotated[
    str,
    Matching(
        r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9.-]{0,252})(:[0-9]{1,5})?",
        'allowed is a host with or without a port, such as "data.example.org:443" or "*.example.org"',
    ),
]
"""A host that the job may connect to."""
