"""What a node shows of the receipts of everybody; printed as JSON it is also the file that `--verify` reads."""

from collections.abc import Callable

from skyops_p2p.core.evidence.exchange import Exchange
from skyops_p2p.core.evidence.items import Evidence
from skyops_p2p.core.reputation.deals import LEVEL_DRAWN, Check
from skyops_p2p.core.settlement.amounts import wei_from_bytes
from skyops_p2p.crypto.wallet import address_from_bytes
from skyops_p2p.node.settlement.settlement_views import WeiField
from skyops_p2p.node.views import View
from skyops_p2p.wire.messages.settlement import Receipt, SignedReceipt
from skyops_p2p.wire.model import decode_message

ROWS_MAX = 1000
"""Receipts in one answer; the newest."""


class InclusionView(View):
    """Where a receipt is in its pair's tree, and the tree's root."""

    index: int
    count: int
    path: tuple[str, ...]
    """Hex, from the leaf upwards."""
    root: str


class EvidenceRowView(View):
    """One receipt."""

    job_id: str
    lane: str
    requester: str
    """Wallet."""
    worker: str
    """Wallet."""
    outcome: str
    amount_wei: WeiField
    ended_unix_ms: int
    is_signed_by_both: bool
    receipt: str
    """Hex of the encoded SignedReceipt."""
    inclusion: InclusionView | None = None
    """Of this node's own receipts, where its tree is known."""
    checked: str = ""
    """What this node knows of the result: others, who were drawn, found it right ("verified") or "wrong"; its requester
    alone has checked it ("own check", "own check: wrong"); empty: unverified."""


class EvidenceView(View):
    """Receipts that a node holds, and of which market they are."""

    network: str
    chain_id: int
    settlement: str
    """Hex, as the next two."""
    disputes: str
    token: str
    held: int
    """In all."""
    double_histories: tuple[str, ...]
    """Wallets with a proof."""
    receipts: tuple[EvidenceRowView, ...]
    """The newest last, ROWS_MAX at most."""


def evidence_view(
    exchange: Exchange,
    *,
    account: bytes | None,
    job: str,
    inclusions: dict[bytes, InclusionView],
    check_of: Callable[[bytes], Check | None],
) -> EvidenceView:
    """Return receipts of one wallet, of one job, or all.

    Args:
        exchange: Holds them.
        account: Requester or worker, 20 bytes; None: any.
        job: Beginning of the job's id in hex; empty: any.
        inclusions: Encoded SignedReceipt -> its place.
        check_of: Returns the check that decides about a receipt, by the SHA-256 of the encoded Receipt.
    """
    scope = exchange.scope
    rows = [
        _row(item, inclusions.get(item.data), check_of(item.digest))
        for item in exchange.shelf.all()
        if account in (None, *item.pair)
    ]
    return EvidenceView(
        network=scope.network,
        chain_id=scope.chain_id,
        settlement=scope.settlement.hex(),
        disputes=scope.disputes.hex(),
        token=scope.token.hex(),
        held=len(exchange.shelf),
        double_histories=tuple(address_from_bytes(one) for one in exchange.histories),
        receipts=tuple(row for row in rows if row.job_id.startswith(job))[-ROWS_MAX:],
    )


def checked_text(check: Check | None) -> str:
    """Return what is known of a result; see EvidenceRowView.checked."""
    if check is None:
        return ""
    if check.level < LEVEL_DRAWN:
        return "own check" if check.is_right else "own check: wrong"
    return "verified" if check.is_right else "wrong"


def _row(item: Evidence, inclusion: InclusionView | None, check: Check | None) -> EvidenceRowView:
    receipt = decode_message(Receipt, decode_message(SignedReceipt, item.data).receipt)
    return EvidenceRowView(
        job_id=receipt.job_id.hex(),
        lane=receipt.lane.hex(),
        requester=address_from_bytes(receipt.requester),
        worker=address_from_bytes(receipt.worker),
        outcome=receipt.outcome,
        amount_wei=wei_from_bytes(receipt.amount),
        ended_unix_ms=receipt.ended_unix_ms,
        is_signed_by_both=item.is_cosigned,
        receipt=item.data.hex(),
        inclusion=inclusion,
        checked=checked_text(check),
    )
