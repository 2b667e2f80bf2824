"""What a worker has committed to, as its requester holds it: the commitment, and whether a result is the one.

Spec: protocol/06-verification.md, "Reveal".
"""

from skyops_p2p.core.execution.receipts import LeaseFacts
from skyops_p2p.core.verification.commit import check_commit, speaks_of
from skyops_p2p.core.verification.result_root import has_answer
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.wire.envelope import Signed, open_envelope
from skyops_p2p.wire.messages.execution import ResultReceipt
from skyops_p2p.wire.messages.verification import ResultCommit, ResultReveal, RevealResult


class CommittedResult:
    """The commitment of one lease.

    Args:
        facts: Of the lease.
        job: Whose.
        price: Of its award, microcredits an hour.
    """

    def __init__(self, facts: LeaseFacts, job: OpenJob, price: int) -> None:
        self._facts = facts
        self._job = job
        self._price = price
        self._commit: Signed[ResultCommit] | None = None
        self._others: tuple[bytes, ...] | None = None
        """What the worker is shown of others; None: it is not told to show its result yet."""

    @property
    def request(self) -> RevealResult | None:
        """What the worker is to be sent whenever it tells its commitment; None: nothing yet."""
        if self._others is None:
            return None
        return RevealResult(epoch=self._facts.epoch, others=self._others)

    def ask(self, others: tuple[bytes, ...]) -> RevealResult:
        """Have the worker show its result, now and in each session until it has."""
        self._others = others
        return RevealResult(epoch=self._facts.epoch, others=others)

    def restore(self, data: bytes | None) -> None:
        """Go on from the record, which has the commitment if it came before a restart."""
        self._commit = None if data is None else open_envelope(data, ResultCommit, self._facts.network)

    def take(self, data: bytes) -> None:
        """Take a commitment; it is told again after each attach.

        Raises:
            RemoteProtocolError: `wrong_type` (nothing is compared), `worker_lied` (it fits another lease, or is a
                second one), or what opening the envelope raises.

        Rules: VER-4, VER-5.
        """
        job, facts, compared = self._job, self._facts, self._job.compared
        if compared is None:
            raise RemoteProtocolError(
                "nothing is compared here", code="wrong_type", rule="EXE-18", peer=facts.worker
            )
        draw, redundancy = job.draw_of(facts.shard), job.spec.verification.redundancy
        signed = check_commit(
            data, facts, draw=draw, verification=compared, redundancy=redundancy, price=self._price
        )
        if self._commit is not None and self._commit.digest != signed.digest:
            raise self._lie("a second commitment for one lease", rule="VER-5")
        self._commit = signed

    def check(self, receipt: Signed[ResultReceipt], reveal: bytes | None) -> None:
        """Hold a result against what was committed to.

        One that the worker signed as what opens its commitment, though it does not, is let through: its signatures are
        the proof, and the verdict names it. So is one that is no answer, and was never committed to.

        Raises:
            RemoteProtocolError: `worker_lied`.

        Rules: VER-2, VER-7.
        """
        is_answer = has_answer(receipt.message)
        if self._job.compared is None or (not is_answer and self._commit is None and reveal is None):
            return
        if self._commit is None or not is_answer or reveal is None:
            raise self._lie("a result that was not committed to before", rule="VER-7")
        shown = open_envelope(reveal, ResultReveal, self._facts.network)
        if not speaks_of(shown, self._commit, receipt):
            raise self._lie("a result that does not open what was committed to", rule="VER-7")

    def _lie(self, text: str, *, rule: str) -> RemoteProtocolError:
        return RemoteProtocolError(
            f"commitment: {text}", code="worker_lied", rule=rule, peer=self._facts.worker
        )
