"""How well matches serve a market in the long run: one stream of jobs, one rule, and what became of both sides.

Screening, the order of the candidates, capacity, prices, bids and the award are the production functions, called with
what a node would know; only messages and signatures are left out. A job that finds no free worker is turned away.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import islice

from skyops_p2p import limits
from skyops_p2p.core.auction.award import Entry, exclusion_codes, rank
from skyops_p2p.core.auction.class_index import class_index_milli
from skyops_p2p.core.auction.invitation import best_candidates, candidate_key
from skyops_p2p.core.auction.offers import ask_of, bid_of
from skyops_p2p.core.auction.policies import lot
from skyops_p2p.core.auction.screening import screen
from skyops_p2p.core.jobs.needs import needs_of
from skyops_p2p.core.jobs.terms import offered_vram_mib, tender_terms
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.simulation.clock import EPOCH_UNIX_MS
from skyops_p2p.simulation.entropy import derived_bytes
from skyops_p2p.simulation.fleet import CLASS_PRICE, FleetJob, FleetWorker, fleet, job_id, jobs
from skyops_p2p.simulation.identities import SIM_RULES, sim_identity
from skyops_p2p.simulation.latency import Latency
from skyops_p2p.types import MonotonicS, UnixMs
from skyops_p2p.wire.messages.auction import Bid, Observation, PolicyName, Tender

WINDOW_S = 24 * 3600.0
"""Awards of the last day count against their winners, under the rules that look at them."""
REQUESTERS = 50
"""Places from which jobs are tendered in turn."""
CHECK_EVERY = 20
"""Jobs between two looks at everybody's capacity, which cost as much as a match."""
NO_TIER_MIB = 2**24
"""A tier that excludes nobody."""

Choose = Callable[[Tender, Sequence[Entry], bytes, int], tuple[bytes, ...]]
"""(tender, bids, seed, closed_unix_ms) -> bidders, the winner first."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How candidates and bids are put in order."""

    name: str
    policy: PolicyName | None = None
    """Of the production award; None: a baseline that takes what passes the hard filter."""
    has_tier: bool = True
    """Whether the smallest GPUs that do are kept to."""
    has_window: bool = False
    """Whether tenders say the window's awards, so that hoarders lose points (AUC-19)."""
    baseline: Callable[[Entry, bytes], int] | None = None
    """The least first, among those asked; they are asked in this order too."""


def _at_random(entry: Entry, seed: bytes) -> int:
    return lot(seed, entry.bidder, 1)


def _by_price(entry: Entry, _seed: bytes) -> int:
    return entry.bid.price


RULES: tuple[Rule, ...] = (
    Rule("composite", "composite"),
    Rule("composite + anti-hoarding", "composite", has_window=True),
    Rule("composite without tier", "composite", has_tier=False),
    Rule("wrr", "wrr"),
    Rule("wrr without tier", "wrr", has_tier=False),
    Rule("poc", "poc"),
    Rule("vdf", "vdf"),
    Rule("price only", has_tier=False, baseline=_by_price),
    Rule("random", has_tier=False, baseline=_at_random),
)
"""The four policies, what they are without or with one of their parts, and the baselines. The policy `vdf` draws its
lots from a seeded number in place of the function's output, which takes seconds and is as good as random."""


@dataclass
class StreamReport:
    """What became of a stream."""

    rule: str
    gpu_busy_s: float = 0.0
    """GPU seconds that jobs held, while they were counted."""
    gpu_there_s: float = 0.0
    offered: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    """Is the job large? -> jobs that came."""
    blocked: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    """Likewise those that found no worker."""
    awards: dict[int, int] = field(default_factory=dict)
    """Worker -> jobs that it got; every worker has an entry."""
    strengths: dict[int, int] = field(default_factory=dict)
    """Worker -> what its GPUs can do, thousandths of the reference class."""
    price_to_class: list[float] = field(default_factory=list)
    """Price paid for each job, as a part of the index of the GPU's class."""
    price_to_need: list[float] = field(default_factory=list)
    """Likewise of the index of the smallest class that would have done."""
    bids: int = 0
    """Made for the jobs that are counted."""

    @property
    def utilisation(self) -> float:
        """Part of the GPU time that was busy."""
        return self.gpu_busy_s / self.gpu_there_s

    def blocked_part(self, *, is_large: bool) -> float:
        """Part of the jobs that was turned away."""
        return self.blocked[is_large] / max(1, self.offered[is_large])

    def gini(self, *, per_strength: bool = False) -> float:
        """Return how unequally jobs were spread over workers: 0 alike, 1 all to one."""
        return gini([n * 1000 / self.strengths[w] if per_strength else n for w, n in self.awards.items()])

    def top_share(self, part: float = 0.1) -> float:
        """Return the part of all jobs that went to the busiest workers."""
        counts = sorted(self.awards.values(), reverse=True)
        return sum(counts[: max(1, round(part * len(counts)))]) / max(1, sum(counts))


def gini(values: Sequence[float]) -> float:
    """Return the Gini coefficient of numbers that are not negative."""
    ordered, total = sorted(values), sum(values)
    if not total:
        return 0.0
    weighted = sum((index + 1) * value for index, value in enumerate(ordered))
    return 2 * weighted / (len(ordered) * total) - (len(ordered) + 1) / len(ordered)


class JobStream:
    """A market under one rule.

    Args:
        seed: Decides workers, jobs, delays and lots.
        rule: Who wins.
        workers: How many.
        load: See `fleet.jobs`.
        is_flat: See `fleet.fleet`.
    """

    def __init__(
        self, seed: int, rule: Rule, *, workers: int = 100, load: float = 0.85, is_flat: bool = False
    ) -> None:
        self.workers = {worker.bidder: worker for worker in fleet(seed, workers, is_flat=is_flat)}
        self.report = StreamReport(
            rule.name,
            awards={worker.number: 0 for worker in self.workers.values()},
            strengths={worker.number: worker.strength_milli for worker in self.workers.values()},
        )
        self._seed = seed
        self._rule = rule
        self._gpus = sum(len(worker.record.hardware.gpus) for worker in self.workers.values())
        self._jobs = jobs(seed, load=load, gpus=self._gpus)
        self._latency = Latency(seed)
        self._ends: list[tuple[float, int, bytes, bytes]] = []
        """(when, job, winner, tender): jobs that run, a heap."""
        self._window: deque[tuple[float, bytes]] = deque()
        self._recent = dict.fromkeys(self.workers, 0)
        self._stake = sum(worker.stake for worker in self.workers.values())
        self._able_to: dict[int, tuple[FleetWorker, ...]] = {}
        """Wanted memory -> workers that pass the screening when they are idle."""
        self._now_s = 0.0
        self._bids = 0

    def run(self, count: int, *, warm_up: int = 0) -> StreamReport:
        """Let so many jobs come, and run those that were matched to their ends.

        Args:
            count: Jobs that are counted.
            warm_up: Jobs before them: an empty market turns nobody away.
        """
        for job in islice(self._jobs, warm_up + count):
            self._advance(job.arrives_s, is_counted=job.number > warm_up)
            bids_before = self._bids
            won = self._match(job)
            if won is not None:
                heappush(self._ends, (job.arrives_s + job.duration_s, job.number, *won[:2]))
                self._window.append((job.arrives_s, won[0]))
                self._recent[won[0]] += 1
            if job.number >= warm_up:
                self._count(job, won)
                self.report.bids += self._bids - bids_before
            if job.number % CHECK_EVERY == 0:
                self.check()
        while self._ends:
            self._advance(self._ends[0][0], is_counted=False)
        self.check()
        return self.report

    def check(self) -> None:
        """Raise AssertionError if anything is sold twice."""
        for worker in self.workers.values():
            worker.capacity.check_invariants()

    def _count(self, job: FleetJob, won: tuple[bytes, bytes, Bid] | None) -> None:
        self.report.offered[job.is_large] += 1
        if won is None:
            self.report.blocked[job.is_large] += 1
            return
        worker, price = self.workers[won[0]], won[2].price
        self.report.awards[worker.number] += 1
        smallest_milli = min(class_index_milli(other.gpu) for other in self._able(job))
        self.report.price_to_class.append(price * 1000 / (CLASS_PRICE * class_index_milli(worker.gpu)))
        self.report.price_to_need.append(price * 1000 / (CLASS_PRICE * smallest_milli))

    def _advance(self, now_s: float, *, is_counted: bool) -> None:
        """Let time pass: jobs end, and what was busy is counted; each job holds one GPU."""
        while self._ends and self._ends[0][0] <= now_s:
            self._pass(self._ends[0][0], is_counted=is_counted)
            _, _, bidder, tender = heappop(self._ends)
            self.workers[bidder].capacity.release(tender)
        self._pass(now_s, is_counted=is_counted)
        while self._window and self._window[0][0] < now_s - WINDOW_S:
            self._recent[self._window.popleft()[1]] -= 1

    def _pass(self, now_s: float, *, is_counted: bool) -> None:
        if is_counted:
            self.report.gpu_busy_s += len(self._ends) * (now_s - self._now_s)
            self.report.gpu_there_s += self._gpus * (now_s - self._now_s)
        self._now_s = now_s

    # --- one match ------------------------------------------------------------------------------------------------
    def _match(self, job: FleetJob) -> tuple[bytes, bytes, Bid] | None:
        """Return (winner, tender, bid), its capacity leased; None if nobody can take the job."""
        free, seed = self._free(job), derived_bytes(self._seed, "lots", job.number)
        tender = self._tender(job, free)
        ranked = self._candidates(job, tender, free, seed)
        asked: set[bytes] = set()
        for number in range(limits.TENDER_ROUNDS_MAX + 1):
            invited = best_candidates(ranked, asked=frozenset(asked), round_number=number)
            if not invited:
                return None
            asked.update(invited)
            entries = [entry for bidder in invited if (entry := self._bid(job, tender, bidder)) is not None]
            self._bids += len(entries)
            order = self._ranking(tender, entries, seed)
            for entry in entries:
                if not order or entry.bidder != order[0]:
                    self.workers[entry.bidder].capacity.release(_digest(tender))
            if order:
                lease = self.workers[order[0]].capacity.confirm(_digest(tender), MonotonicS(job.arrives_s))
                assert lease is not None, "a winner without a reservation"
                bid = next(entry.bid for entry in entries if entry.bidder == order[0])
                return order[0], _digest(tender), bid
        return None

    def _tender(self, job: FleetJob, free: Sequence[FleetWorker]) -> Tender:
        """Return the tender that a node would send which knows everybody, and who is free."""
        unix = UnixMs(EPOCH_UNIX_MS + round(job.arrives_s * 1000))
        requester = sim_identity(self._seed, len(self.workers) + job.number % REQUESTERS).peer_id
        terms = tender_terms(
            job.spec,
            SIM_RULES,
            requester=requester,
            job_id=job_id(self._seed, job),
            known=[worker.record for worker in free],
        )
        window = {"window_awards": len(self._window), "window_stake": self._stake}
        return terms.model_copy(
            update={
                "issued_unix_ms": unix,
                "expires_unix_ms": unix + round(limits.MATCH_TIMEOUT_S * 1000),
                "policy": self._rule.policy or "composite",
                **({} if self._rule.has_tier else {"tier_mib": NO_TIER_MIB}),
                **(window if self._rule.has_window and self._window else {}),
            }
        )

    def _able(self, job: FleetJob) -> tuple[FleetWorker, ...]:
        """Return the workers that could take the job when they are idle."""
        able = self._able_to.get(job.vram_gib)
        if able is None:
            needs, all_ = needs_of(job.spec), self.workers.values()
            able = self._able_to[job.vram_gib] = tuple(
                worker
                for worker in all_
                if not screen(needs, worker.record, round_trip_ms=None, slots_free=None)
            )
        return able

    def _free(self, job: FleetJob) -> list[FleetWorker]:
        """Return the workers that a node's map shows as able and free: each job takes a slot and a GPU."""
        return [worker for worker in self._able(job) if len(worker.capacity) < worker.record.slots]

    def _candidates(
        self, job: FleetJob, tender: Tender, free: Sequence[FleetWorker], seed: bytes
    ) -> list[bytes]:
        """Return the workers that are free and fit, in the order in which they are asked."""
        if self._rule.baseline is _at_random:
            return sorted((worker.bidder for worker in free), key=lambda bidder: lot(seed, bidder, 1))
        return [
            worker.bidder
            for worker in sorted(
                free,
                key=lambda worker: candidate_key(
                    worker.bidder,
                    vram_mib=offered_vram_mib(tender.needs, worker.record),
                    tier_mib=tender.tier_mib,
                    price=worker.record.price_microcredits_per_hour,
                    round_trip_ms=self._round_trip_ms(job, worker),
                    lot=tender.job_id,
                ),
            )
        ]

    def _bid(self, job: FleetJob, tender: Tender, bidder: bytes) -> Entry | None:
        """Reserve, price and offer, as the worker's machine does; None for a decline."""
        worker = self.workers[bidder]
        expires_at = MonotonicS(job.arrives_s + limits.MATCH_TIMEOUT_S)
        claim = worker.capacity.reserve(_digest(tender), tender.needs, expires_at=expires_at)
        if isinstance(claim, str):
            return None
        price = worker.pricing.quote(ask_of(tender, claim, worker.capacity))
        if price is None or price > tender.price_max:
            worker.capacity.release(_digest(tender))
            return None
        bid = bid_of(tender, claim, price, cached_permille=0)
        seen = Observation(
            bidder=bidder,
            round_trip_ms=self._round_trip_ms(job, worker),
            transfer_ms=0,
            reputation=worker.reputation,
            stake_weight=worker.stake,
            recent_awards=self._recent[bidder],
            record=b"-",
            throughput=worker.strength_milli,
        )
        return Entry(bidder, bid, seen, worker.record, worker.record.sequence)

    def _ranking(self, tender: Tender, entries: Sequence[Entry], seed: bytes) -> tuple[bytes, ...]:
        closed = tender.issued_unix_ms + 1
        if self._rule.baseline is None:
            return rank(tender, entries, seed=seed, closed_unix_ms=closed).ranking
        key = self._rule.baseline
        good = [entry for entry in entries if not exclusion_codes(tender, entry, closed_unix_ms=closed)]
        return tuple(
            entry.bidder for entry in sorted(good, key=lambda entry: (key(entry, seed), entry.bidder))
        )

    def _round_trip_ms(self, job: FleetJob, worker: FleetWorker) -> int:
        place = len(self.workers) + job.number % REQUESTERS
        return round(1000 * self._latency.round_trip_s(place, worker.number))


def _digest(tender: Tender) -> bytes:
    """Return a name for a tender that nobody has signed."""
    return sha256(b"stream" + tender.job_id)
