"""The canonical form of a job specification, and its digest: what a tender names and the winner is shown. Pure.

A map with text keys becomes {0: its keys, ascending; 1: their values}, lists stay lists, all numbers are integers
(bytes, seconds, microcredits, millionths, Unix ms), and an absent value is left out; the whole is canonical
MessagePack. Every default is spelt out. The values of secrets, and where their owner keeps them, are not in it.
"""

from typing import Any

from pydantic import ValidationError

from skyops_p2p import limits
from skyops_p2p.core.jobs.fields import CANONICAL
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire import canonical

DOMAIN = b"skyops/job/1"
_PRIVATE = {"secrets": {"__all__": {"source", "value"}}}


def encode_spec(spec: JobSpec) -> bytes:
    """Return the canonical form; at most JOB_SPEC_BYTES_MAX bytes for a specification that was checked."""
    return canonical.encode(_to_wire(spec.model_dump(by_alias=True, exclude_none=True, exclude=_PRIVATE)))


def decode_spec(data: bytes) -> JobSpec:
    """Read a canonical form that came from a peer.

    Raises:
        RemoteProtocolError: `oversized`, `malformed` or `non_canonical`.
    """
    tree = _from_wire(canonical.decode(data, bytes_max=limits.JOB_SPEC_BYTES_MAX))
    try:
        spec = JobSpec.model_validate(tree, context=CANONICAL)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_url=False, include_input=False)[0]["loc"])
        raise RemoteProtocolError(f"job specification: {where or 'its rules'}", code="malformed") from error
    if encode_spec(spec) != data:
        raise RemoteProtocolError("the job specification does not re-encode to itself", code="non_canonical")
    return spec


def spec_digest(spec: JobSpec) -> bytes:
    """Return the 32 bytes that a tender names: SHA-256 of "skyops/job/1" and the canonical form."""
    return sha256(DOMAIN + encode_spec(spec))


def _to_wire(value: Any) -> Any:
    if isinstance(value, dict):
        names = sorted(value)
        return {0: names, 1: [_to_wire(value[name]) for name in names]}
    if isinstance(value, (list, tuple)):
        return [_to_wire(item) for item in value]
    return value


def _from_wire(value: Any) -> Any:
    """Undo `_to_wire`; the decoder has bounded the depth."""
    if isinstance(value, list):
        return tuple(_from_wire(item) for item in value)
    if not isinstance(value, dict):
        return value
    names, values = value.get(0), value.get(1)
    if not isinstance(names, list) or not isinstance(values, list) or len(value) != 2:
        raise RemoteProtocolError("a map of a job specification is two lists", code="malformed")
    if len(names) != len(values) or not all(isinstance(name, str) for name in names):
        raise RemoteProtocolError("a map of a job specification is two lists", code="malformed")
    if names != sorted(set(names)):
        raise RemoteProtocolError("the names of a map do not ascend", code="non_canonical")
    return {name: _from_wire(item) for name, item in zip(names, values, strict=True)}
