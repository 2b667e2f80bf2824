"""Redeems vouchers, and has holdbacks released: one transaction at a time, named in the store before it is sent.

What is redeemed when is decided in core/settlement/batching.py. While the chain is away, redemption waits; a failure is
followed by a pause that doubles.
"""

import logging
from collections.abc import Callable, Sequence

import trio

from skyops_p2p import limits
from skyops_p2p.core.chain.endings import confirmed
from skyops_p2p.core.chain.transaction import Outcome
from skyops_p2p.core.settlement.batching import Batch, BatchRules, Claim, cost_bps, is_worth, plan
from skyops_p2p.core.settlement.funds import RedemptionQuote
from skyops_p2p.errors import ChainError, ChainRefusal, SkyopsError, StoreError
from skyops_p2p.node.settlement.payee_pair import PayeePair
from skyops_p2p.node.settlement.settlement_views import QuoteView, SettledView
from skyops_p2p.node.settlement.tools import PayTools
from skyops_p2p.ports import Store
from skyops_p2p.wire.messages.settlement import Voucher

log = logging.getLogger(__name__)

_VALUE = "redemption"
"""Name of the store's value with the transaction that is under way."""


class Batcher:
    """Redeems for one worker.

    Args:
        tools: Of the node.
        store: Keeps the name of what is under way.
        pairs: Returns the worker's pairs.
    """

    def __init__(self, tools: PayTools, store: Store, pairs: Callable[[], Sequence[PayeePair]]) -> None:
        rules = tools.rules
        self._tools = tools
        self._store = store
        self._pairs = pairs
        self._rules = BatchRules(
            round(rules.redeem_interval_s * 1000), rules.unsecured_max_wei, rules.redeem_cost_bps_max
        )
        self._turn = trio.Lock()
        """Held while a transaction is under way."""
        self._woken = trio.Event()
        self._rests_until: dict[bytes, float] = {}
        """Monotonic; by requester, at most PAIRS_MAX: when its holdback is looked at again."""
        self._nursery: trio.Nursery | None = None
        self.trouble = ""
        """Why the last round failed; empty if it did not."""

    def wake(self) -> None:
        """Look at once."""
        self._woken.set()

    async def run(self) -> None:
        """Redeem when it is time, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            async with self._turn:
                await self._resume()
            await self._redeem_when_due()

    async def _redeem_when_due(self) -> None:
        pause_s = limits.REDEEM_LOOK_S
        while True:
            try:
                await self._round()
            except (ChainError, StoreError) as error:
                if not self.trouble:
                    log.warning("redemption_waits code=%s", error.code)
                self.trouble = f"{error.message} ({error.code})"
                pause_s = min(2 * pause_s, limits.REDEEM_BACKOFF_S_MAX)
                await trio.sleep(pause_s)
                continue
            self.trouble, pause_s = "", limits.REDEEM_LOOK_S
            with trio.move_on_after(limits.REDEEM_LOOK_S):
                await self._woken.wait()
            self._woken = trio.Event()

    async def quote(self) -> QuoteView:
        """Return what redeeming everything now would bring, and what it would cost.

        Raises:
            ChainError: The chain cannot be asked.
        """
        batch = self._plan(is_asked=True)
        vouchers = self._vouchers(batch)
        if not vouchers:
            return QuoteView(
                vouchers=0,
                credited_wei=0,
                gas=0,
                fee_wei=0,
                cost_bps=0,
                is_worth=False,
                releases=len(batch.release),
            )
        found = await self._tools.money.quote(vouchers)
        price = await self._tools.money.coin_price()
        bps = cost_bps(found, price)
        return QuoteView(
            vouchers=len(vouchers),
            credited_wei=found.credited,
            gas=found.gas,
            fee_wei=found.fee_wei,
            cost_bps=bps,
            is_worth=bps <= self._rules.cost_bps_max,
            releases=len(batch.release),
        )

    async def settle(self) -> SettledView:
        """Redeem everything now, whatever it costs, and wait until that has ended; it goes on if nobody waits any more.

        Raises:
            ChainError: It could not be sent, or the contract refused it.
            StoreError: It could not be written down.
        """
        assert self._nursery is not None, "asked before it runs"
        send, receive = trio.open_memory_channel[SettledView | SkyopsError](1)
        self._nursery.start_soon(self._settle_for, send)
        answer = await receive.receive()
        if isinstance(answer, SkyopsError):
            raise answer
        return answer

    async def _settle_for(self, answer: "trio.MemorySendChannel[SettledView | SkyopsError]") -> None:
        try:
            answer.send_nowait(await self._settle())
        except SkyopsError as error:
            log.warning("settlement_failed code=%s", error.code)
            answer.send_nowait(error)

    async def _settle(self) -> SettledView:
        async with self._turn:
            batch = self._plan(is_asked=True)
            vouchers = self._vouchers(batch)
            outcomes = [await self._redeem(vouchers)] if vouchers else []
            transaction = "0x" + outcomes[0].transaction_hash.hex() if outcomes else ""
            released = [await self._release(requester) for requester in batch.release]
            outcomes += [outcome for outcome in released if outcome is not None]
            return SettledView(
                vouchers=len(vouchers),
                transaction_hash=transaction,
                releases=len(outcomes) - bool(transaction),
                fee_wei=sum(outcome.fee_wei for outcome in outcomes),
            )

    async def _round(self) -> None:
        async with self._turn:
            batch = self._plan()
            vouchers = self._vouchers(batch)
            if vouchers and await self._is_worth(batch, vouchers):
                await self._redeem(vouchers)
            for requester in batch.release:
                await self._release_if_worth(requester)

    async def _release_if_worth(self, requester: bytes) -> None:
        """Have a holdback credited unless that costs too much: then it comes with the pair's next redemption.

        Raises:
            ChainError: The chain cannot be asked.
        """
        now = trio.current_time()
        if now < self._rests_until.get(requester, now):
            return
        self._rests_until[requester] = now + limits.REDEEM_BACKOFF_S_MAX
        money = self._tools.money
        try:
            found = await money.quote_release(requester)
        except ChainRefusal as refusal:
            log.info("holdback_not_released code=%s reason=%s", refusal.code, refusal.message)
            return
        if cost_bps(found, await money.coin_price()) <= self._rules.cost_bps_max:
            await self._release(requester)

    async def _release(self, requester: bytes) -> Outcome | None:
        """Have a holdback credited; None if the contract refuses it, for a dispute, say, which holds nothing else up.

        Raises:
            ChainError: The chain cannot be asked.
        """
        key = f"release/{requester.hex()}/{self._tools.ledger.now_ms()}"
        try:
            await self._tools.money.release(key, requester)
            outcome = confirmed(await self._tools.money.wait(key))
        except ChainRefusal as refusal:
            log.info("holdback_not_released code=%s reason=%s", refusal.code, refusal.message)
            return None
        self._look_at([requester])
        return outcome

    async def _is_worth(self, batch: Batch, vouchers: Sequence[Voucher]) -> bool:
        """Ask what it brings: never below break-even, unless the money would leave."""
        if batch.is_urgent:
            return True
        found: RedemptionQuote = await self._tools.money.quote(vouchers)
        return is_worth(found, batch, self._rules, await self._tools.money.coin_price())

    async def _redeem(self, vouchers: Sequence[Voucher]) -> Outcome:
        key = f"redeem/{self._tools.ledger.now_ms()}"
        await self._store.set_value(_VALUE, key.encode())
        await self._tools.money.redeem(key, vouchers)
        log.info("redemption_sent vouchers=%d", len(vouchers))
        return await self._wait(key, [voucher.requester for voucher in vouchers])

    async def _wait(self, key: str, requesters: Sequence[bytes]) -> Outcome:
        """Wait for the end of a redemption.

        Raises:
            ChainError: Nobody knows of it, or it changed nothing.
        """
        outcome = await self._tools.money.wait(key)
        await self._store.set_value(_VALUE, b"")
        confirmed(outcome)
        for pair in self._pairs():
            if pair.terms.requester in requesters:
                pair.note_redeemed()
                self._tools.tell("payment", pair.peer, "its voucher was redeemed")
        return outcome

    async def _resume(self) -> None:
        """Wait for what was under way when the node stopped."""
        try:
            stored = await self._store.value(_VALUE)
            if stored:
                await self._wait(stored.decode(), [pair.terms.requester for pair in self._pairs()])
        except (
            ChainError,
            StoreError,
        ) as error:  # one that nobody knows never got so far: the next one replaces it
            log.info("redemption_unknown code=%s", error.code)

    def _plan(self, *, is_asked: bool = False) -> Batch:
        claims = [_claim(pair) for pair in self._pairs() if pair.funds is not None]
        return plan(claims, self._rules, now_unix_ms=self._tools.ledger.now_ms(), is_asked=is_asked)

    def _vouchers(self, batch: Batch) -> list[Voucher]:
        newest = {pair.terms.requester: pair.account.voucher for pair in self._pairs()}
        found = [newest.get(requester) for requester, _ in batch.redeem]
        return [voucher for voucher in found if voucher is not None]

    def _look_at(self, requesters: Sequence[bytes]) -> None:
        for pair in self._pairs():
            if pair.terms.requester in requesters:
                pair.look_now()


def _claim(pair: PayeePair) -> Claim:
    funds = pair.funds
    assert funds is not None
    unit = pair.terms.unit_wei
    covered = min(pair.unredeemed_wei, funds.allotted + funds.shared) // unit * unit
    return Claim(
        requester=pair.terms.requester,
        unredeemed_wei=covered,
        unsecured_wei=min(pair.unsecured_wei, covered),
        since_unix_ms=pair.unredeemed_since_unix_ms,
        is_asked=pair.is_redemption_asked,
        held_wei=funds.held,
        held_until_unix_s=funds.held_until_unix_s,
    )
