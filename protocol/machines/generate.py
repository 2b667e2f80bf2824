"""Draw every state machine of skyops_p2p/core from its table, as a Mermaid state diagram: `make machines`.

The table is the truth; a test compares the drawings with it.
"""

import importlib
import inspect
import pkgutil
import sys
from collections import defaultdict
from enum import Enum
from pathlib import Path

from skyops_p2p import core
from skyops_p2p.core.machine import Machine

HERE = Path(__file__).resolve().parent


def machines() -> dict[str, type[Machine[Enum]]]:
    """Find the machines, by the place of their file in core/: "presence", "auction-worker"."""
    found: dict[str, type[Machine[Enum]]] = {}
    prefix = f"{core.__name__}."
    for module in pkgutil.walk_packages(core.__path__, prefix):
        loaded = importlib.import_module(module.name)
        place = module.name.removeprefix(prefix).replace(".", "-")
        for _, kind in inspect.getmembers(loaded, inspect.isclass):
            is_machine = issubclass(kind, Machine) and "TRANSITIONS" in vars(kind)
            if is_machine and kind.__module__ == loaded.__name__:
                name = place if place not in found else f"{place}-{kind.__name__.lower()}"
                found[name] = kind
    return found


def draw(kind: type[Machine[Enum]]) -> str:
    """Return the diagram's text."""
    arrows: dict[tuple[str, str], set[str]] = defaultdict(set)
    stays: dict[str, set[str]] = defaultdict(set)
    for (before, event), afters in kind.TRANSITIONS.items():
        for after in afters:
            if after is before:
                stays[before.name].add(event.__name__)
            else:
                arrows[before.name, after.name].add(event.__name__)
    order = [state.name for state in type(next(iter(kind.TRANSITIONS))[0])]
    lines = ["stateDiagram-v2", f"    %% {kind.__module__}.{kind.__name__}; written by `make machines`"]
    lines += [f"    state {name}" for name in order]
    for (before_name, after_name), events in sorted(
        arrows.items(), key=lambda item: (order.index(item[0][0]), order.index(item[0][1]))
    ):
        lines.append(f"    {before_name} --> {after_name} : {', '.join(sorted(events))}")
    for name in order:
        if stays[name]:
            lines.append(f"    note right of {name} : may stay on {', '.join(sorted(stays[name]))}")
    return "\n".join(lines) + "\n"


def pages() -> dict[Path, str]:
    """Return what every diagram file must hold."""
    found = {HERE / f"{name}.mmd": draw(kind) for name, kind in machines().items()}
    listing = "\n".join(
        f"- [{path.stem}]({path.name}): {_duty(kind)}"
        for path, kind in zip(found, machines().values(), strict=True)
    )
    intro = (
        "# State machines\n\nDrawn from the tables in `skyops_p2p/core` by `make machines`; the table is the truth,\n"
        "and a test compares. Any other pair of state and event is refused and changes nothing. The files are\n"
        "[Mermaid](https://mermaid.js.org/) state diagrams.\n\n"
    )
    return {HERE / "README.md": intro + listing + "\n", **found}


def _duty(kind: type[Machine[Enum]]) -> str:
    module = inspect.getdoc(sys.modules[kind.__module__]) or ""
    return " ".join(module.partition("\n\n")[0].split())


def main() -> None:
    """Write the diagrams and delete those whose machine is gone."""
    wanted = pages()
    for path in HERE.glob("*.mmd"):
        if path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
