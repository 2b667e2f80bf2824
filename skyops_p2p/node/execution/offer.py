"""A sealed result as its requester is told of it: at once, or where results are compared committed to first.

Such a result is shown when the others who compute the same have committed too, and to nobody before. Salt and
commitment are in the journal before the commitment is told. Spec: protocol/06-verification.md, "Commit".
"""

from skyops_p2p.core.execution.opening import OpenedLease
from skyops_p2p.core.verification.commit import check_reveal_request, commit_to, compared_class, reveal_of
from skyops_p2p.core.verification.result_root import has_answer
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.node.execution.kept_commit import KeptCommit
from skyops_p2p.node.execution.tools import RunTools
from skyops_p2p.wire.envelope import open_envelope, peek, seal
from skyops_p2p.wire.messages.execution import ResultReady, ResultReceipt
from skyops_p2p.wire.messages.verification import ResultCommit, ResultCommitted, RevealResult


class ResultOffer:
    """One result.

    Args:
        receipt: Enveloped.
        kept: How it was committed to; None: it is not compared with others.
        tools: Of the node.
    """

    def __init__(self, receipt: bytes, kept: KeptCommit | None, tools: RunTools) -> None:
        self.receipt = receipt
        self.is_shown = kept is None
        """Whoever asked for it may know it."""
        self._kept = kept
        self._tools = tools
        self._reveal: bytes | None = None

    def message(self) -> ResultCommitted | ResultReady:
        """Return what is told of it, now and after each attach. Rules: EXE-15, VER-5."""
        if self._kept is not None and not self.is_shown:
            return ResultCommitted(commit=self._kept.commit)
        return ResultReady(receipt=self.receipt, reveal=self._reveal)

    def is_taken_by(self, digest: bytes) -> bool:
        """Tell whether a ResultTaken speaks of it; of one that was not shown nobody can."""
        return self.is_shown and sha256(self.receipt) == digest

    def show(self, request: RevealResult) -> bool:
        """Have it shown from now on, if the others have committed; False: it was never hidden.

        Raises:
            RemoteProtocolError: As `check_reveal_request`.

        Rules: VER-6, VER-7.
        """
        if self._kept is None or self._tools.conduct.hides_results:
            return False
        network = self._tools.network
        own = open_envelope(self._kept.commit, ResultCommit, network)
        others = check_reveal_request(request, own)
        copied = self._tools.conduct.copied(own.message, others[0].message) if others else None
        if copied is not None:
            self._kept = KeptCommit(self._kept.salt, seal(copied, self._tools.node_key, network))
            return True
        receipt = open_envelope(self.receipt, ResultReceipt, network)
        if self._reveal is None:  # VER-7: what was seen first counts
            reveal = reveal_of(own, receipt, self._kept.salt, others)
            self._reveal = seal(reveal, self._tools.node_key, network)
        self.is_shown = True
        return True


def commit_result(receipt: bytes, opened: OpenedLease, tools: RunTools) -> KeptCommit | None:
    """Commit to a result that is to be compared; None: it is told as it is.

    Args:
        receipt: Enveloped.
        opened: The lease.
        tools: Of the node.

    Rules: VER-1, VER-2, VER-4.
    """
    request, spec = opened.request, opened.spec
    compared = compared_class(spec, is_warm=request.is_warm)
    if compared is None or request.draw is None:
        return None
    result = peek(receipt, ResultReceipt)
    if not has_answer(result):
        return None
    salt = tools.entropy.token(32)
    commit = commit_to(
        result,
        salt=salt,
        draw=request.draw,
        verification=compared,
        redundancy=spec.verification.redundancy,
        price=opened.terms.bid.price,
    )
    return KeptCommit(salt, seal(commit, tools.node_key, tools.network))
