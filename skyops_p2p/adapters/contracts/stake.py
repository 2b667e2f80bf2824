"""The port StakeCheck over NodeRegistry; an answer is believed for STAKE_KEPT_S."""

from collections import OrderedDict
from collections.abc import Callable

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.contracts.parameters import Parameter, Parameters
from skyops_p2p.adapters.contracts.registry import NodeRegistry
from skyops_p2p.crypto.wallet import address_to_bytes
from skyops_p2p.types import WalletAddress


class RegistryStake:
    """Asks NodeRegistry; what is below the least stake, unbonding or slashed does not suffice.

    Args:
        registry: Where stakes are.
        parameters: Where the least stake is.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        registry: NodeRegistry,
        parameters: Parameters,
        *,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._registry = registry
        self._parameters = parameters
        self._clock = clock
        self._answers: OrderedDict[WalletAddress, tuple[bool, float]] = OrderedDict()
        """{wallet: (answer, until when)}, oldest first"""

    async def is_sufficient(self, wallet: WalletAddress) -> bool:
        """Return whether the wallet holds at least the network's minimum stake; see the port."""
        known = self._answers.get(wallet)
        if known is not None and self._clock() < known[1]:
            return known[0]
        node = await self._registry.node(address_to_bytes(wallet))
        found = node.stake >= await self._parameters.value(Parameter.STAKE_LEAST)
        self._answers.pop(wallet, None)
        self._answers[wallet] = (found, self._clock() + limits.STAKE_KEPT_S)
        if len(self._answers) > limits.STAKES_KEPT_MAX:
            self._answers.popitem(last=False)
        return found
