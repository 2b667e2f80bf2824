"""The scores of one node: evidence in, the chain looked at, and every account's standing out.

One task does it all in rounds: it gathers news, looks up what is due on the chain, and has the scores worked out beside
the loop. Readers see the scores of the last round, complete or not at all. What is held is what node/evidence holds, so
nothing is stored here: a restarted node works its scores out anew. Spec: protocol/08-reputation.md.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import trio

from skyops_p2p import limits
from skyops_p2p.core.evidence.items import Evidence
from skyops_p2p.core.reputation.conduct import EPOCH_MS, Day
from skyops_p2p.core.reputation.deals import LEVEL_DRAWN, Check, deal_of
from skyops_p2p.core.reputation.explanation import Explanation, explain
from skyops_p2p.core.reputation.findings import Finding
from skyops_p2p.core.reputation.ledger import Ledger
from skyops_p2p.core.reputation.ratings import Pair, Role, Sums
from skyops_p2p.core.reputation.standings import Assessment, Standing, seen_by
from skyops_p2p.core.reputation.uses import Record
from skyops_p2p.core.reputation.voices import Stake
from skyops_p2p.core.verification.check import CheckedVerdict
from skyops_p2p.core.verification.policy import findings_of
from skyops_p2p.node.reputation.looks import ChainLooks
from skyops_p2p.ports import Money, WallClock
from skyops_p2p.wire.messages.settlement import Receipt, SignedReceipt
from skyops_p2p.wire.model import decode_message

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scores:
    """One round's outcome."""

    epoch: int
    """Days since 1970."""
    of: dict[Role, Assessment]
    stakes: dict[bytes, Stake]
    """Of all accounts that were looked up."""
    checks: dict[bytes, tuple[int, int]]
    """Worker -> right results in a row, and all results, that others have checked."""


class Conduct(Protocol):
    """What witnesses say of availability: see ProbeDesk."""

    def witnesses(self) -> Iterable[bytes]:
        """Return the accounts whose stakes it needs besides those of receipts and of the map."""

    def digest(self) -> bytes:
        """Return a digest of all statements that are held, 32 bytes."""

    async def count(
        self, stakes: Mapping[bytes, Stake], banned: frozenset[bytes]
    ) -> tuple[Mapping[bytes, Mapping[int, Day]], frozenset[bytes]]:
        """Return the slots of all accounts, and the witnesses that have contradicted themselves."""


WorkOut = Callable[[Ledger, dict[bytes, Stake], int], Awaitable[Scores]]
"""As `work_out`, but beside the loop."""


class ReputationBook:
    """What this node thinks of everybody.

    Args:
        money: The contracts.
        wall_clock: Says which epoch it is.
        work_out: Has `work_out` done beside the loop.
        members: Returns the wallets on the map, 20 bytes each: their stakes are of interest before any receipt.
        told: Called after each round whose scores are new; must be quick.
    """

    def __init__(
        self,
        money: Money,
        *,
        wall_clock: WallClock,
        work_out: WorkOut,
        members: Callable[[], Iterable[bytes]],
        told: Callable[[], None],
    ) -> None:
        self.own = money.account
        """This node's wallet."""
        self.scores: Scores | None = None
        """Of the last round; None before the first."""
        self.wall_clock = wall_clock
        """Says which epoch it is."""
        self.rounds = 0
        """How many there were."""
        self.conduct: Conduct | None = None
        """Tells who was there; None: nobody knows."""
        self._ledger = Ledger(deals_max=limits.RECEIPTS_HELD_MAX)
        self._looks = ChainLooks(money)
        self._work_out = work_out
        self._members = members
        self._told = told
        self._held: dict[bytes, Pair] = {}
        """Receipt -> its pair: all that node/evidence holds."""
        self._pairs: Counter[Pair] = Counter()
        self._waiting: dict[bytes, Evidence] = {}
        """Receipts that are not counted yet: new ones, and those of pairs that nobody could look up."""
        self._gone: set[bytes] = set()
        """Receipts that are held no more and are still counted."""
        self._checks: dict[bytes, Check] = {}
        """Verdicts that are not counted yet, by proof."""
        self._findings: dict[bytes, Finding | None] = {}
        """What verdicts say that is not counted yet, by proof; None: it is not to be counted any more."""
        self._judged: dict[bytes, frozenset[bytes]] = {}
        """Verdict that says something to others -> accounts whose stake matters for what it says."""
        self._banned: set[bytes] = set()
        self._followed: frozenset[bytes] = frozenset()
        self._views: dict[tuple[bytes, Role], Standing] = {}
        """Own views of this round."""
        self._news = trio.Event()
        self._is_stale = True
        self._is_at_work = False
        """What was new is being counted."""
        self._lock = trio.Lock()
        """Held while the scores are worked out, and while somebody reads the ledger itself."""

    # --- evidence ---------------------------------------------------------------------------------------------------
    def hold(self, item: Evidence) -> None:
        """Count a checked receipt from now on, or one that has more halves now."""
        if item.digest not in self._held:
            self._held[item.digest] = item.pair
            self._pairs[item.pair] += 1
        self._gone.discard(item.digest)
        self._waiting[item.digest] = item
        self._looks.hasten(item.pair)
        self.note_news()

    def drop(self, digest: bytes) -> None:
        """Count a receipt no more that is not held any more.

        Args:
            digest: SHA-256 of the encoded Receipt.
        """
        pair = self._held.pop(digest, None)
        if pair is None:
            return
        self._pairs[pair] -= 1
        if not self._pairs[pair]:
            del self._pairs[pair]
        self._waiting.pop(digest, None)
        self._gone.add(digest)  # also then: it may be counted with fewer halves
        self.note_news()

    def ban(self, account: bytes) -> None:
        """Give an account with a double history no score any more. Rules: REP-21."""
        self._banned.add(account)
        self.note_news()

    def take_check(self, check: Check) -> bool:
        """Count what somebody found of a result, whose proof the caller has verified (chapter 06).

        Returns:
            False if too many wait: give it again later. What is known already changes nothing.

        Rules: REP-6.
        """
        if len(self._checks) >= limits.REPUTATION_CHECKS_WAITING_MAX:
            return False
        self._checks[check.proof] = check
        self.note_news()
        return True

    def hold_verdict(self, checked: CheckedVerdict) -> None:
        """Count what a verdict says of each worker from now on; returns at once.

        What was counted already changes nothing. Whoever calls holds at most VERDICTS_HELD_MAX of them.

        Args:
            checked: It holds.

        Rules: VER-15, REP-6, REP-37.
        """
        found = list(findings_of(checked))
        self._findings |= {finding.proof: finding for finding in found}
        if any(finding.level >= LEVEL_DRAWN for finding in found):
            self._judged[checked.digest] = frozenset(who for finding in found for who in finding.parties)
        self.note_news()

    def drop_verdict(self, checked: CheckedVerdict) -> None:
        """Count a verdict no more that is not held any more."""
        self._findings |= dict.fromkeys(finding.proof for finding in findings_of(checked))
        self._judged.pop(checked.digest, None)
        self.note_news()

    # --- rounds -----------------------------------------------------------------------------------------------------
    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Work scores out, again whenever something is new, until cancelled; started before the first round."""
        task_status.started()
        await self.refresh()
        while True:
            with trio.move_on_after(limits.REPUTATION_ROUND_S):
                await self._news.wait()
                await trio.sleep(limits.REPUTATION_GATHER_S)
            self._news = trio.Event()
            await self.refresh()

    async def refresh(self) -> None:
        """Look up what is due, and work the scores out if anything has changed."""
        before = self._looks.seen()
        is_behind = True
        while is_behind:
            is_behind = await self._looks.renew(self._pairs, self._accounts())
        epoch = self.wall_clock.now_ms() // EPOCH_MS
        is_new_day = self.scores is None or self.scores.epoch != epoch
        if not (self._is_stale or is_new_day or self._looks.seen() != before):
            return
        async with self._lock:
            self._is_stale, self._is_at_work = False, True
            await self._take_in()
            stakes = dict(self._looks.stakes)
            if self.conduct is not None:
                days, doubled = await self.conduct.count(stakes, self._ledger.banned)
                self._ledger.set_days(days, doubled=doubled)
            self.scores = await self._work_out(self._ledger, stakes, epoch)
            self._views.clear()
            self._is_at_work = False
        self.rounds += 1
        log.info("reputation_round receipts=%d accounts=%d epoch=%d", len(self._ledger), len(stakes), epoch)
        self._told()

    # --- what it says -----------------------------------------------------------------------------------------------
    @property
    def held(self) -> int:
        """How many receipts it follows."""
        return len(self._held)

    @property
    def waiting(self) -> int:
        """Of them, those that are not counted yet."""
        return len(self._waiting)

    @property
    def is_behind(self) -> bool:
        """Whether something new is not in the scores yet: the next round, within seconds, brings it in."""
        return self._is_stale or self._is_at_work

    @property
    def is_chain_away(self) -> bool:
        """Whether the chain did not answer the last time that it was asked."""
        return self._looks.is_away

    @property
    def stakes(self) -> Mapping[bytes, Stake]:
        """What the chain has said of accounts until now."""
        return self._looks.stakes

    @property
    def banned(self) -> frozenset[bytes]:
        """Accounts with a double history."""
        return self._ledger.banned

    def is_known(self, account: bytes) -> bool:
        """Tell whether the chain was asked for an account's stake: what could not be asked is held against nobody."""
        return self.scores is not None and account in self.scores.stakes

    def standing(self, account: bytes, role: Role) -> Standing | None:
        """Return an account's score, the same on every node with this evidence; None before the first round."""
        return None if self.scores is None else self.scores.of[role].standing(account)

    def own_view(self, account: bytes, role: Role) -> Standing | None:
        """Return a score with this node's own experience in it: for its own jobs alone. Rules: REP-22."""
        known = self._views.get((account, role))
        if known is not None or self.scores is None:
            return known
        found = self.scores.of[role].standing(account)
        own = self._ledger.experience(self.own, account, role, epoch=self.scores.epoch)
        view = found if found.is_banned else seen_by(own, found, self.scores.of[role].parameters)
        self._views[account, role] = view
        return view

    def own_experience(self, account: bytes, role: Role) -> Sums:
        """Return what this node itself has seen of an account."""
        epoch = 0 if self.scores is None else self.scores.epoch
        return self._ledger.experience(self.own, account, role, epoch=epoch)

    def record(self, account: bytes, *, open_value: int) -> Record:
        """Return what else is known of a worker.

        Args:
            account: Of the worker.
            open_value: Of its jobs for this node that run or are not checked, microcredits.
        """
        if self.scores is None:
            return Record(0, 0, 0, open_value)
        stake = self.scores.stakes.get(account)
        streak, checked = self.scores.checks.get(account, (0, 0))
        return Record(streak, checked, 0 if stake is None else stake.amount, open_value)

    def check_of(self, receipt: bytes) -> Check | None:
        """Return the check that decides about a receipt that is counted; None: nobody has checked it.

        Args:
            receipt: SHA-256 of the encoded Receipt.
        """
        return self._ledger.check_of(receipt)

    async def explain(self, account: bytes, role: Role) -> Explanation | None:
        """Return why an account has its score; None before the first round."""
        async with self._lock:
            if self.scores is None:
                return None
            return explain(self.scores.of[role], account, self._ledger.sources_of(account, role))

    # --- within -----------------------------------------------------------------------------------------------------
    def _accounts(self) -> list[bytes]:
        parties = {account for pair in self._pairs for account in pair}
        if self.conduct is not None:
            parties.update(self.conduct.witnesses())
        parties |= {account for judged in self._judged.values() for account in judged}
        found = [*sorted({self.own, *parties}), *sorted({*self._members()} - parties)]
        return found[: limits.REPUTATION_ACCOUNTS_MAX]

    async def _take_in(self) -> None:
        """Bring the ledger up to what is held; others go on between two batches."""
        ledger, now = self._ledger, self.wall_clock.now_ms()
        for pair, money in self._looks.money.items():
            ledger.set_money(*pair, money)
        for digest in self._gone:
            ledger.forget_deal(digest)
        self._gone.clear()
        for number, (digest, item) in enumerate(list(self._waiting.items())):
            receipt = decode_message(Receipt, decode_message(SignedReceipt, item.data).receipt)
            if ledger.add_deal(deal_of(item, receipt), now=now) and self._waiting.get(digest) is item:
                del self._waiting[digest]
            if number % limits.REPUTATION_BATCH == limits.REPUTATION_BATCH - 1:
                await trio.lowlevel.checkpoint()
        for check in self._checks.values():
            ledger.add_check(check)
        self._checks.clear()
        for proof, finding in self._findings.items():
            if finding is None:
                ledger.forget_finding(proof)
            else:
                ledger.add_finding(finding)
        self._findings.clear()
        for account in self._banned:
            ledger.ban(account)
        self._banned.clear()

    def note_news(self) -> None:
        """Work the scores out anew soon: something that they are made of has changed."""
        self._is_stale = True
        self._news.set()


def work_out(ledger: Ledger, stakes: dict[bytes, Stake], epoch: int) -> Scores:
    """Return all scores of what a ledger has; takes a second for twenty thousand receipts.

    Args:
        ledger: Nobody changes it meanwhile.
        stakes: Of all accounts that were looked up.
        epoch: Days since 1970.
    """
    of = {role: ledger.assess(role, stakes, epoch=epoch) for role in Role}
    return Scores(epoch, of, stakes, ledger.worker_checks())
