"""What all witnesses' statements come to: for each account and day, slots that were probed and answered. Pure.

The outcome follows from the set of statements, the beacons and the stakes alone, in whatever order they came. Spec:
protocol/08b-probes.md, "Counting".
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from skyops_p2p.core.probes.draw import StakeFacts, bar_of, is_heard, lot_of, rank_of
from skyops_p2p.core.probes.statements import Statement, unpacked
from skyops_p2p.core.probes.times import ProbeTimes
from skyops_p2p.core.reputation.conduct import WITNESSES, Day, Outcome, day_of

Days = dict[bytes, dict[int, Day]]
"""Account -> epoch -> its slots."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that availability is worked out from."""

    watches: Mapping[int, tuple[Statement, ...]]
    """Watch -> its statements."""
    beacons: Mapping[int, bytes]
    """Watch -> hash of its block; a watch without one is not counted."""
    facts: StakeFacts
    """`out` has those too who have contradicted themselves."""


@dataclass(slots=True)
class _Watch:
    """What came of one watch."""

    names: tuple[bytes, ...]
    beacon: bytes
    days: Days
    kept: "_Kept"
    """Days that were counted from certain rows: they stay the same when only ranks have changed."""


_Row = tuple[int, bytes, bytes]
"""Rank, witness, packed outcomes."""
_Kept = dict[bytes, tuple[tuple[bytes, ...], dict[int, Day]]]
"""Account -> outcomes of its witnesses, and the days that they come to."""


class Tally:
    """Counts, and remembers what it has counted of each watch.

    Args:
        times: The network's.
    """

    def __init__(self, times: ProbeTimes) -> None:
        self._times = times
        self._facts: StakeFacts | None = None
        self._watches: dict[int, _Watch] = {}

    def days(self, evidence: Evidence) -> Days:
        """Return the slots of all accounts.

        Rules: PRB-13, PRB-14.
        """
        facts = replace(evidence.facts, total=1 << max(evidence.facts.total.bit_length() - 1, 0))
        is_same = facts == self._facts
        self._facts = facts
        total: Days = {}
        counted: dict[int, _Watch] = {}
        for watch, statements in evidence.watches.items():
            beacon = evidence.beacons.get(watch)
            if beacon is None:
                continue
            names = tuple(one.name for one in statements)
            known = self._watches.get(watch)
            if known is None or not is_same or (known.names, known.beacon) != (names, beacon):
                kept = {} if known is None else known.kept
                days, kept = self._count(watch, statements, beacon, kept)
                known = _Watch(names, beacon, days, kept)
            counted[watch] = known
            _add(total, known.days)
        self._watches = counted
        return total

    def _count(
        self, watch: int, statements: Sequence[Statement], beacon: bytes, kept: _Kept
    ) -> tuple[Days, _Kept]:
        """Return what the statements of one watch come to, and from which rows."""
        facts, now = self._facts, _Kept()
        assert facts is not None, "they were given"
        until, days = self._times.beacon_unix_s(watch), Days()
        for account, rows in self._said(watch, statements, beacon, facts).items():
            if not is_heard(account, facts, until):
                continue
            outcomes = tuple(said for _, _, said in sorted(rows)[:WITNESSES])
            known = kept.get(account)
            if known is None or known[0] != outcomes:
                known = (outcomes, self._days_of(watch, outcomes))
            now[account] = known
            days[account] = known[1]
        return days, now

    def _said(
        self, watch: int, statements: Sequence[Statement], beacon: bytes, facts: StakeFacts
    ) -> Mapping[bytes, list[_Row]]:
        """Return what drawn witnesses say of each account."""
        bar, until = bar_of(facts.total), self._times.beacon_unix_s(watch)
        said: defaultdict[bytes, list[_Row]] = defaultdict(list)
        for statement in statements:
            if not is_heard(statement.witness, facts, until):
                continue
            stake = facts.stakes[statement.witness].amount
            for account, outcomes in statement.probed:
                rank = rank_of(lot_of(beacon, watch, probed=account, witness=statement.witness), stake)
                if rank < bar:
                    said[account].append((rank, statement.witness, outcomes))
        return said

    def _days_of(self, watch: int, outcomes: Sequence[bytes]) -> dict[int, Day]:
        slots = self._times.watch_slots
        by_epoch: defaultdict[int, list[tuple[Outcome, ...]]] = defaultdict(list)
        columns = zip(*(unpacked(said, slots) for said in outcomes), strict=True)
        for epoch, column in zip(self._times.epochs(watch), columns, strict=True):
            by_epoch[epoch].append(column)
        return {epoch: day_of(found) for epoch, found in by_epoch.items()}


def _add(total: Days, more: Days) -> None:
    for account, days in more.items():
        of = total.setdefault(account, {})
        for epoch, day in days.items():
            of[epoch] = of[epoch] + day if epoch in of else day
