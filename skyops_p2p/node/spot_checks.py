"""Which results are checked where a job asks for spot checks: what this node knows of their workers decides how likely.

Of whom nothing is known everything is checked: without contracts, before the chain was asked, and until ten results of
a worker were found right. Spec: protocol/06-verification.md, "Spot checks"; chapter 08, "Uses".
"""

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.reputation.uses import Record
from skyops_p2p.core.verification.policy import needs_check
from skyops_p2p.node.reputation.admission import value_of
from skyops_p2p.node.reputation.standing import ReputedStanding
from skyops_p2p.types import PeerId


class SpotChecks:
    """What decides about checks.

    Args:
        standing: Scores and records of workers.
    """

    def __init__(self, standing: ReputedStanding) -> None:
        self._standing = standing

    def is_due(self, worker: PeerId, spec: JobSpec, price: int, *, lot: int) -> bool:
        """Tell whether a result must be checked that its worker has committed to, while its lease stands.

        Args:
            worker: Who computed it.
            spec: The job.
            price: Of the lease, microcredits an hour.
            lot: Of `check_lot`.

        Rules: VER-16, REP-27.
        """
        value = value_of(spec, price)
        return needs_check(self._record(worker, value), value, lot=lot)

    def _record(self, worker: PeerId, value: int) -> Record:
        """Return what is known of a worker; this lease is no open value besides itself."""
        standing = self._standing
        account, book = standing.account_of(worker), standing.book
        if book is None or account is None or not book.is_known(account):
            return Record(streak=0, checked=0, stake=0)
        return book.record(account, open_value=max(0, standing.open_value(account) - value))
