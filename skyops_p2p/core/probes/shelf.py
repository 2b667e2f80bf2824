"""The statements that a node holds: by name, by witness and watch, and as digests to compare with a neighbour's. Pure.

At most PROBE_STATEMENTS_HELD_MAX; those of the latest watches stay. Of one witness and watch two at most: with the
second it has contradicted itself. Spec: protocol/08b-probes.md, "What is held".
"""

from collections.abc import Iterator
from heapq import nsmallest

from skyops_p2p import limits
from skyops_p2p.core.probes.statements import Statement
from skyops_p2p.core.reputation.newest import Newest

BUCKETS = 64
BUCKET_BYTES = 8
VERSIONS_MAX = 2
"""Statements of one witness for one watch."""


class StatementShelf:
    """What is held.

    Args:
        held_max: Statements in all, at least 2.
    """

    def __init__(self, *, held_max: int = limits.PROBE_STATEMENTS_HELD_MAX) -> None:
        self._items: Newest[Statement] = Newest(held_max)
        """By name, dated by their watch."""
        self._versions: dict[tuple[bytes, int], list[bytes]] = {}
        """Witness and watch -> names, ascending."""
        self._watches: dict[int, dict[bytes, Statement]] = {}
        """Watch -> name -> statement."""
        self._doubled: dict[bytes, int] = {}
        """Witness -> watches for which it has signed two statements."""
        self._witnesses: dict[bytes, int] = {}
        """Witness -> statements."""
        self._buckets: list[dict[bytes, None]] = [{} for _ in range(BUCKETS)]
        self._digests = [0] * BUCKETS

    def __len__(self) -> int:
        return len(self._items)

    # --- what is there ----------------------------------------------------------------------------------------------
    def get(self, name: bytes) -> Statement | None:
        """Return a statement by its name."""
        return self._items.get(name)

    def has_of(self, witness: bytes, watch: int) -> bool:
        """Tell whether a witness has said anything of a watch."""
        return (witness, watch) in self._versions

    def all(self) -> Iterator[Statement]:
        """Return everything, in no order."""
        return iter(self._items)

    def watches(self) -> dict[int, tuple[Statement, ...]]:
        """Return the statements of each watch, ascending by name."""
        return {
            watch: tuple(held[name] for name in sorted(held)) for watch, held in sorted(self._watches.items())
        }

    def witnesses(self) -> frozenset[bytes]:
        """Return who has signed anything that is held."""
        return frozenset(self._witnesses)

    def doubled(self) -> frozenset[bytes]:
        """Return who has signed two statements for one watch, both of which are held. Rules: PRB-14."""
        return frozenset(self._doubled)

    def wants(self, statement: Statement) -> bool:
        """Tell whether a statement would be held: it is news, and of its kind not a third one. Rules: PRB-10."""
        if self._items.get(statement.name) is not None:
            return False
        names = self._versions.get((statement.witness, statement.watch), [])
        return len(names) < VERSIONS_MAX or statement.name < names[-1]

    # --- changes ----------------------------------------------------------------------------------------------------
    def put(self, statement: Statement) -> tuple[bool, list[Statement]]:
        """Take a statement in; return whether it is held now, and what had to leave for it.

        Of more than two for one watch those with the smallest names stay, so that all nodes come to hold the same.

        Rules: PRB-10.
        """
        if not self.wants(statement):
            return False, []
        place = (statement.witness, statement.watch)
        left = []
        names = self._versions.get(place, [])
        if len(names) >= VERSIONS_MAX:
            left.append(self._items.get(names[-1]))
        for lost in left:
            assert lost is not None, "versions are held"
            self.drop(lost)
        is_in, gone = self._items.put(statement.name, statement.watch, statement)
        if gone is not None:
            self._unlink(gone)
            left.append(gone)
        if is_in:
            self._link(statement)
        return is_in, [one for one in left if one is not None]

    def drop(self, statement: Statement) -> None:
        """Let a statement go."""
        if self._items.get(statement.name) is not None:
            self._items.discard(statement.name)
            self._unlink(statement)

    # --- comparing --------------------------------------------------------------------------------------------------
    def digests(self) -> bytes:
        """Return the 64 bucket digests, 512 bytes. Rules: PRB-12."""
        return b"".join(digest.to_bytes(BUCKET_BYTES, "big") for digest in self._digests)

    def differing(self, digests: bytes, *, after: bytes, count_max: int) -> tuple[list[bytes], bool]:
        """Return names of the buckets in which a neighbour's digests differ, ascending, and whether that is all.

        Args:
            digests: The neighbour's 512 bytes.
            after: Only names behind this.
            count_max: Names at most.

        Rules: PRB-12.
        """
        ours = self.digests()
        spans = [slice(number * BUCKET_BYTES, (number + 1) * BUCKET_BYTES) for number in range(BUCKETS)]
        names = (
            name
            for number, span in enumerate(spans)
            if ours[span] != digests[span]
            for name in self._buckets[number]
            if name > after
        )
        found = nsmallest(count_max + 1, names)
        return found[:count_max], len(found) <= count_max

    def check_invariants(self) -> None:
        """Raise AssertionError if the indices contradict each other; takes time linear in what is held."""
        names = {item.name for item in self._items}
        assert names == {name for bucket in self._buckets for name in bucket}, "buckets name what is held"
        assert names == {name for held in self._watches.values() for name in held}
        assert names == {name for versions in self._versions.values() for name in versions}
        assert all(len(versions) <= VERSIONS_MAX for versions in self._versions.values())
        assert sum(self._witnesses.values()) == len(names)
        for number, bucket in enumerate(self._buckets):
            digest = 0
            for name in bucket:
                digest ^= _short(name)
            assert digest == self._digests[number], "digests have drifted"

    # --- indices ----------------------------------------------------------------------------------------------------
    def _link(self, item: Statement) -> None:
        versions = self._versions.setdefault((item.witness, item.watch), [])
        versions.append(item.name)
        versions.sort()
        if len(versions) == VERSIONS_MAX:
            self._doubled[item.witness] = self._doubled.get(item.witness, 0) + 1
        self._watches.setdefault(item.watch, {})[item.name] = item
        self._witnesses[item.witness] = self._witnesses.get(item.witness, 0) + 1
        self._turn(item)
        self._buckets[_bucket(item)][item.name] = None

    def _unlink(self, item: Statement) -> None:
        place = (item.witness, item.watch)
        versions = self._versions[place]
        if len(versions) == VERSIONS_MAX:
            _count_down(self._doubled, item.witness)
        versions.remove(item.name)
        if not versions:
            del self._versions[place]
        held = self._watches[item.watch]
        del held[item.name]
        if not held:
            del self._watches[item.watch]
        _count_down(self._witnesses, item.witness)
        self._turn(item)
        del self._buckets[_bucket(item)][item.name]

    def _turn(self, item: Statement) -> None:
        self._digests[_bucket(item)] ^= _short(item.name)


def _count_down(counts: dict[bytes, int], key: bytes) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]


def _bucket(item: Statement) -> int:
    """Return the bucket of a statement: that of its watch, so that old ones seldom differ. Rules: PRB-12."""
    return item.watch % BUCKETS


def _short(name: bytes) -> int:
    return int.from_bytes(name[:BUCKET_BYTES], "big")
