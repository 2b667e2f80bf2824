"""What verdicts say of results, as evidence of its own: it counts for who never got a receipt, too. Pure.

A verdict brings everything that a checker needs but one thing: that those who contradict a result are somebody. So
whoever they are must have been registered on chain before, which costs each of them a stake that waits. What a result
was worth is the price that both sides have signed, and how loud its requester is heard is its voice: there is no
money behind a result that was refused. Spec: protocol/08-reputation.md, "Evidence".
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.core.reputation.conduct import EPOCH_MS
from skyops_p2p.core.reputation.deals import LEVEL_DRAWN, Answered, Check, Deal
from skyops_p2p.core.reputation.newest import Newest
from skyops_p2p.core.reputation.ratings import Kind, Pair, Rating
from skyops_p2p.core.reputation.voices import Stake
from skyops_p2p.types import UnixMs

LEVEL_OWN = 1
"""What counts in its requester's own view alone."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one verdict says of one result; whoever hands it in has checked the verdict (chapter 06)."""

    proof: bytes
    """32 bytes: its name."""
    verdict: bytes
    """Digest of the enveloped verdict, 32 bytes."""
    rater: bytes
    """Wallet of the requester, 20 bytes."""
    rated: bytes
    """Wallet of the worker."""
    result: bytes
    """Digest of the enveloped ResultReceipt, 32 bytes."""
    level: int
    """1: the requester's own check; 2: by replicas that were drawn, or the worker's own signatures convict it."""
    is_right: bool
    decided_unix_ms: UnixMs
    value: int
    """Microcredits that the worker's own signatures say it was worth; see `value_at_stake`."""
    checkers: tuple[bytes, ...] = ()
    """Wallets of those who came to another result, or to the same."""
    compared: tuple[Answered, ...] = ()
    """All answers that are equal to it, itself among them; empty for a wrong one."""

    @property
    def pair(self) -> Pair:
        """Rater, rated."""
        return self.rater, self.rated

    @property
    def parties(self) -> frozenset[bytes]:
        """All whose stake matters for it."""
        return frozenset((self.rater, self.rated, *self.checkers))

    @property
    def epoch(self) -> int:
        """In which it was decided."""
        return self.decided_unix_ms // EPOCH_MS


class Findings:
    """The findings of a ledger.

    Args:
        findings_max: At the limit the oldest go.
    """

    def __init__(self, findings_max: int = limits.REPUTATION_CHECKS_MAX) -> None:
        self._all: Newest[Finding] = Newest(findings_max)
        self._of: defaultdict[Pair, dict[bytes, dict[bytes, Finding]]] = defaultdict(dict)
        """Pair -> result -> proof -> finding."""
        self._witnesses: Counter[bytes] = Counter()
        """Checker -> findings that name it."""
        self._since: dict[bytes, int] = {}
        """Witness -> epoch in which it was registered, of those who count."""

    def __len__(self) -> int:
        return len(self._all)

    @property
    def pairs(self) -> Iterable[Pair]:
        """Those of whom anything was found."""
        return self._of.keys()

    def add(self, finding: Finding) -> tuple[bool, set[Pair]]:
        """Take a finding in; return whether it is held now, and the pairs of which something has changed."""
        if self._all.get(finding.proof) is not None:
            return True, set()
        is_in, gone = self._all.put(finding.proof, finding.decided_unix_ms, finding)
        changed: set[Pair] = set()
        if gone is not None:
            self._drop(gone)
            changed.add(gone.pair)
        if is_in:
            self._of[finding.pair].setdefault(finding.result, {})[finding.proof] = finding
            self._witnesses.update(finding.checkers)
            changed.add(finding.pair)
        return is_in, changed

    def forget(self, proof: bytes) -> Pair | None:
        """Take a finding out; return the pair of which something has changed."""
        finding = self._all.get(proof)
        if finding is None:
            return None
        self._all.discard(proof)
        self._drop(finding)
        return finding.pair

    def know(self, stakes: Mapping[bytes, Stake], banned: Iterable[bytes]) -> set[Pair]:
        """Take in who is registered; return the pairs of which a finding counts otherwise now. Rules: REP-37.

        Args:
            stakes: Of all accounts that were looked up.
            banned: Accounts with a double history.
        """
        out = set(banned)
        since = {
            who: stake.since_epoch
            for who in self._witnesses
            if (stake := stakes.get(who)) is not None
            and stake.since_epoch
            and not stake.is_slashed
            and who not in out
        }
        moved = {who for who in {*since, *self._since} if since.get(who) != self._since.get(who)}
        self._since = since
        if not moved:
            return set()
        return {one.pair for one in self._all if not moved.isdisjoint(one.checkers)}

    def checks_of(self, deal: Deal) -> list[Check]:
        """Return what was found of the result that a receipt names, at the level at which it counts. Rules: REP-6.

        A receipt that one side alone has signed says nothing of it: `lone_of` does.
        """
        if not deal.is_cosigned:
            return []
        found = self._of.get((deal.requester, deal.worker), {}).get(deal.result, {})
        return [
            Check(
                proof=one.proof,
                receipt=deal.receipt,
                level=self._level(one),
                is_right=one.is_right,
                decided_unix_ms=one.decided_unix_ms,
                compared=one.compared,
                checkers=one.checkers,
            )
            for one in found.values()
        ]

    def lone_of(self, pair: Pair, deals: Iterable[Deal], *, level: int = LEVEL_DRAWN) -> Iterator[Finding]:
        """Yield what convicts the pair's worker where no receipt that both have signed names the result.

        Args:
            pair: Requester and worker.
            deals: Theirs.
            level: Of findings that count, at least.

        Rules: REP-37.
        """
        by_result = self._of.get(pair)
        if not by_result:
            return
        named = {deal.result for deal in deals if deal.is_cosigned}
        for result, found in by_result.items():
            heard = [one for one in found.values() if self._level(one) >= level]
            best = max(heard, key=self._weight, default=None)
            if best is not None and not best.is_right and result not in named:
                yield best

    def verdict_of(self, proof: bytes) -> bytes:
        """Return the digest of the verdict that a finding is from; empty if there is no such finding."""
        finding = self._all.get(proof)
        return b"" if finding is None else finding.verdict

    def _weight(self, finding: Finding) -> tuple[int, bool, int, bytes]:
        """The highest level decides, of equal ones the worse. Rules: REP-6."""
        return self._level(finding), not finding.is_right, finding.value, finding.proof

    def _level(self, finding: Finding) -> int:
        """Return at what level it counts: a third party's only if all who checked it were registered before."""
        are_known = all(
            who in self._since and self._since[who] <= finding.epoch for who in finding.checkers
        ) and not {*finding.pair} & {*finding.checkers}
        return finding.level if are_known else min(finding.level, LEVEL_OWN)

    def _drop(self, finding: Finding) -> None:
        by_result = self._of[finding.pair]
        del by_result[finding.result][finding.proof]
        if not by_result[finding.result]:
            del by_result[finding.result]
        if not by_result:
            del self._of[finding.pair]
        for who in finding.checkers:
            self._witnesses[who] -= 1
            if not self._witnesses[who]:
                del self._witnesses[who]


def rating_of(finding: Finding) -> Rating:
    """Return what a finding without a receipt says of its worker. Rules: REP-37."""
    return Rating(finding.rater, finding.rated, Kind.FOUND, finding.value, finding.epoch)
