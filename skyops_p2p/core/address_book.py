"""All links of a node, and the choice of whom to dial. Spec: protocol/03-peering.md, "Links".

A node seeks `peers_target` connections. Which of the known peers it dials is ranked by a hash of both ids, so
every node has its own stable order and the network's graph comes out random without any randomness here.
"""

from collections.abc import Iterable, Sequence
from heapq import nlargest

from skyops_p2p import limits
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.core.peering import DialRequested, Link, LinkState
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.types import MonotonicS, Multiaddr, PeerId


class AddressBook:
    """The links, bounded by ADDRESS_BOOK_PEERS_MAX.

    Args:
        own: Our peer id; never dialled.
        peers_target: Connections to seek.
        bootstrap: Peers that are never forgotten, and asked first.
        salt: Secret of this node; without it anyone could make peer ids that rank first.
    """

    def __init__(
        self, own: PeerId, *, peers_target: int, bootstrap: Iterable[PeerId] = (), salt: bytes = b""
    ) -> None:
        self._own = own
        self._salt = salt
        self._target = peers_target
        self._bootstrap = frozenset(bootstrap)
        self._links: dict[PeerId, Link] = {}
        self._connected: set[PeerId] = set()
        self._waiting: set[PeerId] = set()
        self._ranks: dict[PeerId, bytes] = {}
        self._turn = 0

    def __len__(self) -> int:
        return len(self._links)

    def links(self) -> tuple[Link, ...]:
        """Return all links, connected ones first."""
        return tuple(sorted(self._links.values(), key=lambda link: link.state is not LinkState.CONNECTED))

    def link(self, peer: PeerId) -> Link | None:
        """Return the link to a peer, or None."""
        return self._links.get(peer)

    def connected(self) -> frozenset[PeerId]:
        """Return the peers with a connection."""
        return frozenset(self._connected)

    def is_banned(self, peer: PeerId) -> bool:
        """Return whether a peer is shut out at present."""
        link = self._links.get(peer)
        return link is not None and link.state is LinkState.BANNED

    def learn(self, peer: PeerId, addrs: Sequence[Multiaddr], *, is_hearsay: bool = False) -> Link | None:
        """Remember addresses, the most trusted first.

        Args:
            peer: Whose they are.
            addrs: New ones.
            is_hearsay: Somebody else said so. Hearsay stands behind the peer's own word, so that nobody can push
                out the addresses of others, unless dialling those has failed.

        Returns:
            The link, or None for ourselves or when the book is full of better links.

        Rules: PER-24.
        """
        if peer == self._own:
            return None
        link = self._links.get(peer)
        if link is None:
            if len(self._links) >= limits.ADDRESS_BOOK_PEERS_MAX and not self._forget_worst():
                return None
            link = self._links[peer] = Link(peer)
            self._ranks[peer] = sha256(self._salt + f"{self._own}/{peer}".encode())
        fresh = [addr for addr in addrs if addr]
        is_behind = is_hearsay and not link.failures  # PER-24
        merged = [*link.addrs, *fresh] if is_behind else [*fresh, *link.addrs]
        link.addrs = tuple(dict.fromkeys(merged))[: limits.ADDRS_PER_PEER_MAX]
        return link

    def handle(self, peer: PeerId, event: Event, now: MonotonicS) -> list[Effect]:
        """Pass an event to a peer's link, making the link first if need be."""
        link = self._links.get(peer) or self.learn(peer, ())
        if link is None:
            return []
        effects = list(link.handle(event, now))
        self._sort(link)
        return effects

    def plan(self, now: MonotonicS) -> list[Effect]:
        """Dial as many peers as the target misses, the best ranked first; none twice at once."""
        dialing = sum(1 for link in self._links.values() if link.state is LinkState.DIALING)
        missing = min(self._target - len(self._connected), limits.DIALS_IN_FLIGHT_MAX) - dialing
        if missing <= 0:
            return []
        ready = [link for link in self._links.values() if link.state is LinkState.KNOWN and link.addrs]
        ready.sort(key=self._rank)
        effects: list[Effect] = []
        for link in ready[:missing]:
            effects += self.handle(link.peer, DialRequested(), now)
        return effects

    def request_dial(self, peer: PeerId, now: MonotonicS) -> list[Effect]:
        """Dial a peer whatever the target says; nothing if it is connected, banned or has no address."""
        link = self._links.get(peer)
        return self.handle(peer, DialRequested(), now) if link and link.addrs else []

    def next_deadline(self) -> MonotonicS | None:
        """Return the earliest end of a dial's patience or of a rest, or None."""
        deadlines = [self._links[peer].next_deadline() for peer in self._waiting]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def wake(self, now: MonotonicS) -> list[Effect]:
        """End the dials and rests whose time is over, and dial those that are wanted again."""
        effects: list[Effect] = []
        deadlines = ((peer, self._links[peer].next_deadline()) for peer in sorted(self._waiting))
        over = [peer for peer, deadline in deadlines if deadline is not None and deadline <= now]
        for peer in over:
            effects += self.handle(peer, DeadlineReached(), now)
        return [*effects, *self.plan(now)] if over else effects

    def sample(self, count: int, *, salt: bytes, without: PeerId | None = None) -> list[Link]:
        """Pick up to `count` connected links in an order that `salt` shuffles."""
        chosen = [self._links[peer] for peer in self._connected if peer != without]
        chosen.sort(key=lambda link: sha256(salt + link.peer.encode()))
        return chosen[:count]

    def pick(self, count: int, *, without: PeerId | None = None) -> list[Link]:
        """Pick up to `count` connected links, others at each call; nobody else can foresee which."""
        self._turn += 1
        return self.sample(count, salt=sha256(self._salt + str(self._turn).encode()), without=without)

    def check_invariants(self) -> None:
        """Check each link and the indexes over them."""
        for peer, link in self._links.items():
            link.check_invariants()
            assert (link.state is LinkState.CONNECTED) == (peer in self._connected), peer
            assert (link.next_deadline() is not None) == (peer in self._waiting), peer
        assert len(self._links) <= limits.ADDRESS_BOOK_PEERS_MAX

    def _sort(self, link: Link) -> None:
        """Keep the indexes in step with a link that may have moved."""
        (self._connected.add if link.state is LinkState.CONNECTED else self._connected.discard)(link.peer)
        (self._waiting.add if link.next_deadline() is not None else self._waiting.discard)(link.peer)

    def _rank(self, link: Link) -> tuple[bool, int, bytes]:
        return (link.peer not in self._bootstrap, link.failures, self._ranks[link.peer])

    def _forget_worst(self) -> bool:
        """Make room for several, since looking through a full book takes time; False if there is none to be made.

        Never a bootstrap peer, a dial or a connection; first whom we never reached, then who failed most. Bans go
        last, the one that ends soonest first: somebody with many peer ids could fill the book with them.
        """
        loose = [link for link in self._links.values() if link.peer not in self._bootstrap]
        idle = [link for link in loose if link.state in (LinkState.KNOWN, LinkState.BACKOFF)]
        banned = [link for link in loose if link.state is LinkState.BANNED]
        if idle:
            worst = nlargest(
                max(1, limits.ADDRESS_BOOK_PEERS_MAX // 64),
                idle,
                key=lambda link: (not link.was_connected, link.failures, self._ranks[link.peer]),
            )
        else:
            worst = sorted(banned, key=lambda link: (link.next_deadline() or 0.0, link.peer))[:1]
        for link in worst:
            del self._links[link.peer], self._ranks[link.peer]
            self._waiting.discard(link.peer)
        return bool(worst)
