"""The money port in virtual time: contracts in memory, blocks that take a while, and a chain that may be away.

    bank = SimBank(block_s=2.0)
    bank.deposit(alice, 10**18)
    money = bank.open(alice)

It pays as contracts/README.md says; what comes in equals what is there and what has gone out (`check`).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio

from skyops_p2p.core.chain.transaction import Ending, Outcome
from skyops_p2p.core.settlement.amounts import wei_from_bytes
from skyops_p2p.core.settlement.funds import AccountStake, ContractSet, PairFunds, RedemptionQuote
from skyops_p2p.core.settlement.prices import redemption
from skyops_p2p.core.settlement.receipts import DisputesDomain, DoubleHistory, check_history
from skyops_p2p.core.settlement.vouchers import CUMULATIVE_BITS, digest_of
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.wallet import recover_account
from skyops_p2p.errors import ChainError, ChainRefusal
from skyops_p2p.simulation.clock import EPOCH_UNIX_MS
from skyops_p2p.types import Wei
from skyops_p2p.wire.messages.settlement import Voucher

UNIT = 10**9
GAS = 120_000
GAS_PRICE_WEI = 10**9
COIN_PRICE = 1000
CONTRACTS = ContractSet(31337, *(bytes([number]) * 20 for number in range(1, 8)))


@dataclass(slots=True)
class _Pair:
    redeemed: int = 0
    held: int = 0
    held_until_unix_s: int = 0
    allotted: int = 0
    returns_at_unix_s: int | None = None
    receipts_root: bytes = bytes(32)


@dataclass
class SimBank:
    """The contracts of a simulated network.

    Args:
        block_s: Virtual seconds until a transaction has ended.
        window_s: Virtual seconds in which a redemption may be challenged; until then its holdback waits.
    """

    block_s: float = 2.0
    window_s: int = 3600
    deposits: Counter[bytes] = field(default_factory=Counter)
    credits: Counter[bytes] = field(default_factory=Counter)
    stakes: Counter[bytes] = field(default_factory=Counter)
    """What a double history takes; no part of the money that `check` counts. All were registered at the beginning."""
    slashed: set[bytes] = field(default_factory=set)
    """Who has lost all of it for good."""
    fees: int = 0
    deposited: int = 0
    """Ever, by all."""
    sent: Counter[str] = field(default_factory=Counter)
    """Transactions by kind."""
    disputed: set[tuple[bytes, bytes]] = field(default_factory=set)
    """Pairs (requester, worker) whose holdback stays while somebody challenges it."""

    def __post_init__(self) -> None:
        self._pairs: dict[tuple[bytes, bytes], _Pair] = {}
        self._orders: dict[tuple[bytes, str], _Order] = {}
        self._there = trio.Event()
        self._there.set()

    @property
    def is_away(self) -> bool:
        """Whether the chain cannot be reached."""
        return not self._there.is_set()

    def leave(self) -> None:
        """Let nobody reach the chain, and let nothing end, until `come_back`."""
        self._there = trio.Event()

    def come_back(self) -> None:
        """End an outage."""
        self._there.set()

    async def wait_there(self) -> None:
        """Wait for the end of an outage."""
        await self._there.wait()

    def deposit(self, account: bytes, amount: int) -> None:
        """Put SKYOPS into an account's shared deposit."""
        self.deposits[account] += amount
        self.deposited += amount

    def withdraw(self, account: bytes, amount: int) -> None:
        """Take SKYOPS out of a deposit at once, as if its delay had passed."""
        assert self.deposits[account] >= amount, "more than is there"
        self.deposits[account] -= amount
        self.deposited -= amount

    def request_return(self, requester: bytes, worker: bytes, *, after_s: float) -> None:
        """Ask an allotment back."""
        self.pair(requester, worker).returns_at_unix_s = self.now_unix_s() + round(after_s)

    def pair(self, requester: bytes, worker: bytes) -> "_Pair":
        """Return a pair's money."""
        return self._pairs.setdefault((requester, worker), _Pair())

    def open(self, account: bytes) -> "SimMoney":
        """Return the port of a wallet; what it has sent outlives it."""
        return SimMoney(self, account, self._orders)

    def now_unix_s(self) -> int:
        """Return the time of the newest block."""
        return EPOCH_UNIX_MS // 1000 + int(trio.current_time())

    def block_before(self, unix_s: int) -> bytes:
        """Return the hash of the last block at or before an instant; the chain is as old as the simulation."""
        number = max(0, unix_s - EPOCH_UNIX_MS // 1000) // max(1, round(self.block_s))
        return sha256(b"block" + number.to_bytes(8, "big"))

    def check(self) -> None:
        """Raise AssertionError if money was made or lost."""
        held = sum(pair.held + pair.allotted for pair in self._pairs.values())
        there = self.deposits.total() + self.credits.total() + self.fees + held
        assert there == self.deposited, f"{there} of {self.deposited} wei are there"
        amounts = [
            *self.deposits.values(),
            *self.credits.values(),
            *(p.allotted for p in self._pairs.values()),
        ]
        assert min(amounts, default=0) >= 0, "a balance below nothing"

    def redeem(self, voucher: Voucher, worker: bytes) -> int:
        """Pay a voucher; return what is credited at once."""
        pair = self.pair(voucher.requester, worker)
        self.release(voucher.requester, worker)
        terms = CONTRACTS.pair("", voucher.requester, worker, holdback_bps=voucher.holdback_bps)
        cumulative = wei_from_bytes(voucher.cumulative, bits=CUMULATIVE_BITS)
        digest = digest_of(terms, cumulative, voucher.receipts_root)
        if recover_account(digest, voucher.signature) != voucher.requester:
            raise ChainRefusal("bad_signature", code="call_reverted")
        funds = pair.allotted + self.deposits[voucher.requester]
        paid = redemption(cumulative, pair.redeemed, funds, holdback_bps=voucher.holdback_bps, unit=UNIT)
        from_allotment = min(paid.taken, pair.allotted)
        pair.allotted -= from_allotment
        self.deposits[voucher.requester] -= paid.taken - from_allotment
        pair.redeemed += paid.taken
        pair.held += paid.held
        pair.held_until_unix_s = self.now_unix_s() + self.window_s
        pair.receipts_root = voucher.receipts_root
        self.fees += paid.fee
        self.credits[worker] += paid.credited
        return paid.credited

    def release(self, requester: bytes, worker: bytes) -> None:
        """Credit a holdback whose window has closed."""
        if (requester, worker) in self.disputed:
            raise ChainRefusal("disputed", code="call_reverted")
        pair = self.pair(requester, worker)
        if pair.held and pair.held_until_unix_s <= self.now_unix_s():
            self.credits[worker] += pair.held
            pair.held = 0


@dataclass(slots=True)
class _Order:
    ends_at: float
    perform: Callable[[], None]
    outcome: Outcome | None = None


class SimMoney:
    """Implements ports.Money; made by SimBank.open."""

    contracts = CONTRACTS

    def __init__(self, bank: SimBank, account: bytes, orders: dict[tuple[bytes, str], _Order]) -> None:
        self.account = account
        self._bank = bank
        self._orders = orders

    async def pair_funds(self, requester: bytes, worker: bytes) -> PairFunds:
        """See ports.Money."""
        await self._ask()
        pair, bank = self._bank.pair(requester, worker), self._bank
        return PairFunds(
            Wei(pair.redeemed),
            Wei(pair.held),
            Wei(pair.allotted),
            Wei(bank.deposits[requester]),
            pair.returns_at_unix_s,
            pair.held_until_unix_s,
            pair.receipts_root,
        )

    async def stake_of(self, account: bytes) -> AccountStake:
        """See ports.Money."""
        await self._ask()
        stake = self._bank.stakes[account]
        is_slashed = account in self._bank.slashed
        began = EPOCH_UNIX_MS // 1000 if stake or is_slashed else 0
        return AccountStake(Wei(stake), began, is_slashed)

    async def staked(self) -> Wei:
        """See ports.Money."""
        await self._ask()
        return Wei(self._bank.stakes.total())

    async def block_before(self, unix_s: int) -> bytes:
        """See ports.Money."""
        await self._ask()
        return self._bank.block_before(unix_s)

    async def coin_price(self) -> int:
        """See ports.Money."""
        await self._ask()
        return COIN_PRICE

    async def allot(self, key: str, worker: bytes, amount: Wei) -> None:
        """See ports.Money."""

        def perform() -> None:
            if self._bank.deposits[self.account] < amount:
                raise ChainRefusal("allotment_too_large", code="call_reverted")
            self._bank.deposits[self.account] -= amount
            self._bank.pair(self.account, worker).allotted += amount

        await self._send(key, perform)

    async def quote(self, vouchers: Sequence[Voucher]) -> RedemptionQuote:
        """See ports.Money."""
        await self._ask()
        credited = 0
        for voucher in vouchers:
            pair = self._bank.pair(voucher.requester, self.account)
            funds = pair.allotted + self._bank.deposits[voucher.requester]
            cumulative = wei_from_bytes(voucher.cumulative)
            paid = redemption(cumulative, pair.redeemed, funds, holdback_bps=voucher.holdback_bps, unit=UNIT)
            credited += paid.credited
        gas = GAS * len(vouchers)
        return RedemptionQuote(Wei(credited), gas, Wei(gas * GAS_PRICE_WEI))

    async def redeem(self, key: str, vouchers: Sequence[Voucher]) -> None:
        """See ports.Money."""

        def perform() -> None:
            for voucher in vouchers:
                self._bank.redeem(voucher, self.account)

        await self._send(key, perform)

    async def quote_release(self, requester: bytes) -> RedemptionQuote:
        """See ports.Money."""
        await self._ask()
        if (requester, self.account) in self._bank.disputed:
            raise ChainRefusal("disputed", code="call_reverted")
        held = self._bank.pair(requester, self.account).held
        return RedemptionQuote(Wei(held), GAS, Wei(GAS * GAS_PRICE_WEI))

    async def release(self, key: str, requester: bytes) -> None:
        """See ports.Money."""
        await self._send(key, lambda: self._bank.release(requester, self.account))

    async def accuse(self, key: str, history: DoubleHistory) -> bool:
        """See ports.Money."""
        await self._ask()
        if not self._bank.stakes[history.account]:
            return False
        check_history(history, DisputesDomain(CONTRACTS.chain_id, CONTRACTS.disputes))

        def perform() -> None:
            if not self._bank.stakes.pop(history.account, 0):
                raise ChainRefusal("already_proven", code="call_reverted")
            self._bank.slashed.add(history.account)

        await self._send(key, perform)
        return True

    def outcome(self, key: str) -> Outcome | None:
        """See ports.Money."""
        order = self._orders.get((self.account, key))
        return None if order is None else order.outcome

    async def wait(self, key: str) -> Outcome:
        """See ports.Money."""
        order = self._orders.get((self.account, key))
        if order is None:
            raise ChainError("nothing was sent under that name", code="unknown_order")
        await trio.sleep_until(order.ends_at)
        await self._bank.wait_there()
        if order.outcome is None:
            order.outcome = self._execute(key, order)
        return order.outcome

    def _execute(self, key: str, order: _Order) -> Outcome:
        ending = Ending.CONFIRMED
        try:
            order.perform()
        except ChainRefusal:
            ending = Ending.REVERTED
        return Outcome(key, ending, sha256(key.encode()), 1, GAS, Wei(GAS * GAS_PRICE_WEI))

    async def _send(self, key: str, perform: Callable[[], None]) -> None:
        await self._ask()
        name = (self.account, key)
        if name not in self._orders:  # once for a key
            self._bank.sent[key.partition("/")[0]] += 1
            self._orders[name] = _Order(trio.current_time() + self._bank.block_s, perform)

    async def _ask(self) -> None:
        await trio.sleep(0.05)
        if self._bank.is_away:
            raise ChainError("the simulated chain is away")
