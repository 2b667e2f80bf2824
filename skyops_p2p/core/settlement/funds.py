"""Where a network's money is, and what the chain says of the money of one pair. Pure.

Spec: protocol/07-settlement.md, "Vouchers". Source: contracts/README.md.
"""

from dataclasses import dataclass

from skyops_p2p.core.settlement.vouchers import PairTerms
from skyops_p2p.types import Wei

NO_ACCOUNT = bytes(20)
"""As a token: the chain's own coin."""


@dataclass(frozen=True, slots=True)
class ContractSet:
    """The contracts of one network, 20 bytes each."""

    chain_id: int
    directory: bytes
    """Leads to the others."""
    parameters: bytes
    token: bytes
    """SKYOPS."""
    settlement: bytes
    registry: bytes
    disputes: bytes
    reservations: bytes

    def pair(self, network: str, requester: bytes, worker: bytes, *, holdback_bps: int) -> PairTerms:
        """Return the terms between two wallets that deal in SKYOPS."""
        return PairTerms(
            network=network,
            chain_id=self.chain_id,
            contract=self.settlement,
            disputes=self.disputes,
            token=self.token,
            requester=requester,
            worker=worker,
            holdback_bps=holdback_bps,
        )


@dataclass(frozen=True, slots=True)
class PairFunds:
    """The money of a pair as of one block, wei."""

    redeemed: Wei
    """Ever."""
    held: Wei
    """Of that, what waits for the challenge window."""
    allotted: Wei
    """For this worker alone."""
    shared: Wei
    """The requester's deposit, for whoever redeems first."""
    returns_at_unix_s: int | None
    """When the allotment can be taken back; None: nobody has asked for it."""
    held_until_unix_s: int
    """When the holdback's window closes; 0 without one."""
    receipts_root: bytes
    """Of the newest redemption."""


@dataclass(frozen=True, slots=True)
class AccountStake:
    """What one wallet has at stake as of one block."""

    amount: Wei
    """What counts: what is unbonding is left out."""
    registered_at_unix_s: int
    """0: never. What was added later has no date of its own on chain."""
    is_slashed: bool
    """For good, as for a double history."""


@dataclass(frozen=True, slots=True)
class RedemptionQuote:
    """What a redemption brings, and what it costs."""

    credited: Wei
    """To the worker's credit, with an old holdback that is free."""
    gas: int
    fee_wei: Wei
    """Of the chain's own coin, at present prices."""
