"""Where a node's payments are: nowhere while its contracts have never been found, and then at a desk.

A node whose chain is away at its very first start runs all the same. Until an endpoint has answered once, it neither
pays nor is paid: a priced lease is refused by its worker, and ended by its requester with `chain_unavailable`. Once the
contracts are in the store, an outage is the pairs' matter, and the desk is there from the start.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import trio

from skyops_p2p import limits
from skyops_p2p.errors import ChainError, ChainRefusal, ConfigError
from skyops_p2p.node.settlement.desk import PaymentDesk
from skyops_p2p.ports import Money
from skyops_p2p.types import Wei

log = logging.getLogger(__name__)


class PaymentOffice:
    """Finds the contracts, again and again until they are there, and then pays and is paid.

    Args:
        open_money: Opens the contracts for the node's wallet.
        make_desk: Makes the desk that works with them.
        opened: Called once, with a desk that is ready.
        changed: Takes a sentence for whoever watches the node.
    """

    def __init__(
        self,
        open_money: Callable[[], AbstractAsyncContextManager[Money]],
        make_desk: Callable[[Money], PaymentDesk],
        *,
        opened: Callable[[PaymentDesk], None],
        changed: Callable[[str], None],
    ) -> None:
        self.desk: PaymentDesk | None = None
        """Pays and is paid; None while the contracts have never been found."""
        self.trouble = ""
        """Why there is no desk, for people; empty once there is one."""
        self._open_money = open_money
        self._make_desk = make_desk
        self._opened = opened
        self._changed = changed
        self._is_late = False

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Pay and be paid until cancelled; started once there is a desk, or the chain did not answer.

        Raises:
            ChainRefusal: At the first try: there are no such contracts, or false ones.
            ConfigError: `payment_not_configured`, `chain_not_configured`, `amount_invalid`; `contracts_changed`: other
                contracts still owe this node something.
            StoreError: The journal cannot be read: nothing may be signed then.
        """
        async with AsyncExitStack() as stack:
            money = await self._find(stack, task_status)
            desk = self._make_desk(money)
            await self._restore(desk)
            async with trio.open_nursery() as nursery:
                await nursery.start(desk.run)
                self.desk, self.trouble = desk, ""
                self._opened(desk)
                if self._is_late:
                    log.info("contracts_found")
                    self._changed("the contracts are found: from now on jobs are paid")
                else:
                    task_status.started()
                await trio.sleep_forever()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the node's owner should know of its payments."""
        parts = () if self.desk is None else (self.desk.evidence, self.desk.probes)
        found = (f"nothing is paid yet: {self.trouble}",) if self.trouble else ()
        return (*found, *(text for part in parts if part is not None for text in part.warnings))

    def needed_desk(self) -> PaymentDesk:
        """Return the desk.

        Raises:
            ChainError: Code `chain_unavailable`: the contracts have not been found yet.
        """
        if self.desk is None:
            raise ChainError(
                f"the contracts have not been found yet, so nothing is paid: {self.trouble or 'looking for them'}"
            )
        return self.desk

    async def _restore(self, desk: PaymentDesk) -> None:
        """Read what the desk has promised and was promised; a late one that cannot be used is told, and waits for ever.

        Raises:
            ConfigError: `contracts_changed`.
            StoreError: It cannot be read.
        """
        try:
            await desk.restore()
        except ConfigError as error:
            if not self._is_late:
                raise
            self.trouble = f"{error.message}. {error.hint}"
            log.error("contracts_changed: %s", self.trouble)
            self._changed(self.trouble)
            await trio.sleep_forever()

    async def stake_of(self, account: bytes) -> Wei:
        """Return what a wallet (20 bytes) has at stake.

        Raises:
            ChainError: The chain cannot be asked, or its contracts have not been found.
        """
        return (await self.needed_desk().tools.money.stake_of(account)).amount

    async def _find(self, stack: AsyncExitStack, task_status: trio.TaskStatus[None]) -> Money:
        pause_s = limits.CONTRACTS_LOOK_S_MIN
        while True:
            try:
                return await stack.enter_async_context(self._open_money())
            except ChainError as error:
                if isinstance(error, ChainRefusal) and not self._is_late:
                    raise  # whoever starts the node is there to mend the settings
                self.trouble = error.message
                log.warning("contracts_not_found code=%s next_s=%g", error.code, pause_s)
            if not self._is_late:
                self._is_late = True
                self._changed(f"the chain is away and was never seen: nothing is paid yet ({self.trouble})")
                task_status.started()
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, limits.CONTRACTS_LOOK_S_MAX)
