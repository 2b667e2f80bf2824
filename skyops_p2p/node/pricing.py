"""Which price strategy a worker uses: the default one, or a plug-in of the entry point group `skyops.pricing`."""

import logging
from importlib.metadata import entry_points

from skyops_p2p.core.auction.capacity import Supply
from skyops_p2p.core.auction.prices import CostFloorPricing, PriceAsk, PriceStrategy
from skyops_p2p.errors import ConfigError
from skyops_p2p.types import MicroCredits

log = logging.getLogger(__name__)

GROUP = "skyops.pricing"
DEFAULT = "default"


class MachinePricing:
    """The default strategy, set so that this machine's best GPU costs the configured price an hour when idle.

    Args:
        price: Microcredits for one hour of the best GPU, or of the whole machine without one.
    """

    def __init__(self, price: MicroCredits) -> None:
        self._price = price
        self._inner = CostFloorPricing(rate=price)

    def follow(self, supply: Supply) -> None:
        """Take note of what the machine has."""
        self._inner = CostFloorPricing.of_machine(self._price, supply)

    def quote(self, ask: PriceAsk) -> MicroCredits | None:
        """Return the price of a bid; see PriceStrategy."""
        return self._inner.quote(ask)


def load_pricing(name: str, price: MicroCredits) -> PriceStrategy:
    """Return a worker's price strategy.

    Args:
        name: "default", or the name of an entry point of the group `skyops.pricing`: a callable that takes the
            configured price and returns a PriceStrategy.
        price: Microcredits an hour, from the configuration.

    Raises:
        ConfigError: Code `pricing_unknown`, naming those that are installed.
    """
    if name == DEFAULT:
        return MachinePricing(price)
    installed = entry_points(group=GROUP)
    if name not in installed.names:
        names = ", ".join(sorted({DEFAULT, *installed.names}))
        raise ConfigError(
            f"worker.pricing: there is no strategy {name!r}",
            code="pricing_unknown",
            hint=f"Installed are: {names}.",
        )
    return PluginPricing(name, installed[name].load()(price))


class PluginPricing:
    """A foreign strategy: whatever it raises costs a bid, not the node.

    Args:
        name: For the log.
        inner: The plug-in's strategy.
    """

    def __init__(self, name: str, inner: PriceStrategy) -> None:
        self._name = name
        self._inner = inner

    def quote(self, ask: PriceAsk) -> MicroCredits | None:
        """Return the plug-in's price; None, which is no bid, if it fails."""
        try:
            return self._inner.quote(ask)
        except Exception as error:  # noqa: BLE001 - foreign code: any error of it is its own
            log.warning("pricing_failed strategy=%s: %r", self._name, error)
            return None
