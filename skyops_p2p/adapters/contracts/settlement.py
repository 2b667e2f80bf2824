"""The contract Settlement: deposits, allotments, vouchers, credits and jobs in escrow."""

from collections.abc import Sequence

from skyops_p2p.adapters.contracts.calling import NOTHING, Contract, facts
from skyops_p2p.core.chain.facts import Order
from skyops_p2p.core.settlement.contract_facts import EscrowJob, ReceiptLeaf, ReceiptPlace, Withdrawal
from skyops_p2p.core.settlement.funds import NO_ACCOUNT, PairFunds
from skyops_p2p.core.settlement.vouchers import compact
from skyops_p2p.crypto.hashing import keccak256
from skyops_p2p.types import Wei
from skyops_p2p.wire.messages.settlement import Voucher

VOUCHER = "(address,uint96,uint16,bytes32,bytes32,bytes32)"
LEAF = "(bytes32,bytes32,bytes32,bytes32,uint256,uint256)"
_PAIR_STATE = ("uint256",) * 5
_JOB = ("(address,address,address,uint256,uint256,uint256,uint256,bool,bytes32,bytes32,bytes32,bytes32)",)

VoucherTuple = tuple[bytes, int, int, bytes, bytes, bytes]


class Settlement(Contract):
    """Orders for it, and what it says. Tokens, wallets and jobs are bytes; NO_ACCOUNT as a token is the coin."""

    # --- the requester's money ----------------------------------------------------------------------------------

    def deposit(self, token: bytes, amount: Wei, worker: bytes = NO_ACCOUNT) -> Order:
        """Add to the deposit, or to the allotment for a worker; a token must be approved before."""
        value = amount if token == NO_ACCOUNT else NOTHING
        return self.order("deposit(address,uint256,address)", token, amount, worker, value_wei=value)

    def deposit_with_permit(
        self, token: bytes, amount: Wei, worker: bytes, *, deadline_unix_s: int, signature: bytes
    ) -> Order:
        """Do the same with a permit (EIP-2612) in place of an approval.

        Args:
            token: Not the coin.
            amount: Wei.
            worker: NO_ACCOUNT: for the deposit.
            deadline_unix_s: Of the permit.
            signature: The owner's, r, s and v.
        """
        types = "deposit_with_permit(address,uint256,address,uint256,uint8,bytes32,bytes32)"
        r, s, v = signature[:32], signature[32:64], signature[64]
        return self.order(types, token, amount, worker, deadline_unix_s, v, r, s)

    def allot(self, worker: bytes, token: bytes, amount: Wei) -> Order:
        """Move a part of the deposit to the allotment of one worker."""
        return self.order("allot(address,address,uint256)", worker, token, amount)

    def request_return(self, worker: bytes, token: bytes) -> Order:
        """Ask for an allotment back."""
        return self.order("request_return(address,address)", worker, token)

    def take_back(self, worker: bytes, token: bytes) -> Order:
        """Move what is left of an allotment to the deposit, after the delay."""
        return self.order("take_back(address,address)", worker, token)

    def request_withdrawal(self, token: bytes, amount: Wei) -> Order:
        """Announce a withdrawal from the deposit; 0 takes it back."""
        return self.order("request_withdrawal(address,uint256)", token, amount)

    def withdraw(self, token: bytes, to: bytes) -> Order:
        """Pay out what was announced, after the delay."""
        return self.order("withdraw(address,address)", token, to)

    async def deposited(self, owner: bytes, token: bytes, *, at: int | None = None) -> Wei:
        """Return what is in a deposit, without allotments."""
        return Wei(await self.number("deposits(address,address)", owner, token, at=at))

    async def withdrawal(self, owner: bytes, token: bytes) -> Withdrawal:
        """Return what was announced."""
        ((amount, ready_at),) = await self.ask(
            "withdrawals(address,address)", ["(uint256,uint256)"], owner, token
        )
        return Withdrawal(Wei(amount), ready_at)

    async def pair(
        self, requester: bytes, worker: bytes, token: bytes, *, at: int | None = None
    ) -> PairFunds:
        """Return the money of a pair.

        Args:
            requester: Wallet.
            worker: Wallet.
            token: What they deal in.
            at: After this block; None: after the last, and then each part may be of another block.
        """
        pair = pair_id(requester, worker, token)
        types = "pair_state(address,address,address)"
        redeemed, held, allotted, until, _ = await self.ask(
            types, _PAIR_STATE, requester, worker, token, at=at
        )
        returns_at = await self.number("returns_at(bytes32)", pair, at=at)
        (root,) = await self.ask("receipts_roots(bytes32)", ["bytes32"], pair, at=at)
        return PairFunds(
            redeemed=Wei(redeemed),
            held=Wei(held),
            allotted=Wei(allotted),
            shared=await self.deposited(requester, token, at=at),
            returns_at_unix_s=returns_at or None,
            held_until_unix_s=until if held else 0,
            receipts_root=bytes(root),
        )

    # --- the worker's money -------------------------------------------------------------------------------------

    def redeem(self, worker: bytes, token: bytes, voucher: VoucherTuple) -> Order:
        """Redeem one voucher."""
        return self.order(f"redeem(address,address,{VOUCHER})", worker, token, voucher)

    def redeem_batch(self, worker: bytes, token: bytes, vouchers: Sequence[VoucherTuple]) -> Order:
        """Redeem 1 to VOUCHERS_PER_BATCH_MAX vouchers."""
        return self.order(f"redeem_batch(address,address,{VOUCHER}[])", worker, token, list(vouchers))

    def release(self, requester: bytes, worker: bytes, token: bytes) -> Order:
        """Credit a holdback whose window has closed."""
        return self.order("release(address,address,address)", requester, worker, token)

    def collect(self, token: bytes, to: bytes) -> Order:
        """Pay out the sender's credit."""
        return self.order("collect(address,address)", token, to)

    def set_operator(self, operator: bytes, *, is_allowed: bool) -> Order:
        """Let another account redeem for the sender, or no longer."""
        return self.order("set_operator(address,bool)", operator, is_allowed)

    def pay_fees(self, token: bytes) -> Order:
        """Send the fees of a token where they belong."""
        return self.order("pay_fees(address)", token)

    async def credit(self, owner: bytes, token: bytes) -> Wei:
        """Return what an account may collect."""
        return Wei(await self.number("credits(address,address)", owner, token))

    async def redeemable(self, requester: bytes, worker: bytes, token: bytes, cumulative: Wei) -> Wei:
        """Return what a voucher could draw now, before fee and holdback."""
        types = "redeemable(address,address,address,uint256)"
        return Wei(await self.number(types, requester, worker, token, cumulative))

    async def is_operator(self, worker: bytes, operator: bytes) -> bool:
        """Return whether an account may redeem for a worker."""
        (found,) = await self.ask("operators(address,address)", ["bool"], worker, operator)
        return bool(found)

    async def is_proven(
        self, requester: bytes, worker: bytes, token: bytes, *, leaf: ReceiptLeaf, place: ReceiptPlace
    ) -> bool:
        """Return whether a receipt is under the pair's newest root."""
        types = f"prove_receipt(address,address,address,{LEAF},uint256,uint256,bytes32[])"
        values = (requester, worker, token, leaf_tuple(leaf), place.index, place.count, list(place.path))
        (found,) = await self.ask(types, ["bool"], *values)
        return bool(found)

    # --- jobs in escrow -----------------------------------------------------------------------------------------

    def post_job(
        self, spec_hash: bytes, token: bytes, payment: Wei, *, worker: bytes, deadline_unix_s: int
    ) -> Order:
        """Put a job's payment in escrow, from the deposit; NO_ACCOUNT as the worker: any ACTIVE node."""
        types = "post_job(bytes32,address,uint256,address,uint256)"
        return self.order(types, spec_hash, token, payment, worker, deadline_unix_s)

    def complete(self, job: bytes, *, execution_hash: bytes, log_hash: bytes, metering_hash: bytes) -> Order:
        """Say that a claimed job is done."""
        types = "complete(bytes32,bytes32,bytes32,bytes32)"
        return self.order(types, job, execution_hash, log_hash, metering_hash)

    def on_job(self, call: str, job: bytes) -> Order:
        """Return an order for `claim`, `fail`, `accept`, `cancel`, `release_job` or `expire`."""
        assert call in {"claim", "fail", "accept", "cancel", "release_job", "expire"}
        return self.order(f"{call}(bytes32)", job)

    async def job(self, job: bytes) -> EscrowJob:
        """Return a job in escrow; its state is 0 if there is none."""
        (found,) = await self.ask("jobs(bytes32)", _JOB, job)
        return facts(EscrowJob, found)


def pair_id(requester: bytes, worker: bytes, token: bytes) -> bytes:
    """Return the 32 bytes under which the contract keeps a pair."""
    return keccak256(b"".join(account.rjust(32, b"\0") for account in (requester, worker, token)))


def voucher_tuple(voucher: Voucher) -> VoucherTuple:
    """Return a voucher as the contract takes it."""
    cumulative = int.from_bytes(voucher.cumulative, "big")
    r, vs = compact(voucher.signature)
    return voucher.requester, cumulative, voucher.holdback_bps, voucher.receipts_root, r, vs


def leaf_tuple(leaf: ReceiptLeaf) -> tuple[bytes, bytes, bytes, bytes, int, int]:
    """Return a receipt as the contracts take it."""
    hashes = (leaf.job_id, leaf.execution_hash, leaf.log_hash, leaf.metering_hash)
    return *hashes, leaf.amount, leaf.ended_unix_s
