"""What is wrong with a job specification, in sentences: each names the field, what was found and what is allowed.

All mistakes are told at once, at most JOB_PROBLEMS_MAX. What stands under `secrets` and `env` is never repeated.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from skyops_p2p import limits
from skyops_p2p.core.jobs.encoding import encode_spec
from skyops_p2p.core.jobs.fields import TEXT
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import LocalProtocolError

_FOUND_CHARS_MAX = 80
_HIDDEN = frozenset({"secrets", "env", "secret", "environment"})
"""Tables whose values are not repeated."""
_PYTHON_WORDS = re.compile(r"a valid (string|integer|boolean|tuple|dictionary or instance of \w+|dictionary)")
_PLAIN_WORDS = {
    "string": "a text",
    "integer": "a whole number",
    "boolean": "true or false",
    "tuple": "a list",
}
"""Pydantic's words for types, and ours; what is left is a table."""
_ELSEWHERE = {
    "environment": "env",
    "secret": "secrets",
    "cmd": "command",
    "entrypoint": "entry_point",
    "gpu": "resources.gpu",
    "gpus": "resources.gpu",
    "cpu": "resources.cpu",
    "cpus": "resources.cpu",
    "memory": "resources.memory",
    "ram": "resources.memory",
    "disk": "resources.disk",
    "network": "resources.network",
    "vram": "resources.gpu.vram",
    "timeout": "timeouts.execution",
    "max_price": "price.per_hour_max",
    "regions": "placement.regions",
    "retries": "retry.attempts_max",
    "redundancy": "verification.redundancy",
}
"""Names that other systems use, and ours."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake."""

    path: tuple[str, ...]
    """Field, from the outside in; indices as text."""
    text: str
    """What was found and what is allowed, without the field's name."""

    @property
    def field(self) -> str:
        """The dotted name of the field; empty for the job as a whole."""
        return ".".join(self.path)

    def __str__(self) -> str:
        return f"{self.field}: {self.text}" if self.path else self.text


def check_spec(tree: object) -> tuple[JobSpec | None, tuple[Problem, ...]]:
    """Check a job as it was read from a file or from the control API.

    Returns:
        The specification and no problems, or None and at least one.
    """
    if not isinstance(tree, Mapping):
        return None, (
            Problem((), f"found {_kind(tree)}; allowed is a table of fields such as image and command"),
        )
    try:
        spec = JobSpec.model_validate(dict(tree), context=TEXT)
    except ValidationError as error:
        found = [problem for details in error.errors(include_url=False) for problem in _problems(details)]
        return None, tuple(dict.fromkeys(found))[: limits.JOB_PROBLEMS_MAX]
    problem = _too_large(spec)
    return (None, (problem,)) if problem else (spec, ())


def _too_large(spec: JobSpec) -> Problem | None:
    most = limits.JOB_SPEC_BYTES_MAX
    try:
        size = len(encode_spec(spec))
    except LocalProtocolError as error:  # half of a surrogate pair, which no UTF-8 has
        return Problem((), f"{error.message}; allowed is text that can be written as UTF-8")
    if size <= most:
        return None
    return Problem(
        (), f"the job takes {size} bytes in its canonical form; allowed is {most}: use inputs for data"
    )


def _problems(details: ErrorDetails) -> list[Problem]:
    """Turn one finding of pydantic into problems."""
    path = tuple(str(part) for part in details["loc"])
    kind, message, found = details["type"], details["msg"], details["input"]
    match kind:
        case "job_rules":
            lines = (line.partition("\t") for line in details["ctx"]["problems"].split("\n"))
            return [Problem(tuple(field.split(".")), text) for field, _, text in lines]
        case "extra_forbidden":
            return [Problem(path, f"there is no such field{_meant(path)}")]
        case "missing":
            return [Problem(path, "is missing; it has no default")]
        case "value_error":
            text = str(details["ctx"]["error"])
            return [
                Problem(path, f"found {_show(path, found)}; {text}" if text.startswith("allowed") else text)
            ]
        case "literal_error":
            allowed = details["ctx"]["expected"]
            close = difflib.get_close_matches(str(found), re.findall(r"'([^']*)'", allowed), n=1)
            meant = f": did you mean {close[0]!r}?" if close else ""
            return [Problem(path, f"found {_show(path, found)}; allowed is {allowed}{meant}")]
    return [Problem(path, f"found {_show(path, found)}; {_allowed(message)}")]


def _allowed(message: str) -> str:
    """Return pydantic's sentence in our words: "Input should be a valid integer" says what is allowed."""
    for beginning in ("Input should be ", "Value should be ", "String should be "):
        if message.startswith(beginning):
            return "allowed is " + _PYTHON_WORDS.sub(_plain_word, message[len(beginning) :])
    return message[:1].lower() + message[1:]


def _plain_word(found: re.Match[str]) -> str:
    return _PLAIN_WORDS.get(found[1], "a table")


def _show(path: tuple[str, ...], found: object) -> str:
    """Return a value for people; what may be a secret is only described."""
    if path and path[0] in _HIDDEN:
        return f"{_kind(found)} (not shown)"
    if isinstance(found, (Mapping, list, tuple, BaseModel)):
        return _kind(found)
    text = repr(found)
    return text if len(text) <= _FOUND_CHARS_MAX else text[:_FOUND_CHARS_MAX] + "…"


def _kind(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list() | tuple():
            return f"a list of {len(value)}"
        case Mapping():
            return "a table"
        case _:
            return f"a {type(value).__name__}"


def _meant(path: tuple[str, ...]) -> str:
    """Return ": did you mean …?" if a field of the same table is close, or other systems call one so."""
    *table, name = path
    known = _field_names(tuple(table))
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f": did you mean {'.'.join((*table, close[0]))}?"
    if name in _ELSEWHERE:
        return f": did you mean {_ELSEWHERE[name]}?"
    return f"; {'there are' if known else 'allowed is nothing'} {', '.join(known)}".rstrip() if table else ""


def _field_names(table: tuple[str, ...]) -> list[str]:
    """Return the names of the fields of a table of the specification."""
    model: type[BaseModel] | None = JobSpec
    for part in table:
        if model is None:
            return []
        if part.isdigit():
            continue
        fields = {info.alias or name: info for name, info in model.model_fields.items()}
        model = _model_in(fields[part].annotation) if part in fields else None
    return sorted(info.alias or name for name, info in model.model_fields.items()) if model else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Find the model inside an annotation such as `tuple[Input, ...]` or `Checkpoint | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)
