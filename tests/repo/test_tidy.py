"""The style of the source, read from its syntax trees: one test per rule, which lists every breach of it.

Exceptions are listed here by path, each with its reason; one that is no longer needed fails a test too.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.repo.source_tree import (
    PACKAGE,
    ROOT,
    Source,
    dotted,
    expect_none,
    functions,
    package_sources,
    sources,
    sources_of_tests,
    text_of,
    tracked_files,
    with_parents,
)

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
POSITIONAL_MAX = 4

BROAD_EXCEPT_ALLOWED: dict[str, str] = {
    "skyops_p2p/adapters/libp2p/": "foreign code raises anything; it is contained here",
    "skyops_p2p/cli/main.py": "the process edge: one line for the person instead of a traceback",
    "skyops_p2p/simulation/network.py": "its port contains a broken validator, as the libp2p adapter does",
    "skyops_p2p/simulation/requests.py": "its port contains a broken request server, as the adapter does",
    "skyops_p2p/simulation/streams_served.py": "its port contains a broken stream server, as the adapter does",
    "skyops_p2p/node/pricing.py": "a price strategy that is a plug-in is foreign code; it costs a bid at most",
    "skyops_p2p/adapters/wasm/child/job.py": "the edge of a process: the node hears of what nobody expected",
    "skyops_p2p/crypto/wallet.py": "coincurve reports a failed recovery as a plain Exception",
}
"""Path prefix -> why a broad `except` may stand there."""

BROAD = {"Exception", "BaseException"}
NOT_TEXT = (".png", ".gif", ".gz", ".bin", ".svg", ".wasm")


def test_files_have_at_most_400_lines() -> None:
    lengths = {source.path: source.text.count("\n") for source in sources()}
    expect_none({path: lines for path, lines in lengths.items() if lines > FILE_LINES_MAX}.items())


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_functions_have_at_most_60_lines() -> None:
    lengths = {f"{s}:{f.lineno} {f.name}": _body_lines(f) for s in sources() for f in functions(s.tree)}
    expect_none({name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES_MAX}.items())


def _is_click_command(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(word in ast.dump(mark) for mark in function.decorator_list for word in ("option", "argument"))


def test_functions_have_at_most_four_positional_parameters() -> None:
    wide = []
    for source in package_sources():
        for function in functions(source.tree):
            names = [arg.arg for arg in (*function.args.posonlyargs, *function.args.args)]
            count = len(names) - (names[:1] in (["self"], ["cls"]))
            if count > POSITIONAL_MAX and not _is_click_command(function):  # click passes options by name
                wide.append(f"{source}:{function.lineno} {function.name}")
    expect_none(wide)


def test_modules_say_what_they_own() -> None:
    expect_none([str(source) for source in package_sources() if not ast.get_docstring(source.tree)])


def _caught(node: ast.expr | None) -> set[str]:
    parts = node.elts if isinstance(node, ast.Tuple) else [node] if node else []
    return {dotted(part).removeprefix("builtins.") for part in parts}


def _is_broad(node: ast.AST) -> bool:
    if isinstance(node, ast.ExceptHandler):
        last = node.body[-1]
        is_reraised = isinstance(last, ast.Raise) and last.exc is None
        return not is_reraised and (node.type is None or bool(_caught(node.type) & BROAD))
    if isinstance(node, ast.Call) and dotted(node.func).endswith("suppress"):
        return any(_caught(argument) & BROAD for argument in node.args)
    return False


def _broad(found: tuple[Source, ...]) -> list[str]:
    return [f"{s}:{getattr(n, 'lineno', 0)}" for s in found for n in ast.walk(s.tree) if _is_broad(n)]


def test_errors_are_caught_by_name() -> None:
    expect_none([place for place in _broad(sources()) if not place.startswith(tuple(BROAD_EXCEPT_ALLOWED))])


def test_allowances_for_broad_excepts_are_still_needed() -> None:
    places = _broad(sources())
    expect_none([prefix for prefix in BROAD_EXCEPT_ALLOWED if not any(p.startswith(prefix) for p in places)])


def test_no_error_is_swallowed_without_a_word() -> None:
    silent = [
        f"{source}:{node.lineno}"
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler) and all(isinstance(step, ast.Pass) for step in node.body)
    ]
    expect_none(silent)


VIRTUAL_TIME = re.compile(r"\b(autojump_clock|mock_clock|MockClock|run_market)\b")
UNHEARD_CLOCK = re.compile(r"usefixtures\([^)]*clock")


def _real_sleeps(source: Source) -> Iterator[str]:
    for node, above in with_parents(source.tree):
        if not isinstance(node, ast.Call) or dotted(node.func) not in {"trio.sleep", "time.sleep", "sleep"}:
            continue
        is_yielding = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
        is_polling = any(isinstance(parent, ast.While) for parent in above)
        if not is_yielding and not is_polling:
            yield f"{source}:{node.lineno}"


def _runs_in_virtual_time(source: Source) -> bool:
    folders = Path(source.path).parents
    conftests = {str(folder / "conftest.py") for folder in folders}
    beside = [other.text for other in sources_of_tests() if other.path in conftests]
    return any(VIRTUAL_TIME.search(text) for text in (source.text, *beside))


def test_tests_wait_for_conditions_and_do_not_sleep() -> None:
    timed = [s for s in sources_of_tests() if not _runs_in_virtual_time(s)]
    expect_none(place for source in timed for place in _real_sleeps(source))


def test_a_clock_is_an_argument() -> None:
    """pytest-trio looks for the clock among the arguments only: with `usefixtures` a test runs in real time."""
    expect_none(str(source) for source in sources_of_tests() if UNHEARD_CLOCK.search(source.text))


def test_nothing_is_left_undone() -> None:
    marks = re.compile(
        "|".join(rf"\b{a}{b}\b" for a, b in (("TO", "DO"), ("FIX", "ME"), ("XX", "X"), ("HA", "CK")))
    )
    found = [
        f"{s}:{s.text.count(chr(10), 0, hit.start()) + 1}"
        for s in sources()
        for hit in marks.finditer(s.text)
    ]
    unwritten = "NotImplemented" + "Error"
    found += [
        f"{s}:{n.lineno}"
        for s in sources()
        for n in ast.walk(s.tree)
        if isinstance(n, ast.Name) and n.id == unwritten
    ]
    expect_none(found)


def test_only_the_command_line_prints() -> None:
    quiet = [source for source in package_sources() if not source.path.startswith(f"{PACKAGE}/cli/")]
    calls = [
        (source, node) for source in quiet for node in ast.walk(source.tree) if isinstance(node, ast.Call)
    ]
    expect_none([f"{source}:{node.lineno}" for source, node in calls if dotted(node.func) == "print"])


def test_names_say_what_a_thing_does() -> None:
    vague = re.compile(r"(^|_)(utils?|helpers?|managers?)(_|$)|(Util|Helper|Manager)")
    defined = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    names = [(s, n.name) for s in package_sources() for n in ast.walk(s.tree) if isinstance(n, defined)]
    names += [(source, Path(source.path).stem) for source in sources()]
    expect_none([f"{source} {name}" for source, name in names if vague.search(name)])


def test_no_file_names_a_path_of_this_machine() -> None:
    here = {str(ROOT), sys.prefix, str(Path.home())}
    here = {place for place in here if place.count("/") > 1 and not place.startswith("/usr/")}
    foreign = re.compile(r"(?<![\w.<>-])/(?:home|Users|root)/\w+")
    found = []
    for path in tracked_files():
        if not path.endswith(NOT_TEXT):
            text = text_of(path)
            found += [f"{path}: {place}" for place in here if place in text]
            found += [f"{path}: {hit.group()}" for hit in foreign.finditer(text)]
    expect_none(found)
