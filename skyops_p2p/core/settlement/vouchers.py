"""Vouchers: a requester's signature over all that a pair's jobs have cost; what the contract redeems. Pure.

Spec: protocol/07-settlement.md, "Vouchers". Sources: contracts/README.md; EIP-712; EIP-2098 (compact signatures).
"""

from dataclasses import dataclass, replace

from skyops_p2p.core.settlement.amounts import wei_from_bytes, wei_to_bytes
from skyops_p2p.core.settlement.prices import HOLDBACK_LEAST_BP, HOLDBACK_MOST_BP
from skyops_p2p.core.settlement.receipts import DisputesDomain
from skyops_p2p.crypto.typed_data import voucher_digest
from skyops_p2p.crypto.wallet import Wallet, recover_account
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import Wei
from skyops_p2p.wire.messages.settlement import Voucher, VoucherItemPart

CUMULATIVE_BITS = 96


@dataclass(frozen=True, slots=True)
class PairTerms:
    """Who pays whom, with what, by which contracts; the same on both sides."""

    network: str
    chain_id: int
    contract: bytes
    """Settlement, 20 bytes."""
    disputes: bytes
    """Disputes, 20 bytes."""
    token: bytes
    """20 bytes; zero for ETH."""
    requester: bytes
    """Wallet, 20 bytes."""
    worker: bytes
    """Wallet, 20 bytes."""
    holdback_bps: int
    unit_wei: int = 10**9
    """Wei that the contract counts a pair in; less is not redeemed."""

    @property
    def domain(self) -> DisputesDomain:
        """Where both answer for their receipts."""
        return DisputesDomain(self.chain_id, self.disputes)

    def holding(self, holdback_bps: int) -> "PairTerms":
        """Return these terms with another holdback; these, if the contract would not keep that. Rules: SET-27."""
        is_kept = HOLDBACK_LEAST_BP <= holdback_bps <= HOLDBACK_MOST_BP
        return replace(self, holdback_bps=holdback_bps) if is_kept else self


def digest_of(pair: PairTerms, cumulative: int, receipts_root: bytes) -> bytes:
    """Return what the requester's wallet signs. Rules: SET-9."""
    return voucher_digest(
        chain_id=pair.chain_id,
        contract=pair.contract,
        worker=pair.worker,
        token=pair.token,
        cumulative=cumulative,
        holdback_bps=pair.holdback_bps,
        receipts_root=receipts_root,
    )


def sign_voucher(
    pair: PairTerms,
    wallet: Wallet,
    *,
    cumulative: int,
    receipts_root: bytes,
    items: tuple[VoucherItemPart, ...],
    receipts: tuple[bytes, ...] = (),
) -> Voucher:
    """Sign a voucher for a pair. Rules: SET-9."""
    return Voucher(
        chain_id=pair.chain_id,
        contract=pair.contract,
        requester=pair.requester,
        worker=pair.worker,
        token=pair.token,
        cumulative=wei_to_bytes(cumulative),
        holdback_bps=pair.holdback_bps,
        receipts_root=receipts_root,
        signature=wallet.sign_digest(digest_of(pair, cumulative, receipts_root)),
        items=items,
        receipts=receipts,
    )


def check_voucher(voucher: Voucher, pair: PairTerms) -> Wei:
    """Check that a voucher is the pair's and signed by its requester; return its cumulative amount.

    Raises:
        RemoteProtocolError: `wrong_network` (another chain), `wrong_contract`, `wrong_pair` (another requester, worker
            or token), `wrong_terms` (another holdback), `malformed` (2^96 or more), `bad_signature`.

    Rules: SET-10.
    """
    if voucher.chain_id != pair.chain_id:
        raise RemoteProtocolError("a voucher for another chain", code="wrong_network", rule="SET-10")
    if voucher.contract != pair.contract:
        raise RemoteProtocolError("a voucher for another contract", code="wrong_contract", rule="SET-10")
    if (voucher.requester, voucher.worker, voucher.token) != (pair.requester, pair.worker, pair.token):
        raise RemoteProtocolError("a voucher of another pair", code="wrong_pair", rule="SET-10")
    if voucher.holdback_bps != pair.holdback_bps:
        raise RemoteProtocolError("a voucher with another holdback", code="wrong_terms", rule="SET-10")
    cumulative = wei_from_bytes(voucher.cumulative, bits=CUMULATIVE_BITS)
    digest = digest_of(pair, cumulative, voucher.receipts_root)
    if recover_account(digest, voucher.signature) != pair.requester:
        raise RemoteProtocolError("a voucher that others signed", code="bad_signature", rule="SET-10")
    return cumulative


def compact(signature65: bytes) -> tuple[bytes, bytes]:
    """Return r and vs of EIP-2098, as the contracts take a signature: v - 27 in the top bit of s."""
    r, s, v = signature65[:32], signature65[32:64], signature65[64]
    assert not s[0] >> 7, "low s (KEY-4)"
    return r, bytes([s[0] | (v - 27) << 7]) + s[1:]
