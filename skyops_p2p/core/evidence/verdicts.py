"""Verdicts that a node holds, its own and others': what it takes, and how many of each requester. Pure.

Only what says something to others is held: a level 2 finding, or a worker that its own signatures convict. At most
VERDICTS_HELD_MAX, and VERDICTS_HELD_PER_REQUESTER_MAX of one requester; the newest stay, so that nodes with the same
bounds come to hold the same. Spec: protocol/07b-receipts.md, "Verdicts".
"""

from dataclasses import dataclass

from skyops_p2p import limits
from skyops_p2p.core.evidence.buckets import Buckets
from skyops_p2p.core.evidence.items import Scope
from skyops_p2p.core.reputation.newest import Newest
from skyops_p2p.core.verification.check import CheckedVerdict, check_verdict
from skyops_p2p.core.verification.policy import counts_for_others
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import UnixMs

Pair = tuple[bytes, bytes]
"""Requester and worker, 20 bytes each."""


@dataclass(frozen=True, slots=True)
class VerdictItem:
    """A verdict that was checked, as it is held."""

    data: bytes
    """Enveloped."""
    checked: CheckedVerdict
    pair: Pair
    """Requester and a worker that was right, or the primary: that they have money on chain is what lets it in."""
    made_unix_ms: UnixMs

    @property
    def name(self) -> bytes:
        """What it is asked for by: the digest of its envelope. Rules: RCP-14."""
        return self.checked.digest

    @property
    def requester(self) -> bytes:
        """Wallet, 20 bytes."""
        return self.pair[0]


def open_verdict(data: bytes, scope: Scope) -> VerdictItem:
    """Check a verdict that is to be held.

    Args:
        data: The enveloped Verdict and nothing else.
        scope: Whose verdicts.

    Raises:
        RemoteProtocolError: `oversized`; `bad_verdict`: it does not hold, or says nothing to others.

    Rules: RCP-15.
    """
    if len(data) > limits.VERDICT_TOLD_BYTES_MAX:
        raise RemoteProtocolError("a verdict too large to be told", code="oversized", rule="RCP-15")
    checked = check_verdict(data, network=scope.network, chain_id=scope.chain_id)
    verdict, requester = checked.verdict, checked.requester_wallet
    if not checked.holds or verdict is None:
        finding = checked.findings[0]
        raise RemoteProtocolError(f"a verdict: {finding.text}", code="bad_verdict", rule=finding.rule)
    if requester is None or not counts_for_others(checked):
        raise RemoteProtocolError("a verdict that says nothing to others", code="bad_verdict", rule="RCP-15")
    right = [one.wallet for one in checked.judged if one.fault == "none" and one.wallet is not None]
    known = [one.wallet for one in checked.judged if one.wallet is not None]
    worker = (right or known)[0]
    return VerdictItem(data, checked, (requester, worker), UnixMs(verdict.made_unix_ms))


def check_verdict_date(item: VerdictItem, now: UnixMs) -> None:
    """Refuse what was made in the future, or too long ago.

    Raises:
        RemoteProtocolError: `not_yet_valid`, `expired`.

    Rules: RCP-15.
    """
    if item.made_unix_ms > now + limits.CLOCK_SKEW_MS_MAX:
        raise RemoteProtocolError("a verdict from the future", code="not_yet_valid", rule="RCP-15")
    if item.made_unix_ms < now - limits.RECEIPT_AGE_MS_MAX:
        raise RemoteProtocolError("a verdict that counts nothing any more", code="expired", rule="RCP-15")


class VerdictShelf:
    """What is held.

    Args:
        held_max: Verdicts in all.
        per_requester_max: Of one requester.
    """

    def __init__(
        self,
        *,
        held_max: int = limits.VERDICTS_HELD_MAX,
        per_requester_max: int = limits.VERDICTS_HELD_PER_REQUESTER_MAX,
    ) -> None:
        self._per_requester_max = per_requester_max
        self._items: Newest[VerdictItem] = Newest(held_max)
        self._of: dict[bytes, Newest[bytes]] = {}
        """Requester -> names."""
        self.names = Buckets()

    def __len__(self) -> int:
        return len(self._items)

    def get(self, name: bytes) -> VerdictItem | None:
        """Return a verdict by its name."""
        return self._items.get(name)

    def all(self) -> list[VerdictItem]:
        """Return everything, the newest last."""
        return sorted(self._items, key=lambda item: (item.made_unix_ms, item.name))

    def older_than(self, unix_ms: UnixMs) -> list[VerdictItem]:
        """Return the verdicts that were made before an instant."""
        return [item for item in self._items if item.made_unix_ms < unix_ms]

    def put(self, item: VerdictItem) -> tuple[bool, list[VerdictItem]]:
        """Take a verdict in that is not there; return whether it is held now, and what had to leave. Rules: RCP-16."""
        assert self._items.get(item.name) is None, "it is put in once"
        of_requester = self._of.setdefault(item.requester, Newest(self._per_requester_max))
        is_in, oldest = of_requester.put(item.name, item.made_unix_ms, item.name)
        if not is_in:
            return False, []
        left = []
        if oldest is not None:
            gone = self._items.get(oldest)
            assert gone is not None, "a requester's verdict is held"
            self._items.discard(oldest)
            self.names.remove(oldest)
            left.append(gone)
        is_in, last = self._items.put(item.name, item.made_unix_ms, item)
        if last is not None:
            self.names.remove(last.name)
            self._leave(last)
            left.append(last)
        if is_in:
            self.names.add(item.name)
        else:
            self._leave(item)
        return is_in, left

    def drop(self, item: VerdictItem) -> None:
        """Let a verdict go that is held."""
        self._items.discard(item.name)
        self.names.remove(item.name)
        self._leave(item)

    def check_invariants(self) -> None:
        """Raise AssertionError if the indices contradict each other; takes time linear in what is held."""
        self.names.check_invariants(item.name for item in self._items)
        held = [name for of_requester in self._of.values() for name in of_requester]
        assert sorted(held) == sorted(item.name for item in self._items), "each is its requester's once"
        assert all(len(of_requester) for of_requester in self._of.values()), "a requester without verdicts"

    def _leave(self, item: VerdictItem) -> None:
        of_requester = self._of[item.requester]
        of_requester.discard(item.name)
        if not len(of_requester):
            del self._of[item.requester]
