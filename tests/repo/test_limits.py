"""Every bound in limits/ says in a sentence what it bounds, and bounds something."""

import ast
import itertools
import re
from collections import Counter

from skyops_p2p import limits
from tests.repo.source_tree import PACKAGE, Source, expect_none, package_sources, text_of

_WORD = re.compile(r"\b[A-Z][A-Z0-9_]+\b")
NAMES = sorted(name for name in vars(limits) if name.isupper())


def _own() -> list[Source]:
    """The modules of the bounds."""
    return [source for source in package_sources() if source.path.startswith(f"{PACKAGE}/limits/")]


def _documented() -> set[str]:
    return {
        step.targets[0].id
        for body in (ast.parse(source.text).body for source in _own())
        for step, following in itertools.pairwise(body)
        if isinstance(step, ast.Assign)
        and isinstance(step.targets[0], ast.Name)
        and isinstance(following, ast.Expr)
        and isinstance(following.value, ast.Constant)
    }


def test_every_limit_is_used() -> None:
    own = {source.path for source in _own()}
    words: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for source in package_sources():
        words[source.path in own].update(_WORD.findall(source.text))
    expect_none(name for name in NAMES if not words[False][name] and words[True][name] == 1)


def test_every_limit_is_on_the_page() -> None:
    page = set(_WORD.findall(text_of("docs/limits.md")))
    expect_none(sorted(_documented() - page))


def test_every_limit_has_a_sentence_below_it() -> None:
    expect_none(sorted(set(NAMES) - _documented()))


def test_limits_are_positive_numbers() -> None:
    values = {name: getattr(limits, name) for name in NAMES}
    assert {
        name: value for name, value in values.items() if not isinstance(value, int | float) or value <= 0
    } == {}
