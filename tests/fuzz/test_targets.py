"""Every fuzz target over its corpus, over former findings, and over a few mutations; the long run is `make fuzz`."""

import random

import pytest

from tests.fuzz.one import mutated
from tests.fuzz.run import FINDINGS
from tests.fuzz.targets import TARGETS, corpus, run_one

MUTATIONS = 150
ONE_OUTCOME = {"accept", "hello", "session-frame"}
"""A machine says no by its effects, and the corpus has no frame for a key of zeros."""


@pytest.mark.parametrize("target", TARGETS)
def test_target_holds_over_its_corpus_former_findings_and_mutations(target: str) -> None:
    seeds = corpus(target)
    assert len(seeds) >= 5
    seeds += [bytes.fromhex(path.read_text().strip()) for path in sorted(FINDINGS.glob(f"{target}-*.hex"))]
    source = random.Random(target)
    for data in [b"", *seeds, *(mutated(source, seeds) for _ in range(MUTATIONS))]:
        run_one(target, data)


@pytest.mark.parametrize("target", sorted(TARGETS.keys() - ONE_OUTCOME))
def test_corpus_reaches_both_outcomes(target: str) -> None:
    """A corpus that is refused at the first byte would test nothing behind it."""
    outcomes = {run_one(target, data) for data in corpus(target)}
    assert outcomes == {True, False}
