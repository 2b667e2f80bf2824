"""What the pairs of a node are made with, together."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import trio

from skyops_p2p.config import PaymentSection
from skyops_p2p.core.settlement.amounts import parse_amount
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.node.session import LiveSession
from skyops_p2p.node.settlement.ledger import Ledger
from skyops_p2p.ports.money import Money
from skyops_p2p.types import PeerId, WalletAddress

SYMBOL = "SKYOPS"
"""What jobs are paid in; a node names it in its Manifest if it pays and is paid. Rules: SET-27."""

OpenSession = Callable[[PeerId, str], Awaitable[LiveSession]]
"""(peer, stream protocol) -> an established session, dialling if need be."""


@dataclass(frozen=True, slots=True)
class PayRules:
    """How this node pays and is paid; see PaymentSection."""

    allotment_h: float
    unsecured_max_wei: int
    redeem_interval_s: float
    redeem_cost_bps_max: int

    @classmethod
    def of(cls, section: PaymentSection) -> "PayRules":
        """Read the settings.

        Raises:
            ConfigError: `amount_invalid`.
        """
        unsecured, _ = parse_amount(section.unsecured_max)
        return cls(section.allotment_h, unsecured, section.redeem_interval_s, section.redeem_cost_bps_max)


@dataclass(frozen=True, slots=True)
class PayTools:
    """Everything that payments need of their node."""

    network: str
    wallet: Wallet
    money: Money
    ledger: Ledger
    rules: PayRules
    open_session: OpenSession
    asking: trio.CapacityLimiter
    """Bounds how many look at the chain at a time."""
    tell: Callable[[str, PeerId, str], None]
    """Tells whoever watches the node: (kind, about whom, a sentence)."""
    meter_pace: float = 1.0
    """Seconds that this worker's meters count for one; other than 1 on test networks only."""


class LaneUser(Protocol):
    """Who a lane pays for, or who is paid by it. Calls return at once: what follows is done elsewhere."""

    def lane_started(self) -> None:
        """At a worker: the program may run."""

    def lane_paused(self, code: str) -> None:
        """At a worker: the program must not go on for now."""

    def lane_resumed(self) -> None:
        """At a worker: it may go on."""

    def lane_stopped(self, code: str, text: str) -> None:
        """The lease is to end: it is not paid any more."""


def account_of(address: WalletAddress) -> bytes:
    """Return the 20 bytes of a wallet."""
    return bytes.fromhex(address[2:])
