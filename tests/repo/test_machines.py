"""The drawings in protocol/machines are those of the tables in core/, and each machine keeps its own promises."""

import runpy

from skyops_p2p.core.machine import Event, Machine
from tests.repo.source_tree import ROOT, expect_none

GENERATOR = runpy.run_path(str(ROOT / "protocol/machines/generate.py"))


def _machines() -> dict[str, type[Machine]]:
    return GENERATOR["machines"]()


def test_drawings_match_the_tables() -> None:
    wanted = GENERATOR["pages"]()
    drawn = {path: path.read_text(encoding="utf-8") for path in (ROOT / "protocol/machines").glob("*.m*d")}
    assert set(drawn) == set(wanted), "run `make machines`"
    expect_none(f"{path.name}: run `make machines`" for path, text in wanted.items() if drawn[path] != text)


def test_there_are_machines() -> None:
    assert {"handshake", "peering", "presence"} <= set(_machines())


def test_every_event_of_a_table_has_its_method() -> None:
    missing = []
    for name, kind in _machines().items():
        for _, event in kind.TRANSITIONS:
            assert issubclass(event, Event)
            words = "".join("_" + c.lower() if c.isupper() else c for c in event.__name__)
            if not hasattr(kind, "_on" + words):
                missing.append(f"{name}: _on{words}")
    expect_none(missing)


def test_every_state_is_reached_or_first() -> None:
    lost = []
    for name, kind in _machines().items():
        states = list(type(next(iter(kind.TRANSITIONS))[0]))
        reached = {state for afters in kind.TRANSITIONS.values() for state in afters}
        lost += [f"{name}: {state.name}" for state in states[1:] if state not in reached]
    expect_none(lost)
