"""Job files: TOML, YAML or JSON to one JobSpec, with every mistake named at once by file, line and field.

Files are bounded in size, depth and number of values before anything is made of them. YAML is read by the safe
loader, without aliases (a few lines of them grow to gigabytes) and without doubled keys.
"""

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import yaml

from skyops_p2p import limits
from skyops_p2p.core.jobs.problems import Problem, check_spec
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.errors import ConfigError
from skyops_p2p.node import job_lines
from skyops_p2p.node.job_changes import Change, apply_changes

Format = Literal["toml", "yaml", "json"]
_BRACKETS_AND_STRINGS = re.compile(r'[\[\]{}]|"(?:[^"\\]|\\.)*"')
FORMATS: Mapping[str, Format] = {".toml": "toml", ".yaml": "yaml", ".yml": "yaml", ".json": "json"}
"""Ending of a file's name -> how it is read."""
_HINT = "`skyops job schema` lists all fields; `skyops job new --template train` writes a job that passes."


def read_job(path: Path, changes: Sequence[Change] = ()) -> JobSpec:
    """Read and check a job file.

    Args:
        path: Its ending says its format.
        changes: Fields to replace before it is checked.

    Raises:
        ConfigError: `job_unreadable`, `job_too_large` or `job_invalid`, which names every mistake; `set_invalid`.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise ConfigError(
            f"{path}: cannot tell what kind of file this is",
            code="job_unreadable",
            hint="A job file ends in .toml, .yaml, .yml or .json.",
        )
    try:
        with path.open("rb") as file:
            data = file.read(limits.JOB_FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read {path}: {reason}", code="job_unreadable", hint=_HINT) from error
    return parse_job(data, kind, name=str(path), changes=changes)


def parse_job(data: bytes, kind: Format, *, name: str, changes: Sequence[Change] = ()) -> JobSpec:
    """Check a job in one of the formats.

    Args:
        data: UTF-8 text.
        kind: Its format.
        name: What the mistakes are reported under, usually the file's path.
        changes: Fields to replace before it is checked.

    Raises:
        ConfigError: `job_unreadable`, `job_too_large`, `job_invalid` or `set_invalid`.
    """
    if len(data) > limits.JOB_FILE_BYTES_MAX:
        raise ConfigError(
            f"{name}: longer than {limits.JOB_FILE_BYTES_MAX} bytes",
            code="job_too_large",
            hint="Data goes into inputs.",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{name}: not UTF-8 text at byte {error.start}", code="job_unreadable", hint=_HINT
        ) from error
    document = _READERS[kind](text, name)
    spec, problems = check_spec(apply_changes(document.tree, changes))
    twice = tuple(Problem(path, "stands there twice") for path in document.layout.doubled)
    if problems or twice or spec is None:
        found = (*twice, *problems)[: limits.JOB_PROBLEMS_MAX]
        report = _report(name, found, document.layout, {field for field, _ in changes})
        raise ConfigError(report, code="job_invalid", hint=_HINT)
    return spec


@dataclass(frozen=True, slots=True)
class _Document:
    """What a reader found."""

    tree: Any
    layout: job_lines.Layout


def _report(name: str, problems: tuple[Problem, ...], layout: job_lines.Layout, changed: set[str]) -> str:
    """Return one sentence a problem, in the order of the file; fields that were changed are not in it."""
    placed = [
        (None if problem.field in changed else layout.line_of(problem.path), problem) for problem in problems
    ]
    placed.sort(key=lambda pair: pair[0] or 0)
    told = [
        f"--set {problem}"
        if problem.field in changed
        else f"{name}:{line}: {problem}"
        if line
        else f"{name}: {problem}"
        for line, problem in placed
    ]
    count = "1 field is" if len(told) == 1 else f"{len(told)} fields are"
    return "\n  ".join([f"{count} wrong:", *told])


def _read_toml(text: str, name: str) -> _Document:
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits, and absurd nesting
        raise ConfigError(f"{name}: not valid TOML: {error}", code="job_unreadable", hint=_HINT) from error
    _check_depth(tree, name)
    return _Document(tree, job_lines.toml_layout(text))


def _read_json(text: str, name: str) -> _Document:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON number")

    _bound_brackets(text, name)
    try:
        tree = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: not valid JSON: {error}", code="job_unreadable", hint=_HINT) from error
    _check_depth(tree, name)
    return _Document(tree, job_lines.json_layout(text))


def _read_yaml(text: str, name: str) -> _Document:
    trouble = ""
    try:
        _check_yaml_events(text, name)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        # Not chained: the text of a YAML error repeats the line, which may hold what must not be shown.
        trouble = _yaml_trouble(error)
    except (ValueError, OverflowError) as error:  # an impossible date, or a number of thousands of digits
        trouble = f": not valid YAML: {error}"
    if trouble:
        raise ConfigError(f"{name}{trouble}", code="job_unreadable", hint=_HINT)
    return _Document(
        {} if tree is None else tree, job_lines.yaml_layout(root) if root else job_lines.Layout()
    )


def _yaml_trouble(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "context", None) or "not readable"
    return f":{mark.line + 1}: not valid YAML: {problem}" if mark else f": not valid YAML: {problem}"


def _check_yaml_events(text: str, name: str) -> None:
    """Bound a YAML text by its events, before anything is built of it.

    Raises:
        ConfigError: `job_unreadable`: an alias, or too deep; `job_too_large`: too many values.
        yaml.YAMLError: It is no YAML.
    """
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1 if event.start_mark else 0
            raise ConfigError(
                f"{name}:{line}: aliases (*name) are not read",
                code="job_unreadable",
                hint="Write the value out.",
            )
        if depth > limits.JOB_FILE_DEPTH_MAX:
            raise _too_deep(name)
        if count > limits.JOB_FILE_ITEMS_MAX:
            raise ConfigError(
                f"{name}: more than {limits.JOB_FILE_ITEMS_MAX} values", code="job_too_large", hint=_HINT
            )


def _check_depth(tree: Any, name: str) -> None:
    """Bound the nesting of what TOML or JSON gave; the walk itself does not recurse."""
    waiting = [(tree, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > limits.JOB_FILE_DEPTH_MAX + 1:
            raise _too_deep(name)
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        waiting.extend((item, depth + 1) for item in inner)


def _bound_brackets(text: str, name: str) -> None:
    """Refuse text nested too deeply before a parser recurses into it: C code may run out of stack on it.

    Brackets inside strings do not count; a string that never ends is the parser's affair.
    """
    depth = 0
    for found in _BRACKETS_AND_STRINGS.finditer(text):
        mark = found.group()
        depth += (mark in "[{") - (mark in "]}")
        if depth > limits.JOB_FILE_DEPTH_MAX + 1:
            raise _too_deep(name)


def _too_deep(name: str) -> ConfigError:
    return ConfigError(
        f"{name}: nested deeper than {limits.JOB_FILE_DEPTH_MAX}", code="job_unreadable", hint=_HINT
    )


_READERS: Mapping[Format, Callable[[str, str], _Document]] = {
    "toml": _read_toml,
    "yaml": _read_yaml,
    "json": _read_json,
}
