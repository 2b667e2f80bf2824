"""What a worker asks for: the strategy object, the default one and a fixed list. Integers, microcredits an hour.

A price is for the whole bid, all its devices together; what is bid is what is paid (first price). Another strategy
comes in by an entry point of the group PRICING_GROUP, which names a `PricingFactory`; the shell loads it.
How much of the reference class a device is says `class_index`. Spec: protocol/04-auction.md, "Prices".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from skyops_p2p.core.auction.capacity import Device, Supply
from skyops_p2p.core.auction.class_index import REFERENCE_MILLI, class_index_milli
from skyops_p2p.core.node_filter import normalise_model
from skyops_p2p.types import MicroCredits
from skyops_p2p.wire.messages.auction import ModeName, Needs
from skyops_p2p.wire.messages.peering import GpuPart

PRICING_GROUP = "skyops.pricing"
"""Group of the entry points that offer a PricingFactory."""
NO_COST = MicroCredits(0)
PRICE_MAX = 2**53 - 1
"""Highest price that a bid can say."""
MODE_PERMILLE: Mapping[ModeName, int] = MappingProxyType({"priority": 1500, "commit": 1000, "flex": 600})
"""What a mode costs beside `commit`: `priority` starts at once and is never preempted, `flex` may be."""


@dataclass(frozen=True, slots=True)
class PriceAsk:
    """All that a price may depend on."""

    needs: Needs
    mode: ModeName
    duration_s_max: int
    price_max: int
    """The tender's ceiling, microcredits an hour."""
    price_floor: int
    """At or below it a bid gets the full price score, so going lower wins nothing."""
    devices: tuple[Device, ...]
    """The GPUs that would be held; empty for a job without."""
    supply: Supply
    """The whole machine."""
    utilisation_permille: int
    """Part of the scarcest resource that is claimed already, without this bid, 0 to 1000."""


class PriceStrategy(Protocol):
    """How a worker sets its prices."""

    def quote(self, ask: PriceAsk) -> MicroCredits | None:
        """Return the price of one hour of the whole bid, or None if no bid is to be made.

        A price above `ask.price_max` is no bid either.
        """
        ...


PricingFactory = Callable[[MicroCredits], PriceStrategy]
"""Makes a strategy from the setting worker.price_microcredits_per_hour."""


@dataclass(frozen=True, slots=True)
class CostFloorPricing:
    """The default: rate by class and mode, dearer when little is left, never below cost.

    price = max(cost, rate * class index * mode factor * utilisation factor), then raised to the tender's price floor:
    a lower bid would win nothing by its price, and what is bid is what is paid.
    """

    rate: MicroCredits
    """For one hour of the reference class in mode `commit` on an idle machine."""
    cost: MicroCredits = NO_COST
    """What one hour of the reference class costs the worker itself: power and wear."""
    full_permille: int = 1300
    """Utilisation factor of a full machine; an idle one has 1000, and it is linear between."""

    @classmethod
    def of_machine(cls, price: MicroCredits, supply: Supply) -> "CostFloorPricing":
        """Make a strategy whose best GPU costs `price` an hour when idle (without a GPU: the whole machine)."""
        best = max((class_index_milli(device.gpu) for device in supply.devices), default=REFERENCE_MILLI)
        return cls(rate=MicroCredits(_ceil(price * REFERENCE_MILLI, best)))

    def quote(self, ask: PriceAsk) -> MicroCredits | None:
        """See PriceStrategy; never None."""
        units_milli = class_units_milli(ask)
        load_permille = 1000 + (self.full_permille - 1000) * ask.utilisation_permille // 1000
        wanted = _ceil(self.rate * units_milli * MODE_PERMILLE[ask.mode] * load_permille, 10**9)
        cost = _ceil(self.cost * units_milli, REFERENCE_MILLI)
        return MicroCredits(max(wanted, cost, ask.price_floor))


@dataclass(frozen=True, slots=True)
class FixedPriceList:
    """Prices as they are listed, whoever asks and whatever the load."""

    per_gpu: Mapping[str, MicroCredits]
    """Part of a model name ("a100", "RTX 4090") -> an hour of one; the longest part that fits counts."""
    other_gpu: MicroCredits | None = None
    """An hour of a GPU that is not listed; None: no bid."""
    machine: MicroCredits | None = None
    """An hour of the whole machine, of which a job without GPUs pays its share; None: no bid."""
    modes: Mapping[ModeName, int] = field(
        default_factory=lambda: MappingProxyType({"priority": 1000, "commit": 1000, "flex": 1000})
    )
    """Mode -> factor in thousandths; a mode that is not there is not offered."""

    def quote(self, ask: PriceAsk) -> MicroCredits | None:
        """See PriceStrategy."""
        factor_permille = self.modes.get(ask.mode)
        if factor_permille is None:
            return None
        if ask.devices:
            prices = [self._of_gpu(device.gpu) for device in ask.devices]
            listed = [price for price in prices if price is not None]
            if len(listed) < len(prices):
                return None
            return MicroCredits(_ceil(sum(listed) * factor_permille, 1000))
        if self.machine is None:
            return None
        return MicroCredits(_ceil(self.machine * class_units_milli(ask) * factor_permille, 10**6))

    def _of_gpu(self, gpu: GpuPart) -> MicroCredits | None:
        model = normalise_model(gpu.model)
        fitting = [part for part in self.per_gpu if normalise_model(part) and normalise_model(part) in model]
        return (
            self.per_gpu[max(fitting, key=lambda part: len(normalise_model(part)))]
            if fitting
            else self.other_gpu
        )


def checked_quote(strategy: PriceStrategy, ask: PriceAsk) -> MicroCredits | None:
    """Return a strategy's price, or None for one that no bid can say: strategies may be foreign code."""
    price: object = strategy.quote(ask)
    if type(price) is not int or not 0 <= price <= PRICE_MAX:
        return None
    return MicroCredits(price)


def class_units_milli(ask: PriceAsk) -> int:
    """Return how many thousandths of the reference class a bid ties up; without GPUs, the machine's larger share."""
    if ask.devices:
        return sum(class_index_milli(device.gpu) for device in ask.devices)
    cores = _ceil(max(ask.needs.cpu_cores, 1) * REFERENCE_MILLI, max(ask.supply.cpu_cores, 1))
    memory = _ceil(ask.needs.memory_mib * REFERENCE_MILLI, max(ask.supply.memory_mib, 1))
    return min(max(cores, memory), REFERENCE_MILLI)


def _ceil(amount: int, divisor: int) -> int:
    return -(-amount // divisor)
