"""The repository as the tidy tests see it: tracked files, each parsed once, when it is looked into."""

import ast
import functools
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "skyops_p2p"


@dataclass(frozen=True)
class Source:
    """One Python file: its path relative to the root, and its text."""

    path: str
    text: str

    @functools.cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree, which nobody changes."""
        return ast.parse(self.text, filename=self.path)

    def __str__(self) -> str:
        return self.path


@functools.cache
def tracked_files() -> tuple[str, ...]:
    """Name the files of the repository (tracked, or new and not ignored) that exist."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return tuple(name for name in sorted(set(listing.stdout.splitlines())) if (ROOT / name).is_file())


@functools.cache
def sources() -> tuple[Source, ...]:
    """Read every Python file of the repository."""
    return tuple(Source(name, text_of(name)) for name in tracked_files() if name.endswith(".py"))


def package_sources() -> tuple[Source, ...]:
    """Only the files of the package."""
    return tuple(source for source in sources() if source.path.startswith(f"{PACKAGE}/"))


def sources_of_tests() -> tuple[Source, ...]:
    """Only the files of the tests."""
    return tuple(source for source in sources() if source.path.startswith("tests/"))


def text_of(path: str) -> str:
    """Read a file by its path from the root."""
    return (ROOT / path).read_text(encoding="utf-8")


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """List every function, nested ones included."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def with_parents(tree: ast.AST) -> list[tuple[ast.AST, tuple[ast.AST, ...]]]:
    """List every node with its ancestors, nearest last."""
    found: list[tuple[ast.AST, tuple[ast.AST, ...]]] = []
    waiting: list[tuple[ast.AST, tuple[ast.AST, ...]]] = [(tree, ())]
    while waiting:
        node, above = waiting.pop()
        found.append((node, above))
        waiting.extend((child, (*above, node)) for child in ast.iter_child_nodes(node))
    return found


def dotted(node: ast.AST) -> str:
    """Spell an attribute chain ("trio.sleep"), or nothing if it is something else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = dotted(node.value)
        return f"{left}.{node.attr}" if left else ""
    return ""


def expect_none(breaches: Iterable[object]) -> None:
    """Fail and show every breach of a rule, one a line."""
    lines = [str(breach) for breach in breaches]
    assert not lines, f"{len(lines)} breaches:\n" + "\n".join(lines)
