"""What workers ask for: class, count, mode, load, cost, and lists."""

from typing import cast

import pytest

from skyops_p2p.core.auction.capacity import Device, Supply
from skyops_p2p.core.auction.class_index import class_index_milli
from skyops_p2p.core.auction.prices import (
    PRICE_MAX,
    CostFloorPricing,
    FixedPriceList,
    PriceAsk,
    checked_quote,
)
from skyops_p2p.types import MicroCredits
from skyops_p2p.wire.messages.auction import ModeName
from skyops_p2p.wire.messages.peering import GpuPart
from tests.unit.core.auction.test_capacity import LARGE, NOTHING, SMALL, needs

A100 = tuple(Device(gpu.uuid, gpu) for gpu in LARGE)
RTX3060 = (Device(SMALL.uuid, SMALL),)
SUPPLY = Supply((*A100, *RTX3060), cpu_cores=16, memory_mib=64_000, disk_mib=1000, slots=4)
CREDIT = MicroCredits(1_000_000)


def ask(devices: tuple[Device, ...] = RTX3060, **changes: object) -> PriceAsk:
    fields = {
        "needs": NOTHING,
        "mode": "commit",
        "duration_s_max": 3600,
        "price_max": 100_000_000,
        "price_floor": 0,
        "devices": devices,
        "supply": SUPPLY,
        "utilisation_permille": 0,
    }
    return PriceAsk(**{**fields, **changes})  # type: ignore[arg-type]  # the changes are named by each test


def test_the_class_sets_the_price() -> None:
    pricing = CostFloorPricing(rate=CREDIT)
    assert pricing.quote(ask(RTX3060)) == 1_000_000
    assert pricing.quote(ask(A100)) == 2 * 6_100_000


@pytest.mark.parametrize(
    ("mode", "price"), [("priority", 1_500_000), ("commit", 1_000_000), ("flex", 600_000)]
)
def test_the_mode_sets_the_price(mode: ModeName, price: int) -> None:
    assert CostFloorPricing(rate=CREDIT).quote(ask(mode=mode)) == price


def test_what_is_scarce_is_dearer() -> None:
    pricing = CostFloorPricing(rate=CREDIT, full_permille=1400)
    prices = [pricing.quote(ask(utilisation_permille=load)) for load in (0, 500, 1000)]
    assert prices == [1_000_000, 1_200_000, 1_400_000]


def test_nothing_is_sold_below_cost() -> None:
    pricing = CostFloorPricing(rate=CREDIT, cost=MicroCredits(900_000))
    assert pricing.quote(ask(mode="flex")) == 900_000
    assert pricing.quote(ask(mode="commit")) == 1_000_000


def test_nobody_bids_below_the_floor_of_the_tender() -> None:
    pricing = CostFloorPricing(rate=CREDIT)
    assert pricing.quote(ask(price_floor=3_000_000)) == 3_000_000
    assert pricing.quote(ask(price_floor=500_000)) == 1_000_000


def test_the_setting_is_the_price_of_the_best_gpu_of_an_idle_machine() -> None:
    pricing = CostFloorPricing.of_machine(CREDIT, SUPPLY)
    assert CREDIT <= cast("int", pricing.quote(ask(A100[:1]))) <= CREDIT + 10
    bare = Supply((), cpu_cores=16, memory_mib=64_000, disk_mib=0, slots=1)
    whole = ask((), supply=bare, needs=needs(cpu_cores=16))
    assert CostFloorPricing.of_machine(CREDIT, bare).quote(whole) == CREDIT


def test_a_job_without_gpus_pays_the_larger_of_its_shares() -> None:
    pricing = CostFloorPricing(rate=CREDIT)
    assert pricing.quote(ask((), needs=needs(cpu_cores=4))) == 250_000
    assert pricing.quote(ask((), needs=needs(cpu_cores=4, memory_mib=32_000))) == 500_000
    assert pricing.quote(ask((), needs=needs(cpu_cores=99))) == 1_000_000


def test_rounding_is_in_favour_of_the_worker() -> None:
    assert CostFloorPricing(rate=MicroCredits(1)).quote(ask(mode="flex")) == 1


def test_a_list_is_taken_as_it_stands() -> None:
    prices = FixedPriceList(
        per_gpu={"a100": MicroCredits(7), "A100-SXM4-80GB": MicroCredits(9)}, machine=MicroCredits(100)
    )
    assert prices.quote(ask(A100, utilisation_permille=1000, price_floor=50)) == 18
    assert prices.quote(ask(RTX3060)) is None
    assert prices.quote(ask((), needs=needs(cpu_cores=4))) == 25


def test_a_list_may_have_a_price_for_all_others_and_none_for_a_mode() -> None:
    prices = FixedPriceList(per_gpu={}, other_gpu=MicroCredits(5), modes={"flex": 500})
    assert prices.quote(ask(mode="flex")) == 3
    assert prices.quote(ask(mode="commit")) is None
    assert prices.quote(ask((), mode="flex")) is None


class Foreign:
    """A strategy that says what it likes."""

    def __init__(self, price: object) -> None:
        self.price = price

    def quote(self, ask: PriceAsk) -> MicroCredits | None:
        return cast("MicroCredits", self.price)


@pytest.mark.parametrize("price", [1.5, -1, True, "7", None, PRICE_MAX + 1])
def test_a_price_that_no_bid_can_say_is_no_price(price: object) -> None:
    assert checked_quote(Foreign(price), ask()) is None


@pytest.mark.parametrize("price", [0, PRICE_MAX])
def test_any_other_price_is_taken(price: int) -> None:
    assert checked_quote(Foreign(price), ask()) == price


def test_an_unknown_gpu_is_judged_by_its_memory() -> None:
    def unknown(vram_mib: int) -> int:
        return class_index_milli(GpuPart(model="Mystery", vram_mib=vram_mib, compute_capability="", uuid=""))

    assert [unknown(vram) for vram in (0, 12_288, 24_576, 2**24)] == [100, 1000, 2000, 12_600]
