"""Benchmarks: `python -m bench` lists them, `python -m bench NAME [options]` runs one, `python -m bench all` runs
all and rewrites the tables of bench/README.md.

A benchmark is a module bench/AREA/NAME.py with `main(argv)` that prints Markdown to stdout and what it is doing to
stderr; modules that begin with an underscore are parts. Each runs in a process of its own.
"""

import ast
import importlib
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
README = HERE / "README.md"
TIMEOUT_S = 3600


def benchmarks() -> dict[str, str]:
    """Return {name: first line of its docstring}, sorted."""
    found = {}
    for path in sorted(HERE.glob("*/[a-z]*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            text = (ast.get_docstring(tree) or "").partition("\n")[0]
            found[f"{path.parent.name}.{path.stem}"] = text
    return found


def run_all(names: Sequence[str]) -> int:
    """Run benchmarks one after the other and put their output into the README; return how many failed."""
    failed = 0
    for name in names:
        started = time.monotonic()
        print(f"=== {name}", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "bench", name]
        done = subprocess.run(
            command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=False
        )
        print(f"=== {name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        if done.returncode != 0:
            print(f"=== {name} failed; its table stays as it was", file=sys.stderr)
            failed += 1
            continue
        print(done.stdout)
        README.write_text(
            with_section(README.read_text(encoding="utf-8"), name, done.stdout), encoding="utf-8"
        )
    return failed


def with_section(text: str, name: str, output: str) -> str:
    """Return the README with the section of one benchmark replaced, or appended if there is none yet."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    section = f"{begin}\n{output.strip()}\n{end}"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if pattern.search(text):
        return pattern.sub(lambda _: section, text)
    return f"{text.rstrip()}\n\n## {name}\n\n`python -m bench {name}`\n\n{section}\n"


def main(argv: Sequence[str]) -> int:
    """List, or run what is asked for."""
    known = benchmarks()
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__)
        for name, text in known.items():
            print(f"  {name:<24} {text}")
        return 0
    if argv[0] == "all":
        return run_all(argv[1:] or list(known))
    if argv[0] not in known:
        print(f"there is no benchmark {argv[0]!r}; `python -m bench` lists them", file=sys.stderr)
        return 2
    importlib.import_module(f"bench.{argv[0]}").main(list(argv[1:]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
