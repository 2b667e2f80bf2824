"""Every bound in limits.py says in a sentence what it bounds, and bounds something."""

import ast
import itertools
import re

from skyops_p2p import limits
from tests.repo.source_tree import PACKAGE, expect_none, package_sources, text_of

NAMES = sorted(name for name in vars(limits) if name.isupper())


def _documented() -> set[str]:
    body = ast.parse(text_of(f"{PACKAGE}/limits.py")).body
    return {
        step.targets[0].id
        for step, following in itertools.pairwise(body)
        if isinstance(step, ast.Assign)
        and isinstance(step.targets[0], ast.Name)
        and isinstance(following, ast.Expr)
        and isinstance(following.value, ast.Constant)
    }


def test_every_limit_is_used() -> None:
    elsewhere = "\n".join(
        source.text for source in package_sources() if not source.path.endswith("/limits.py")
    )
    own = text_of(f"{PACKAGE}/limits.py")
    unused = [
        n for n in NAMES if not re.search(rf"\b{n}\b", elsewhere) and len(re.findall(rf"\b{n}\b", own)) == 1
    ]
    expect_none(unused)


def test_every_limit_has_a_sentence_below_it() -> None:
    expect_none(sorted(set(NAMES) - _documented()))


def test_limits_are_positive_numbers() -> None:
    values = {name: getattr(limits, name) for name in NAMES}
    assert {
        name: value for name, value in values.items() if not isinstance(value, int | float) or value <= 0
    } == {}
