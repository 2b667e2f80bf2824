"""docs/modes-and-prices.md says what the default price strategy does: its tables and its example are worked out."""

import re
from typing import get_args

from skyops_p2p.core.auction.class_index import CLASS_INDEX_MILLI
from skyops_p2p.core.auction.prices import MODE_PERMILLE, CostFloorPricing
from skyops_p2p.core.jobs.terms import FLOOR_MICROCREDITS_PER_CLASS
from skyops_p2p.core.node_filter import normalise_model
from skyops_p2p.core.settlement.prices import FEE_BP
from skyops_p2p.wire.messages.auction import ModeName
from tests.repo.source_tree import text_of
from tests.unit.core.auction.test_prices import A100, CREDIT, RTX3060, SUPPLY, ask

PAGE = " ".join(text_of("docs/modes-and-prices.md").split())


def test_the_factors_of_the_modes_are_those_of_the_code() -> None:
    told = {mode: float(factor) for mode, factor in re.findall(r"\| `(\w+)` \| ([\d.]+) times", PAGE)}
    assert set(told) == set(get_args(ModeName))
    assert told == {mode: permille / 1000 for mode, permille in MODE_PERMILLE.items()}


def test_the_classes_are_those_of_the_code() -> None:
    told = {
        normalise_model(model): float(index)
        for model, index in re.findall(r"\| ([A-Z\d ]+) \| ([\d.]+) \|", PAGE)
    }
    assert told == {model: milli / 1000 for model, milli in CLASS_INDEX_MILLI.items()}


def test_floor_and_fee_are_those_of_the_code() -> None:
    assert f"{FLOOR_MICROCREDITS_PER_CLASS / 10**6:g} credits an hour for each RTX 3060" in PAGE
    assert f"a fee of {FEE_BP / 100:g} %" in PAGE


def test_the_example_comes_out_as_printed() -> None:
    pricing = CostFloorPricing.of_machine(CREDIT, SUPPLY)
    prices = {mode: pricing.quote(ask(A100[:1], mode=mode)) or 0 for mode in MODE_PERMILLE}
    told = "a `priority` job on it pays {priority:g} credits an hour, `commit` {commit:g}, `flex` {flex:g}"
    assert told.format(**{mode: round(price / 10**6, 3) for mode, price in prices.items()}) in PAGE
    small = (pricing.quote(ask(RTX3060)) or 0) / 10**6
    assert f"1 / 6.1 = {small:.3f} credits" in PAGE
    full = (pricing.quote(ask(A100[:1], utilisation_permille=1000)) or 0) / 10**6
    assert f"and {full:.1f} on one whose scarcest resource is all claimed" in PAGE
