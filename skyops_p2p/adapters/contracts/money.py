"""The port Money over the contracts, and what the commands about money need besides.

Orders go through the Sender: once for a key, journalled, ended when they end. What a contract refuses is said in words
before anything is sent.
"""

from collections.abc import Sequence

from skyops_p2p import limits
from skyops_p2p.adapters.contracts.finding import Contracts
from skyops_p2p.adapters.contracts.parameters import Parameter
from skyops_p2p.adapters.contracts.refusals import explained
from skyops_p2p.adapters.contracts.settlement import voucher_tuple
from skyops_p2p.adapters.contracts.stake import RegistryStake
from skyops_p2p.core.chain.endings import confirmed
from skyops_p2p.core.chain.facts import Order
from skyops_p2p.core.chain.searching import BlockSearch
from skyops_p2p.core.chain.transaction import Outcome
from skyops_p2p.core.settlement.contract_facts import StakeState
from skyops_p2p.core.settlement.funds import AccountStake, ContractSet, PairFunds, RedemptionQuote
from skyops_p2p.core.settlement.receipts import DoubleHistory
from skyops_p2p.crypto.wallet import address_from_bytes, address_to_bytes
from skyops_p2p.errors import ChainError, ChainRefusal
from skyops_p2p.ports import Sender
from skyops_p2p.types import Wei
from skyops_p2p.wire.messages.settlement import Voucher


class ContractMoney:
    """The contracts of one network, used by one wallet; see the port. Opened by `open_money`.

    Args:
        at: The contracts.
        sender: Sends for the wallet.
    """

    def __init__(self, at: Contracts, sender: Sender) -> None:
        self.at = at
        """What asks the contracts and makes orders for them."""
        self.stake = RegistryStake(at.registry, at.parameters)
        self._sender = sender
        self._account = address_to_bytes(sender.account)

    @property
    def contracts(self) -> ContractSet:
        """Where they are."""
        return self.at.places

    @property
    def account(self) -> bytes:
        """The wallet, 20 bytes."""
        return self._account

    @property
    def sender(self) -> Sender:
        """Sends for the wallet."""
        return self._sender

    # --- the port -----------------------------------------------------------------------------------------------

    async def pair_funds(self, requester: bytes, worker: bytes) -> PairFunds:
        """Return the SKYOPS of a pair, all of it after one block."""
        head = await self.at.chain.head()
        return await self.at.settlement.pair(requester, worker, self.contracts.token, at=head.number)

    async def stake_of(self, account: bytes) -> AccountStake:
        """Return what a wallet has at stake, after the last block; see the port."""
        node = await self.at.registry.node(account)
        return AccountStake(node.stake, node.registered_at_unix_s, node.state is StakeState.SLASHED)

    async def staked(self) -> Wei:
        """Return what all wallets have in the registry; see the port."""
        return await self.at.token.balance(self.contracts.registry)

    async def block_before(self, unix_s: int) -> bytes:
        """Return the hash of the last block that is not later than an instant; see the port."""
        chain = self.at.chain
        head, first = await chain.head(), await chain.block(0)
        if first is None:
            raise ChainError("the chain has no beginning", code="rpc_lied")
        search = BlockSearch(unix_s, first=first, head=head)
        while (number := search.wanted) is not None:
            block = await chain.block(number)
            if block is None:
                raise ChainError("the chain has become shorter", code="chain_moved")
            search.take(block)
        return search.found.hash

    async def coin_price(self) -> int:
        """Return how many SKYOPS one of the chain's coins counts; see the port."""
        return await self.at.parameters.value(Parameter.SKYOPS_PER_ETH)

    async def allot(self, key: str, worker: bytes, amount: Wei) -> None:
        """Move SKYOPS of this wallet's deposit to the allotment of one worker; see the port."""
        await self.send(key, self.at.settlement.allot(worker, self.contracts.token, amount))

    async def quote(self, vouchers: Sequence[Voucher]) -> RedemptionQuote:
        """Return what redeeming vouchers would bring now; all zero where there is nothing to redeem."""
        return await self._quote(self._redemption(vouchers), "nothing_to_redeem")

    async def quote_release(self, requester: bytes) -> RedemptionQuote:
        """Return what `release` would bring now; all zero where nothing is held. See the port."""
        return await self._quote(self._release(requester), "nothing_held")

    async def _quote(self, order: Order, nothing: str) -> RedemptionQuote:
        chain = self.at.chain
        try:
            answer = await chain.call(order, sender=address_from_bytes(self._account))
            gas = await chain.estimate(order, sender=address_from_bytes(self._account))
        except ChainRefusal as refusal:
            said = explained(refusal)
            if said.reason == nothing:
                return RedemptionQuote(Wei(0), 0, Wei(0))
            raise said from refusal
        price = (await chain.head()).base_fee_wei + await chain.suggested_tip()
        return RedemptionQuote(Wei(int.from_bytes(answer, "big")), gas, Wei(gas * price))

    async def redeem(self, key: str, vouchers: Sequence[Voucher]) -> None:
        """Redeem vouchers of this wallet as the worker, in one transaction; see the port."""
        await self.send(key, self._redemption(vouchers))

    async def release(self, key: str, requester: bytes) -> None:
        """Have a holdback credited whose window has closed."""
        await self.send(key, self._release(requester))

    async def accuse(self, key: str, history: DoubleHistory) -> bool:
        """Show a double history to the contract; False: its account has nothing to slash."""
        node = await self.at.registry.node(history.account)
        if not node.stake + node.unbonding:
            return False
        order = self.at.disputes.prove_equivocation(
            history.account,
            history.lane,
            history.sequence,
            contents=history.contents,
            signatures=history.signatures,
        )
        await self.send(key, order)
        return True

    def outcome(self, key: str) -> Outcome | None:
        """Return how something that was sent ended, or None while it has not."""
        return self._sender.outcome(key)

    async def wait(self, key: str) -> Outcome:
        """Wait for that end; see the port."""
        return await self._sender.wait(key)

    # --- for commands -------------------------------------------------------------------------------------------

    async def send(self, key: str, order: Order) -> None:
        """Have an order executed once; see the port Sender.

        Raises:
            ChainRefusal: `call_reverted`, with the contract's reason in words; `funds_missing`.
            ChainError: As the port Sender.
        """
        try:
            await self._sender.send(key, order)
        except ChainRefusal as refusal:
            raise explained(refusal) from refusal

    async def confirm(self, key: str) -> Outcome:
        """Wait until an order is done, and say so if it is not.

        Raises:
            ChainRefusal: `transaction_reverted`, `nonce_taken`.
            ChainError: `unknown_order`.
        """
        return confirmed(await self._sender.wait(key))

    async def do(self, key: str, order: Order) -> Outcome:
        """Send an order and wait until it is done; as `send` and `confirm`."""
        await self.send(key, order)
        return await self.confirm(key)

    async def approve(self, key: str, spender: bytes, amount: Wei) -> None:
        """See to it that a contract may take so many SKYOPS of this wallet; waits if that needs a transaction.

        Args:
            key: The caller's name for the transaction.
            spender: The contract.
            amount: Wei; never more is approved than is needed now.

        Raises:
            ChainError, ChainRefusal: As `do`.
        """
        if await self.at.token.allowance(self._account, spender) < amount:
            await self.do(key, self.at.token.approve(spender, amount))

    def _release(self, requester: bytes) -> Order:
        return self.at.settlement.release(requester, self._account, self.contracts.token)

    def _redemption(self, vouchers: Sequence[Voucher]) -> Order:
        assert 0 < len(vouchers) <= limits.VOUCHERS_PER_BATCH_MAX
        token, settlement = self.contracts.token, self.at.settlement
        tuples = [voucher_tuple(voucher) for voucher in vouchers]
        if len(tuples) == 1:  # cheaper than a batch of one
            return settlement.redeem(self._account, token, tuples[0])
        return settlement.redeem_batch(self._account, token, tuples)
