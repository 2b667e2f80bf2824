"""How workers stand in this node's own awards: by its scores, by stakes, and by its own experience.

What this node could not look up yet it holds against nobody: until its chain was asked, everybody is in the middle.
Spec: protocol/08-reputation.md, "Uses".
"""

from collections.abc import Callable
from dataclasses import replace

from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.node_map import NodeEntry
from skyops_p2p.core.reputation.ratings import Role
from skyops_p2p.core.reputation.uses import GOSSIP_BANNED, gossip_score
from skyops_p2p.core.settlement.amounts import CREDIT_MICRO
from skyops_p2p.node.reputation.book import ReputationBook
from skyops_p2p.node.standing import NEUTRAL_REPUTATION, Standing, StandingSource
from skyops_p2p.types import PeerId


class ReputedStanding:
    """The standing port with this node's scores in it; as its base says while there are none.

    Args:
        base: Tells what scores do not.
        core: Its map says which wallet a peer has.
    """

    def __init__(self, base: StandingSource, core: NodeCore) -> None:
        self.book: ReputationBook | None = None
        """The scores; None where nothing is paid, or not yet."""
        self.open_value: Callable[[bytes], int] = lambda _account: 0
        """What a worker's jobs for this node cost if they go on for an hour, microcredits."""
        self._base = base
        self._core = core

    def open_book(self, book: ReputationBook, open_value: Callable[[bytes], int]) -> None:
        """Go by scores from now on; see the attributes."""
        self.book, self.open_value = book, open_value

    def of(self, peer: PeerId) -> Standing:
        """See StandingSource. Rules: REP-22."""
        stands, book = self._base.of(peer), self.book
        account = self.account_of(peer)
        if book is None or account is None or not book.is_known(account):
            return stands
        view = book.own_view(account, Role.WORKER)
        assert view is not None, "what is known was scored"
        stake = book.record(account, open_value=0).stake
        return replace(stands, reputation=view.credibility, stake_weight=max(1, stake // CREDIT_MICRO))

    def trust(self, account: bytes) -> int:
        """Return a worker's C in thousandths, as everybody computes it; in the middle while it is not known."""
        book = self.book
        found = book.standing(account, Role.WORKER) if book is not None and book.is_known(account) else None
        return NEUTRAL_REPUTATION // 1000 if found is None else found.permille

    def refuses(self, requester: PeerId, least: int) -> bool:
        """Tell whether this node does not work for a requester. Rules: REP-36.

        Args:
            requester: Of a tender.
            least: C that is asked of it, millionths.
        """
        account = self.account_of(requester)
        if self.book is None or account is None or not self.book.is_known(account):
            return False
        view = self.book.own_view(account, Role.REQUESTER)
        assert view is not None, "what is known was scored"
        return view.is_banned or view.credibility < least

    def members(self) -> list[bytes]:
        """Return the wallets of all nodes of the map, 20 bytes each."""
        return [account for entry in self._core.nodes if (account := account_in(entry)) is not None]

    def gossip_scores(self) -> dict[PeerId, int]:
        """Return the application's part of each peer's gossip score. Rules: REP-28."""
        book, found = self.book, dict[PeerId, int]()
        for entry in self._core.nodes:
            account = account_in(entry)
            if book is None or account is None or not book.is_known(account):
                continue
            both = [standing for role in Role if (standing := book.standing(account, role)) is not None]
            has_stake = book.record(account, open_value=0).stake > 0
            scores = [gossip_score(standing, has_stake=has_stake) for standing in both]
            found[entry.peer] = min(scores) if GOSSIP_BANNED in scores else max(scores)
        return found

    def price_of(self, peer: PeerId) -> int:
        """Return what a worker announces, microcredits an hour."""
        entry = self._core.nodes.get(peer)
        return 0 if entry is None else entry.price

    def account_of(self, peer: PeerId) -> bytes | None:
        """Return the wallet of a peer of the map, 20 bytes."""
        entry = self._core.nodes.get(peer)
        return None if entry is None else account_in(entry)


def account_in(entry: NodeEntry) -> bytes | None:
    """Return the wallet that a node of the map has proven, 20 bytes."""
    return None if entry.verified is None else bytes.fromhex(entry.verified.binding.wallet[2:])
