"""The specification, the code and the tests name the same rules.

A rule is a list item of a chapter that begins with its id in bold. A MUST has its id beside the check in the code
and in a test that breaks it; an id that no chapter defines is a slip of the pen.
"""

import re
import tomllib

from skyops_p2p.wire.registry import MESSAGES
from tests.repo.source_tree import ROOT, expect_none, package_sources, sources_of_tests, text_of

DEFINITION = re.compile(r"^- \*\*([A-Z]{3})-(\d+)\*\*(.*)$", re.MULTILINE)
CHAPTERS = sorted((ROOT / "protocol").glob("[0-9][0-9]*-*.md"))


def _rules() -> dict[str, str]:
    """Map each rule to its text: from its id to the next blank line or the next rule."""
    found: dict[str, str] = {}
    for chapter in CHAPTERS:
        text = chapter.read_text(encoding="utf-8")
        hits = list(DEFINITION.finditer(text))
        for hit, following in zip(hits, [*hits[1:], None], strict=True):
            end = following.start() if following else len(text)
            body = text[hit.start() : end].partition("\n\n")[0]
            found.setdefault(f"{hit[1]}-{hit[2]}", body)
    return found


RULES = _rules()
FAMILIES = sorted({rule.partition("-")[0] for rule in RULES})


def _cited(texts: list[str]) -> set[str]:
    assert FAMILIES, "no chapter defines a rule"
    pattern = re.compile(rf"\b(?:{'|'.join(FAMILIES)})-\d+\b")
    return {rule for text in texts for rule in pattern.findall(text)}


def _order(rules: set[str]) -> list[str]:
    return sorted(rules, key=lambda rule: (rule[:3], int(rule[4:])))


def test_every_must_is_enforced_and_tested() -> None:
    musts = {rule for rule, text in RULES.items() if "MUST" in text}
    code = _cited([source.text for source in package_sources()])
    tests = _cited(
        [source.text for source in sources_of_tests() if not source.path.startswith("tests/repo/")]
    )
    vectors = _cited(
        [path.read_text(encoding="utf-8") for path in (ROOT / "protocol/vectors").glob("*.json")]
    )
    expect_none(
        [f"{rule}: not in the code" for rule in _order(musts - code)]
        + [f"{rule}: in no test and no vector" for rule in _order(musts - tests - vectors)]
    )


def test_code_and_tests_cite_only_rules_that_exist() -> None:
    texts = [source.text for source in (*package_sources(), *sources_of_tests())]
    expect_none(_order(_cited(texts) - set(RULES)))


def test_rule_numbers_have_no_gaps() -> None:
    gaps = []
    for family in FAMILIES:
        numbers = sorted(int(rule[4:]) for rule in RULES if rule.startswith(family))
        gaps += [f"{family}-{n}" for n in range(1, numbers[-1]) if n not in numbers]
    expect_none(gaps)


def test_registry_and_message_list_agree() -> None:
    listed = tomllib.loads(text_of("protocol/messages.toml"))["messages"]
    assert {name: entry["number"] for name, entry in listed.items()} == {
        kind.name: number for number, kind in MESSAGES.items()
    }


def test_every_message_has_its_place_in_a_chapter() -> None:
    chapters = "\n".join(path.read_text(encoding="utf-8") for path in CHAPTERS)
    missing = [
        f"{number} {kind.name}"
        for number, kind in MESSAGES.items()
        if not re.search(rf"^#+ .*\b{re.escape(kind.name)}\b", chapters, re.MULTILINE | re.IGNORECASE)
        and not re.search(rf"^\|[^\n]*\b{number}\b[^\n]*\b{re.escape(kind.name)}\b", chapters, re.MULTILINE)
    ]
    expect_none(missing)
