"""Price strategies: the default one, plug-ins, and plug-ins that fail."""

from importlib.metadata import EntryPoint, EntryPoints
from types import SimpleNamespace

import pytest

from skyops_p2p.core.auction.prices import PriceAsk
from skyops_p2p.errors import ConfigError
from skyops_p2p.node import pricing
from skyops_p2p.types import MicroCredits

ASK: PriceAsk = SimpleNamespace()  # type: ignore[assignment]


class Fixed:
    def __init__(self, price: MicroCredits) -> None:
        self.price = price

    def quote(self, ask: PriceAsk) -> MicroCredits | None:
        return self.price


class Broken:
    def __init__(self, price: MicroCredits) -> None:
        self.price = price

    def quote(self, ask: PriceAsk) -> MicroCredits | None:
        raise ZeroDivisionError("in the plug-in")


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "tests.unit.node.test_pricing"
    points = EntryPoints(
        EntryPoint(name.lower(), f"{module}:{name}", pricing.GROUP) for name in ("Fixed", "Broken")
    )
    monkeypatch.setattr(pricing, "entry_points", lambda *, group: points.select(group=group))


def test_default_is_this_machines_price() -> None:
    assert isinstance(pricing.load_pricing("default", MicroCredits(7)), pricing.MachinePricing)


def test_plug_in_is_found_by_its_name_and_gets_the_price() -> None:
    assert pricing.load_pricing("fixed", MicroCredits(7)).quote(ASK) == 7


def test_plug_in_that_fails_costs_the_bid_and_not_the_node() -> None:
    assert pricing.load_pricing("broken", MicroCredits(7)).quote(ASK) is None


def test_unknown_strategy_is_named_with_those_that_are_there() -> None:
    with pytest.raises(ConfigError) as caught:
        pricing.load_pricing("cheap", MicroCredits(7))
    assert caught.value.code == "pricing_unknown"
    assert "broken, default, fixed" in caught.value.hint
