"""Every error code that the package can raise, found in its source."""

import ast
import itertools
import re

from tests.repo.source_tree import dotted, package_sources

CODED = {
    "SkyopsError",
    "ConfigError",
    "IdentityError",
    "LocalProtocolError",
    "RemoteProtocolError",
    "NetworkError",
    "StoreError",
    "ExecutionError",
    "ChainError",
    "TestnetError",
    "AuditError",
}
RULE = re.compile(r"[A-Z]{3}-\d+")


def raised_codes() -> dict[str, set[str]]:
    """Map each code to the files that use it: defaults of the classes and `code="…"` of the calls."""
    found: dict[str, set[str]] = {}
    for source in package_sources():
        for node in ast.walk(source.tree):
            for code in _codes(node):
                found.setdefault(code, set()).add(source.path)
    return found


def _codes(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Call):
        named = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        placed = (*_before_a_rule(node.args), *_after_a_status(node.args))
        return [text for value in (*named, *placed) for text in _texts(value)]
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return [text for status, value in pairs if _is_status(status) for text in _texts(value)]
    if isinstance(node, ast.ClassDef) and any(
        dotted(base).rpartition(".")[2] in CODED for base in node.bases
    ):
        steps = [
            step for step in node.body if isinstance(step, ast.Assign) and dotted(step.targets[0]) == "code"
        ]
        return [text for step in steps for text in _texts(step.value)]
    return []


def _before_a_rule(arguments: list[ast.expr]) -> list[ast.expr]:
    """Find the code in calls such as `_refusal("no common version", "no_common_version", "HSK-3")`."""
    pairs = itertools.pairwise(arguments)
    return [first for first, second in pairs if any(RULE.fullmatch(text) for text in _texts(second))]


def _after_a_status(arguments: list[ast.expr]) -> list[ast.expr]:
    """Find the code in calls such as `_refuse(send, 401, "token_wrong", …)`."""
    return [second for first, second in itertools.pairwise(arguments) if _is_status(first)]


def _is_status(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value in range(400, 600)


def _texts(value: ast.expr) -> list[str]:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return [value.value]
    if isinstance(value, ast.IfExp):
        return [*_texts(value.body), *_texts(value.orelse)]
    return []
