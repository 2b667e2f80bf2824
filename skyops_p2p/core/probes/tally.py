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


class Tally:
    """Counts, and remembers what it has counted of each watch.

    Args:
        times: The network's.
    """

    def __init__(self, times: ProbeTimes) -> None:
        self._times = times
        self._facts: StakeFacts | None = None
        self._counted: dict[int, tuple[tuple[bytes, ...], bytes, Days]] = {}
        """Watch -> names and beacon that it was counted with, and what came of it."""

    def days(self, evidence: Evidence) -> Days:
        """Return the slots of all accounts.

        Rules: PRB-13, PRB-14.
        """
        facts = replace(evidence.facts, total=1 << max(evidence.facts.total.bit_length() - 1, 0))
        if facts != self._facts:
            self._facts = facts
            self._counted.clear()
        total: Days = {}
        for watch, statements in evidence.watches.items():
            beacon = evidence.beacons.get(watch)
            if beacon is None:
                continue
            names = tuple(one.name for one in statements)
            known = self._counted.get(watch)
            if known is None or known[:2] != (names, beacon):
                known = (names, beacon, self._count(watch, statements, beacon, facts))
                self._counted[watch] = known
            _add(total, known[2])
        self._counted = {watch: its for watch, its in self._counted.items() if watch in evidence.watches}
        return total

    def _count(self, watch: int, statements: Sequence[Statement], beacon: bytes, facts: StakeFacts) -> Days:
        """Return what the statements of one watch come to."""
        bar, until = bar_of(facts.total), self._times.beacon_unix_s(watch)
        said: defaultdict[bytes, list[tuple[int, bytes, bytes]]] = defaultdict(list)
        for statement in statements:
            if not is_heard(statement.witness, facts, until):
                continue
            stake = facts.stakes[statement.witness].amount
            for account, outcomes in statement.probed:
                rank = rank_of(lot_of(beacon, watch, probed=account, witness=statement.witness), stake)
                if rank < bar:
                    said[account].append((rank, statement.witness, outcomes))
        return {
            account: self._days_of(watch, sorted(rows)[:WITNESSES])
            for account, rows in said.items()
            if is_heard(account, facts, until)
        }

    def _days_of(self, watch: int, rows: Sequence[tuple[int, bytes, bytes]]) -> dict[int, Day]:
        slots = self._times.watch_slots
        by_witness = {witness: unpacked(outcomes, slots) for _, witness, outcomes in rows}
        by_epoch: defaultdict[int, list[dict[bytes, Outcome]]] = defaultdict(list)
        for place, epoch in enumerate(self._times.epochs(watch)):
            heard = {who: said[place] for who, said in by_witness.items() if said[place]}
            by_epoch[epoch].append(heard)
        return {epoch: day_of(found) for epoch, found in by_epoch.items()}


def _add(total: Days, more: Days) -> None:
    for account, days in more.items():
        of = total.setdefault(account, {})
        for epoch, day in days.items():
            of[epoch] = of[epoch] + day if epoch in of else day
