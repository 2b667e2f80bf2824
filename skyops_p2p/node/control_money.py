"""The wallet's money of a node that runs in another process, over its control API."""

from urllib.parse import quote

from skyops_p2p.node.control_link import ControlLink
from skyops_p2p.node.wallet.actions import Action, ActionRequest, CancelRequest, PlanRequest
from skyops_p2p.node.wallet.purse_views import (
    ActionView,
    BalanceView,
    DisputeView,
    OrdersView,
    PlanView,
    StakeView,
)


class MoneyClient:
    """What a person does with money, done by the node that holds the wallet's journal.

    Args:
        link: To the node.

    Raises:
        SkyopsError: Of every method: what the node answered, or that it did not answer.
    """

    def __init__(self, link: ControlLink) -> None:
        self._link = link

    def act(self, request: ActionRequest) -> ActionView:
        """Have an act carried out as far as it goes; the same request again goes on."""
        return ActionView.model_validate(
            self._link.call("POST", "/v1/money/acts", request.model_dump(mode="json"))
        )

    def plan(self, action: Action) -> PlanView:
        """Return what an act would do."""
        asked = PlanRequest(action=action).model_dump(mode="json")
        return PlanView.model_validate(self._link.call("POST", "/v1/money/plan", asked))

    def balance(self) -> BalanceView:
        """Return all money of the wallet."""
        return BalanceView.model_validate(self._link.call("GET", "/v1/money/balance"))

    def stake(self) -> StakeView:
        """Return its stake."""
        return StakeView.model_validate(self._link.call("GET", "/v1/money/stake"))

    def dispute(self, dispute: str) -> DisputeView:
        """Return how a dispute stands; its id is 64 hex digits."""
        return DisputeView.model_validate(
            self._link.call("GET", f"/v1/money/disputes/{quote(dispute, safe='')}")
        )

    def orders(self) -> OrdersView:
        """Return the transactions that have not ended."""
        return OrdersView.model_validate(self._link.call("GET", "/v1/money/orders"))

    def cancel(self, key: str) -> OrdersView:
        """Have one that waits do nothing; return what waits then."""
        asked = CancelRequest(key=key).model_dump(mode="json")
        return OrdersView.model_validate(self._link.call("POST", "/v1/money/orders/cancel", asked))
