"""Whether a worker takes a voucher: everything is worked out first, and changed only if all of it is right. Pure.

Spec: protocol/07-settlement.md, "Vouchers".
"""

from dataclasses import dataclass, field

from skyops_p2p.core.settlement.account import Account
from skyops_p2p.core.settlement.lanes import Lane, receipt_of
from skyops_p2p.core.settlement.meters import Counts, are_apart
from skyops_p2p.core.settlement.receipts import (
    ChainPlace,
    DisputesDomain,
    check_half,
    leaf_of,
    sign_half,
    with_half,
)
from skyops_p2p.core.settlement.trees import GrowingTree
from skyops_p2p.core.settlement.vouchers import PairTerms, check_voucher
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.messages.settlement import HalfPart, Receipt, SignedReceipt, Voucher, VoucherItemPart
from skyops_p2p.wire.model import decode_message, encode_message


@dataclass(slots=True)
class Taken:
    """What a voucher makes of a pair."""

    cumulative: int
    receipts: GrowingTree
    """Of the pair, with the voucher's."""
    lanes: list[Lane] = field(default_factory=list)
    """Those that it pays, after it."""
    apart: set[bytes] = field(default_factory=set)
    """Lanes whose meters differ too much."""
    unsigned: list[SignedReceipt] = field(default_factory=list)
    """Receipts with the requester's half alone."""
    signed: list[bytes] = field(default_factory=list)
    """Those with both, encoded."""

    def sign(
        self, number: int, place: ChainPlace, wallet: Wallet, domain: DisputesDomain
    ) -> tuple[HalfPart, ChainPlace]:
        """Add the worker's half to one of the receipts; see `sign_half`."""
        receipt = self.unsigned[number]
        half, after = sign_half(receipt.receipt, place, wallet, domain)
        self.signed.append(with_half(receipt.receipt, requester=receipt.requester, worker=half))
        return half, after


def take_voucher(voucher: Voucher, pair: PairTerms, account: Account, *, covered_wei: int) -> Taken:
    """Check a voucher against what this side has metered, and return what follows from it.

    Args:
        voucher: As it came.
        pair: Who pays whom.
        account: What this side knows; unchanged.
        covered_wei: What vouchers may add up to.

    Raises:
        RemoteProtocolError: As `check_voucher`; `stale_voucher`, `unknown_lane`, `wrong_interval`, `wrong_amount`,
            `bad_receipt`, `deposit_too_small`.

    Rules: SET-10, SET-11, SET-12, SET-13, SET-25.
    """
    taken = Taken(check_voucher(voucher, pair), account.receipts)
    if taken.cumulative <= account.cumulative:  # SET-11
        raise _refusal("a voucher that is not above the newest", "stale_voucher", "SET-11")
    receipts, total = list(voucher.receipts), account.cumulative
    for item in voucher.items:
        lane = _lane_of(item, account, taken)
        requester, worker = Counts.of(item.counts), lane.meter
        assert worker is not None
        brought = _open(receipts.pop(0)) if lane.is_last and receipts else None
        amount = lane.cost(requester, worker, least_wei=1 if brought is None else pair.unit_wei)
        total += amount - lane.paid
        paid = lane.paid_with(requester, worker, amount)
        taken.lanes.append(paid)
        if are_apart(requester, worker):
            taken.apart.add(item.lane)
        if brought is not None:
            ours = receipt_of(pair, paid, requester, worker, cumulative=total) if paid.facts else None
            _check_receipt(brought, ours, pair)
            taken.unsigned.append(brought)
            taken.receipts = taken.receipts.with_leaf(leaf_of(decode_message(Receipt, brought.receipt)))
    if total != taken.cumulative:  # SET-11
        raise _refusal("another amount than the meters make", "wrong_amount", "SET-11")
    if receipts or taken.receipts.root != voucher.receipts_root:  # SET-13
        raise _refusal("a root of other receipts", "bad_receipt", "SET-13")
    if taken.cumulative > covered_wei:  # SET-12
        raise _refusal("more than the deposit covers", "deposit_too_small", "SET-12")
    return taken


def _lane_of(item: VoucherItemPart, account: Account, taken: Taken) -> Lane:
    lane = account.lanes.get(item.lane)
    if lane is None:
        raise _refusal("a lane that is not open", "unknown_lane", "SET-10")
    is_twice = any(other.terms.lane == item.lane for other in taken.lanes)
    if is_twice or lane.meter is None or item.interval != lane.interval + 1:
        raise _refusal("an interval that was not metered, or is paid", "wrong_interval", "SET-10")
    return lane


def _open(data: bytes) -> SignedReceipt:
    signed = decode_message(SignedReceipt, data)
    if signed.requester is None or signed.worker is not None:
        raise _refusal("not with the requester's half alone", "bad_receipt", "SET-13")
    return signed


def _check_receipt(signed: SignedReceipt, ours: Receipt | None, pair: PairTerms) -> None:
    """Compare a receipt with what this side makes of the lane."""
    if ours is None or encode_message(ours) != signed.receipt:
        raise _refusal("another receipt than ours", "bad_receipt", "SET-13")
    assert signed.requester is not None
    check_half(signed.receipt, signed.requester, pair.requester, pair.domain)


def _refusal(text: str, code: str, rule: str) -> RemoteProtocolError:
    return RemoteProtocolError(text, code=code, rule=rule)
