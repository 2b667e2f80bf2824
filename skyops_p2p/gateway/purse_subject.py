"""What the control API needs of a node's purse; `Purse` has it, and so has the fake of the tests."""

from typing import Protocol

from skyops_p2p.node.wallet.actions import Action, ActionRequest
from skyops_p2p.node.wallet.purse_views import (
    ActionView,
    BalanceView,
    DisputeView,
    OrdersView,
    PlanView,
    StakeView,
)


class PurseSubject(Protocol):
    """The money, stake and disputes of the node's wallet. Each call may raise ChainError or ChainRefusal."""

    async def act(self, request: ActionRequest) -> ActionView:
        """Carry out an act as far as it goes; the same request again goes on."""

    async def plan(self, action: Action) -> PlanView:
        """Show what an act would do."""

    async def balance(self) -> BalanceView:
        """Return all money of the wallet."""

    async def stake(self) -> StakeView:
        """Return its stake."""

    async def dispute(self, dispute: bytes) -> DisputeView:
        """Return how a dispute stands, of 32 bytes."""

    def orders(self) -> OrdersView:
        """Return the transactions that have not ended."""

    async def cancel(self, key: str) -> OrdersView:
        """Have one that waits do nothing."""
