"""The receipts that a node holds: by name, by party and place, and as digests to compare with a neighbour's. Pure.

At most RECEIPTS_HELD_MAX, and RECEIPTS_HELD_PER_PAIR_MAX of one pair; the newest stay, so that nodes with the same
bounds come to hold the same. Spec: protocol/07b-receipts.md, "What is held" and "Catching up".
"""

from skyops_p2p import limits
from skyops_p2p.core.evidence.buckets import Buckets
from skyops_p2p.core.evidence.items import Evidence, joined
from skyops_p2p.core.reputation.newest import Newest
from skyops_p2p.types import UnixMs


class Shelf:
    """What is held.

    Args:
        held_max: Receipts in all.
        per_pair_max: Of one pair.
    """

    def __init__(
        self,
        *,
        held_max: int = limits.RECEIPTS_HELD_MAX,
        per_pair_max: int = limits.RECEIPTS_HELD_PER_PAIR_MAX,
    ) -> None:
        self._per_pair_max = per_pair_max
        self._items: Newest[Evidence] = Newest(held_max)
        """By digest."""
        self._of_pair: dict[tuple[bytes, bytes], Newest[bytes]] = {}
        """Pair -> digests."""
        self._by_name: dict[bytes, bytes] = {}
        """Name -> digest; also names of what is held with more halves now."""
        self._chains: dict[bytes, dict[int, bytes]] = {}
        """Account -> place -> digest."""
        self._buckets = Buckets()
        """Names."""

    def __len__(self) -> int:
        return len(self._items)

    # --- what is there ----------------------------------------------------------------------------------------------
    def get(self, digest: bytes) -> Evidence | None:
        """Return a receipt by SHA-256 of its encoding."""
        return self._items.get(digest)

    def named(self, name: bytes) -> Evidence | None:
        """Return a receipt by its name, or by one that it had with fewer halves."""
        digest = self._by_name.get(name)
        return None if digest is None else self._items.get(digest)

    def of(self, account: bytes) -> list[Evidence]:
        """Return all receipts that an account has signed, in the order of its chain."""
        chain = self._chains.get(account, {})
        return [item for place in sorted(chain) if (item := self._items.get(chain[place])) is not None]

    def at(self, account: bytes, first: int, count: int) -> list[Evidence]:
        """Return what is held of one stretch of an account's chain. Rules: RCP-9."""
        chain = self._chains.get(account, {})
        digests = [chain[place] for place in range(first, first + count) if place in chain]
        return [item for digest in digests if (item := self._items.get(digest)) is not None]

    def knows(self, account: bytes) -> bool:
        """Tell whether an account has signed anything that is held."""
        return account in self._chains

    def all(self) -> list[Evidence]:
        """Return everything, the newest last."""
        return sorted(self._items, key=lambda item: (item.ended_unix_ms, item.digest))

    # --- changes ----------------------------------------------------------------------------------------------------
    def put(self, item: Evidence) -> tuple[Evidence | None, list[Evidence]]:
        """Take a receipt in, or more halves of one that is there.

        Returns:
            What is held now, None if it is no news or older than all that fits; and what had to leave for it.

        Rules: RCP-4, RCP-6.
        """
        known = self._items.get(item.digest)
        if known is not None:
            item = joined(known, item)
            if item.name == known.name:
                return None, []
            self._unlink(known)
        is_in, gone = self._items.put(item.digest, item.ended_unix_ms, item)
        left = [] if gone is None else [gone]
        if gone is not None:
            self._unlink(gone)
            self._leave_pair(gone)
        if not is_in:
            return None, left
        self._link(item)
        of_pair = self._of_pair.setdefault(item.pair, Newest(self._per_pair_max))
        is_in, oldest = of_pair.put(item.digest, item.ended_unix_ms, item.digest)
        if is_in and oldest is None:
            return item, left
        lost = item if oldest is None else self._items.get(oldest)
        assert lost is not None, "a pair's receipt is held"
        self.drop(lost)
        return (item if is_in else None), ([*left, lost] if is_in else left)

    def drop(self, item: Evidence) -> None:
        """Let a receipt go."""
        if self._items.get(item.digest) is not None:
            self._items.discard(item.digest)
            self._unlink(item)
            self._leave_pair(item)

    def older_than(self, unix_ms: UnixMs) -> list[Evidence]:
        """Return the receipts that ended before an instant."""
        return [item for item in self._items if item.ended_unix_ms < unix_ms]

    # --- comparing --------------------------------------------------------------------------------------------------
    def digests(self) -> bytes:
        """Return the 64 bucket digests, 512 bytes. Rules: RCP-10."""
        return self._buckets.digests()

    def differing(self, digests: bytes, *, after: bytes, count_max: int) -> tuple[list[bytes], bool]:
        """Return names of the buckets in which a neighbour's digests differ, ascending, and whether that is all.

        Args:
            digests: The neighbour's 512 bytes.
            after: Only names behind this.
            count_max: Names at most.

        Rules: RCP-10.
        """
        return self._buckets.differing(digests, after=after, count_max=count_max)

    def check_invariants(self) -> None:
        """Raise AssertionError if the indices contradict each other; takes time linear in what is held."""
        self._buckets.check_invariants(item.name for item in self._items)
        assert {name for item in self._items for name in item.names} == set(self._by_name)
        held = sum(len(of_pair) for of_pair in self._of_pair.values())
        assert held == len(self._items), "each receipt is its pair's once"
        assert all(len(of_pair) for of_pair in self._of_pair.values()), "a pair without receipts"

    # --- indices ----------------------------------------------------------------------------------------------------
    def _link(self, item: Evidence) -> None:
        for name in item.names:
            self._by_name[name] = item.digest
        for account, place in item.places:
            self._chains.setdefault(account, {}).setdefault(place.sequence, item.digest)
        self._buckets.add(item.name)

    def _unlink(self, item: Evidence) -> None:
        for name in item.names:
            self._by_name.pop(name, None)
        for account, place in item.places:
            chain = self._chains.get(account, {})
            if chain.get(place.sequence) == item.digest:
                del chain[place.sequence]
                if not chain:
                    del self._chains[account]
        self._buckets.remove(item.name)

    def _leave_pair(self, item: Evidence) -> None:
        of_pair = self._of_pair[item.pair]
        of_pair.discard(item.digest)
        if not len(of_pair):
            del self._of_pair[item.pair]
