"""Carries out what a person wants done with money, each act once.

An act is asked for again and again under one key until it is done: each time the purse looks which of its
transactions the sender's journal has, and goes on behind them. So neither kill -9 of the node nor of who asks makes
anything happen twice. A step that is not needed when its turn comes is passed over.
"""

from collections.abc import Callable
from dataclasses import dataclass

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.contracts.money import ContractMoney
from skyops_p2p.adapters.contracts.refusals import explained
from skyops_p2p.core.chain.endings import confirmed
from skyops_p2p.core.chain.facts import Order
from skyops_p2p.core.chain.transaction import Ending, Outcome
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.wallet import Wallet, address_to_bytes
from skyops_p2p.errors import ChainError, ChainRefusal
from skyops_p2p.node.wallet import actions as acts
from skyops_p2p.node.wallet import dispute_steps, money_steps, stake_steps
from skyops_p2p.node.wallet.purse_views import (
    ActionView,
    BalanceView,
    DisputeView,
    OrdersView,
    PlanView,
    StakeView,
    StepState,
    StepView,
)
from skyops_p2p.node.wallet.reading import order_view, read_balance, read_dispute, read_stake
from skyops_p2p.node.wallet.steps import Step, StepTools
from skyops_p2p.node.wallet.workers import note_worker, workers_of
from skyops_p2p.ports import Store
from skyops_p2p.types import WalletAddress


@dataclass(frozen=True, slots=True)
class _Place:
    """One step of one request, as the sender's key says it."""

    request: str
    """Key of the request."""
    digest: str
    """Of the act, to tell another one under the same key."""
    index: int
    count: int
    """Steps of the act."""
    name: str

    @property
    def key(self) -> str:
        return f"wallet.{self.request}.{self.digest}.{self.index}.{self.count}.{self.name}"

    @classmethod
    def read(cls, key: str) -> "_Place | None":
        parts = key.split(".")
        if len(parts) != 6 or parts[0] != "wallet":
            return None
        return cls(parts[1], parts[2], int(parts[3]), int(parts[4]), parts[5])


class Purse:
    """The money of one wallet.

    Args:
        money: The contracts, and what sends for the wallet.
        wallet: Makes the salts of votes.
        store: Where workers with an allotment are remembered; the sender's own.
        now_unix_s: This machine's clock.
    """

    def __init__(
        self, money: ContractMoney, wallet: Wallet, store: Store, *, now_unix_s: Callable[[], int]
    ) -> None:
        self._money = money
        self._store = store
        self._tools = StepTools(money.at, wallet, money.sender.signer, money.account, now_unix_s)

    async def act(self, request: acts.ActionRequest, *, wait_s: float = limits.WALLET_WAIT_S) -> ActionView:
        """Carry out an act as far as it goes, waiting a while for its transactions.

        Args:
            request: The same again, with the same key, goes on.
            wait_s: Seconds to wait for transactions, all together.

        Raises:
            ChainRefusal: It would fail, or has failed; the code says why.
            ChainError: `key_reused` (another act has the key), or the chain cannot be asked.
            ExecutionError: `receipt_unusable`.
            StoreError: It could not be written down.
        """
        until = trio.current_time() + wait_s
        # Without the binding, which is another one a moment later.
        digest = sha256(request.action.model_dump_json(exclude={"binding"}).encode()).hex()[:16]
        known = self._known(request.key, digest)
        if known:
            outcome = await self._wait(known[-1].key, until)
            if outcome is None:
                return self._view(request, known, is_done=False)
            confirmed(outcome)
            if known[-1].index == known[-1].count - 1:
                return self._view(request, known, is_done=True)
        steps = await self._steps(request.action)
        await self._note(request.action)
        first = known[-1].index + 1 if known else 0
        for index in range(first, len(steps)):
            place = _Place(request.key, digest, index, len(steps), steps[index].name)
            order = await steps[index].make()
            if order is None:
                continue
            await self._send(place.key, order)
            known.append(place)
            outcome = await self._wait(place.key, until)
            if outcome is None:
                return self._view(request, known, steps, is_done=False)
            confirmed(outcome)
        return self._view(request, known, steps, is_done=True)

    async def plan(self, action: acts.Action) -> PlanView:
        """Show what an act would do, and send nothing.

        Raises:
            ChainError, ChainRefusal, ExecutionError: As `act`, where that can be told beforehand.
        """
        chain, account = self._tools.at.chain, self._money.sender.account
        price = (await chain.head()).base_fee_wei + await chain.suggested_tip()
        views: list[StepView] = []
        is_first = True
        for step in await self._steps(action):
            order = await step.make() if is_first else None
            if is_first and order is None:
                views.append(StepView(name=step.name, text=step.text, state="skipped"))
                continue
            gas = None
            if order is not None:
                try:
                    gas = await chain.estimate(order, sender=account)
                except ChainRefusal as refusal:
                    raise explained(refusal) from refusal
            fee = None if gas is None else gas * price
            views.append(StepView(name=step.name, text=step.text, state="open", gas=gas, fee_wei=fee))
            is_first = False
        return PlanView(kind=action.kind, steps=tuple(views), coin_wei=await chain.balance(account))

    # --- what there is ----------------------------------------------------------------------------------------------
    async def balance(self) -> BalanceView:
        """Return all money of the wallet; see reading.read_balance."""
        at = self._tools.at
        workers = await workers_of(self._store, at.settlement.account)
        return await read_balance(at, self._tools.account, workers)

    async def stake(self) -> StakeView:
        """Return the stake of the wallet; see reading.read_stake."""
        return await read_stake(self._tools.at, self._tools.account)

    async def dispute(self, dispute: bytes) -> DisputeView:
        """Return how a dispute stands, of 32 bytes; see reading.read_dispute."""
        return await read_dispute(self._tools.at, dispute, now_unix_s=self._tools.now_unix_s())

    # --- what waits -------------------------------------------------------------------------------------------------
    def orders(self) -> OrdersView:
        """Return the transactions of the wallet that have not ended."""
        sender = self._money.sender
        return OrdersView(
            wallet=sender.account,
            orders=tuple(order_view(order) for order in sender.waiting()),
            trouble=sender.last_refusal or "",
        )

    async def cancel(self, key: str) -> OrdersView:
        """Have a transaction that waits do nothing, and return what waits then.

        Args:
            key: As OrderView has it.

        Raises:
            ChainRefusal: `order_in_block`: too late.
            ChainError: `unknown_order`, `fees_too_high`, or the chain cannot be asked.
        """
        await self._money.sender.cancel(key)
        return self.orders()

    # --- within -----------------------------------------------------------------------------------------------------

    async def _steps(self, action: acts.Action) -> tuple[Step, ...]:
        tools = self._tools
        match action:
            case acts.Deposit():
                return money_steps.deposit_steps(action, tools)
            case acts.RequestWithdrawal():
                return money_steps.request_withdrawal_steps(action, tools)
            case acts.Withdraw():
                return money_steps.withdraw_steps(action, tools)
            case acts.ReturnAllotment():
                return await money_steps.return_steps(action, tools)
            case acts.Collect():
                return money_steps.collect_steps(action, tools)
            case acts.Approve():
                return money_steps.approve_steps(action, tools)
            case acts.SetOperator():
                return money_steps.set_operator_steps(action, tools)
            case acts.AddStake():
                return await stake_steps.add_stake_steps(action, tools)
            case acts.Unstake():
                return stake_steps.unstake_steps(action, tools)
            case acts.WithdrawStake():
                return stake_steps.withdraw_stake_steps(tools)
            case _:
                return await self._dispute_steps(action)

    async def _dispute_steps(self, action: acts.Action) -> tuple[Step, ...]:
        tools = self._tools
        match action:
            case acts.OpenDispute():
                return await dispute_steps.open_steps(action, tools)
            case acts.OpenJobDispute():
                return await dispute_steps.open_job_steps(action, tools)
            case acts.OpenResultDispute():
                return await dispute_steps.open_result_steps(action, tools)
            case acts.Respond():
                return await dispute_steps.respond_steps(action, tools)
            case acts.Appeal():
                return await dispute_steps.appeal_steps(action, tools)
            case acts.Enrol():
                return await dispute_steps.enrol_steps(action, tools)
            case acts.Vote():
                return await dispute_steps.vote_steps(action, tools)
            case acts.Advance():
                return await dispute_steps.advance_steps(action, tools)
            case _:
                raise AssertionError(action)

    async def _note(self, action: acts.Action) -> None:
        """Remember for whom something is set aside."""
        if isinstance(action, acts.Deposit) and action.worker is not None:
            worker = address_to_bytes(WalletAddress(action.worker))
            await note_worker(self._store, self._tools.at.settlement.account, worker)

    async def _send(self, key: str, order: Order) -> None:
        account = self._money.sender.account
        if not await self._tools.at.chain.balance(account):
            raise ChainRefusal(
                f"{account} has no coin of the chain to pay gas with",
                code="funds_missing",
                hint="Send it some ETH (0.01 is enough for hundreds of calls at 1 gwei); SKYOPS pay no gas.",
            )
        try:
            await self._money.send(key, order)
        except ChainError as error:
            # A permit that was signed at another hour: the key has this act's digest, so it is this act.
            if error.code != "key_reused":
                raise

    async def _wait(self, key: str, until: float) -> Outcome | None:
        with trio.move_on_at(until):
            return await self._money.wait(key)
        return self._money.outcome(key)

    def _known(self, request: str, digest: str) -> list[_Place]:
        """Return the steps of a request that the sender has, in their order.

        Raises:
            ChainError: `key_reused`.
        """
        places = map(_Place.read, self._money.sender.known_keys())
        found = [place for place in places if place is not None and place.request == request]
        if any(place.digest != digest for place in found):
            raise ChainError(
                f"the key {request!r} belongs to something else that was asked for",
                code="key_reused",
                hint="Leave --key away for something new; with it, repeat the same command.",
            )
        return sorted(found, key=lambda place: place.index)

    def _view(
        self, request: acts.ActionRequest, known: list[_Place], steps: tuple[Step, ...] = (), *, is_done: bool
    ) -> ActionView:
        """Show the steps that were sent; with `steps` also those that were passed over or are still to come."""
        sent = {place.index: place for place in known}
        last = max(sent, default=-1)
        views = []
        for index in range(max(last + 1, len(steps))):
            text = steps[index].text if steps else ""
            if (place := sent.get(index)) is not None:
                views.append(self._sent_view(place, text))
            elif steps:
                state: StepState = "skipped" if index < last or is_done else "open"
                views.append(StepView(name=steps[index].name, text=text, state=state))
        return ActionView(key=request.key, kind=request.action.kind, is_done=is_done, steps=tuple(views))

    def _sent_view(self, place: _Place, text: str) -> StepView:
        outcome, newest = self._money.outcome(place.key), self._money.sender.newest_hash(place.key)
        transaction = "" if newest is None else "0x" + newest.hex()
        if outcome is None or outcome.ending is not Ending.CONFIRMED:
            return StepView(name=place.name, text=text, state="waiting", transaction=transaction)
        return StepView(
            name=place.name,
            text=text,
            state="done",
            transaction=transaction,
            gas=outcome.gas_used,
            fee_wei=outcome.fee_wei,
        )
