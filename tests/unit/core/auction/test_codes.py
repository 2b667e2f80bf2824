"""The enumerated reasons of declines, exclusions, failures and releases."""

import re
from pathlib import Path
from typing import Any

import pytest

from skyops_p2p.core.auction import codes
from skyops_p2p.core.jobs.spec import JobSpec

TABLES = {
    "decline": codes.DECLINE_CODES,
    "exclusion": codes.EXCLUSION_CODES,
    "failure": codes.FAILURE_CODES,
    "release": codes.RELEASE_CODES,
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_code_fits_the_wire_and_has_two_sentences(table: dict[str, codes.CodeText]) -> None:
    for code, text in table.items():
        assert re.fullmatch(r"[a-z_]{1,32}", code)
        assert text.meaning.endswith(".")
        assert text.change.endswith(".")
        assert text.meaning != text.change


def test_screening_codes_are_declines_and_exclusions() -> None:
    assert set(codes.SCREENING_CODES) <= set(codes.DECLINE_CODES)
    assert set(codes.SCREENING_CODES) <= set(codes.EXCLUSION_CODES)


def test_acceptance_is_no_decline() -> None:
    assert codes.ACCEPTED not in codes.DECLINE_CODES


def test_one_code_means_one_thing_in_every_table() -> None:
    meanings: dict[str, set[str]] = {}
    for table in (codes.DECLINE_CODES, codes.EXCLUSION_CODES, codes.FAILURE_CODES):
        for code, text in table.items():
            meanings.setdefault(code, set()).add(text.meaning)
    assert [code for code, texts in meanings.items() if len(texts) > 1] == []


def test_a_strangers_code_is_counted_as_other_and_explained_as_unknown() -> None:
    assert codes.known_code("vram") == "vram"
    assert codes.known_code("mallory_was_here") == codes.UNKNOWN_CODE
    assert "does not know" in codes.explain("mallory_was_here").meaning


def test_tables_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        codes.DECLINE_CODES["vram"] = codes.explain("cpu")  # type: ignore[index] # that it fails is the test


def test_every_field_that_a_code_names_is_in_the_specification() -> None:
    texts = [text.change for table in TABLES.values() for text in table.values()]
    named = {name for text in texts for name in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)", text)}
    known = set(_fields(JobSpec(image="x").model_dump(by_alias=True), ""))
    assert named - known == set()
    assert len(named) > 10


def _fields(tree: dict[str, Any], place: str) -> list[str]:
    found = []
    for name, value in tree.items():
        found.append(place + name)
        if isinstance(value, dict):
            found += _fields(value, f"{place}{name}.")
    return found


def test_the_documentation_explains_every_code_of_a_preview() -> None:
    page = (Path(__file__).parents[4] / "docs/jobs.md").read_text()
    shown = {**codes.POLICY_CODES, **codes.SCREENING_CODES}
    assert [c for c, text in shown.items() if f"| `{c}` | {text.meaning} | {text.change} |" not in page] == []
