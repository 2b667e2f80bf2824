"""Runs a campaign: brings a network up, does a plan to it, heals it, has everybody paid, and looks at what holds."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from skyops_p2p.errors import SkyopsError, TestnetError
from skyops_p2p.testnet.chaos.checks import CHECKS, Breach, breaches_of
from skyops_p2p.testnet.chaos.disturber import Disturber, FaultDone
from skyops_p2p.testnet.chaos.plan import BROKER, CONFIRMATIONS, REQUESTER, Plan, stretched
from skyops_p2p.testnet.chaos.reading import Reader
from skyops_p2p.testnet.chaos.seen import Observation
from skyops_p2p.testnet.chaos.submitting import Followed, Follower
from skyops_p2p.testnet.demo_pace import measure_slowness, stretched_beat_s
from skyops_p2p.testnet.launcher import Progress, Testnet
from skyops_p2p.testnet.startup import bring_up
from skyops_p2p.testnet.topology import NetworkPlan, NodePlan, Topology, expand

UP_TIMEOUT_S = 180.0
BEAT_S = 1.0
BLOCK_S = 1.0
"""Block times are seconds apart at least: faster ones would run ahead of the clock."""
SLOTS = 2
OPEN_PER_WORKER = 2
"""Jobs that are open at a time, for each worker."""
BACK_TIMEOUT_S = 120.0
"""For all processes to answer after the last fault."""
END_TIMEOUT_S = 600.0
"""For all jobs to end once everything is healed: several times LEASE_TTL_S."""
LATE_MAX = 3.0
"""A campaign that takes so many times as long as planned goes on without its last faults."""
AGREE_TIMEOUT_S = 240.0
"""For both sides to agree once all jobs have ended: PAY_LAST_WAIT_MS, and some."""
_TICK_S = 0.25
_LOOK_S = 1.0
_AGREEMENT = ("lane_open", "sides_apart", "promise_apart", "receipt_apart")
_REDEEMED = (*_AGREEMENT, "pair_apart", "money_not_conserved")
"""A node knows what it has redeemed only once it has looked at the chain again."""


@dataclass(frozen=True)
class Ended:
    """A campaign that has ended. Times are seconds from its beginning."""

    plan: Plan
    seen: Observation
    breaches: tuple[Breach, ...]
    jobs: tuple[Followed, ...]
    faults: tuple[FaultDone, ...]
    healed_s: float
    """When the last fault was undone."""
    over_s: float
    """When the last job had ended, or was given up."""
    agreed_s: float
    """When both sides agreed about all lanes, or that was given up."""
    ended_s: float


class Campaign:
    """One campaign.

    Args:
        plan: What is done; it is stretched on a machine that is busy.
        directory: Of its network, which is made.
        name: Of it.
        progress: Told what goes on.
    """

    def __init__(self, plan: Plan, directory: Path, name: str, *, progress: Progress) -> None:
        self._plan = stretched(plan, measure_slowness())
        self._slowness = self._plan.slowness
        self._directory = directory
        self._name = name
        self._progress = progress
        """Ended jobs when progress was told last."""
        self._began = 0.0
        self.testnet: Testnet | None = None
        """The network, once it is laid out."""

    def run(self) -> Ended:
        """Run it to its end; the network stays up.

        Raises:
            SkyopsError: The network did not come up, or did not come back.
        """
        testnet = self.testnet = Testnet.create(
            self._directory, name=self._name, topology=topology(self._plan)
        )
        bring_up(testnet, timeout_s=UP_TIMEOUT_S * self._slowness, progress=self._progress)
        reader = Reader(testnet)
        before = reader.chain()
        disturber = Disturber(testnet)
        follower = Follower(testnet, disturber, self._plan.jobs)
        self._began = time.monotonic()
        self._disturb(disturber, follower)
        healed_s = self._heal(disturber, follower)
        deadline = time.monotonic() + END_TIMEOUT_S * self._slowness
        self._until(lambda: follower.is_over or time.monotonic() > deadline, disturber, follower, "healed")
        over_s = self._now()
        self._agree(lambda: reader.look(follower, before, ()), _AGREEMENT)
        agreed_s = self._now()
        troubles = self._settle(reader)
        seen = self._agree(lambda: reader.look(follower, before, troubles), _REDEEMED)
        breaches = breaches_of(seen)
        jobs, faults = tuple(follower.jobs), tuple(disturber.done)
        return Ended(self._plan, seen, breaches, jobs, faults, healed_s, over_s, agreed_s, self._now())

    def _disturb(self, disturber: Disturber, follower: Follower) -> None:
        """Do all faults and submit all jobs."""
        coming = list(self._plan.faults)
        ends_s = LATE_MAX * self._plan.lasts_s + END_TIMEOUT_S * self._slowness

        def is_done() -> bool:
            for fault in [one for one in coming if one.at_s <= self._now()]:
                if disturber.may_begin(fault):  # else it waits
                    coming.remove(fault)
                    disturber.begin(fault, self._now())
            is_late = self._now() > ends_s
            return is_late or (not coming and self._now() >= self._plan.lasts_s and follower.is_all_submitted)

        self._until(is_done, disturber, follower, "chaos")

    def _heal(self, disturber: Disturber, follower: Follower) -> float:
        """Undo everything, and wait until everybody answers.

        Raises:
            TestnetError: `timed_out`.
        """
        disturber.heal(self._now())
        healed_s = self._now()
        patience_s = BACK_TIMEOUT_S * self._slowness
        self._until(
            lambda: disturber.is_quiet or self._now() > healed_s + patience_s,
            disturber,
            follower,
            "healing",
        )
        if not disturber.is_quiet:
            raise TestnetError(f"after {patience_s:.0f} s not every node answers again", code="timed_out")
        return healed_s

    def _until(
        self, is_done: Callable[[], bool], disturber: Disturber, follower: Follower, stage: str
    ) -> None:
        """Go on until something is so; everything else goes on meanwhile."""
        next_look_s = 0.0
        open_max = OPEN_PER_WORKER * len(self._plan.workers)
        while not is_done():
            disturber.tick(self._now())
            if self._now() >= next_look_s:
                follower.submit_due(self._now(), open_max=open_max)
                follower.look(self._now())
                next_look_s = self._now() + _LOOK_S
                self._tell(stage, disturber, follower)
            time.sleep(_TICK_S)

    def _agree(self, look: Callable[[], Observation], names: Sequence[str]) -> Observation:
        """Look until some checks find nothing any more, or for AGREE_TIMEOUT_S; return what was seen last."""
        deadline = time.monotonic() + AGREE_TIMEOUT_S * self._slowness
        while True:
            seen = look()
            apart = [text for name in names for text in CHECKS[name](seen)]
            if not apart or time.monotonic() > deadline:
                return seen
            self._progress(f"{self._now():.0f} s, waiting until both sides agree: {apart[0]}")
            time.sleep(2 * _LOOK_S)

    def _settle(self, reader: Reader) -> list[tuple[str, str]]:
        """Have every worker redeem; return what failed."""
        failed = []
        for name in reader.workers:
            self._progress(f"{self._now():.0f} s, {name} redeems")
            try:
                reader.client(name).payments.settle()
            except SkyopsError as error:
                failed.append((error.code, f"{name} did not redeem: {error.message}"))
        return failed

    def _tell(self, stage: str, disturber: Disturber, follower: Follower) -> None:
        ended = sum(not job.is_open for job in follower.jobs)
        standing = ", ".join(fault.plan.label for fault in disturber.standing) or "nothing is hurt"
        line = (
            f"{self._now():.0f} s, {stage}: {ended} of {len(follower.jobs)} jobs have ended, "
            f"{follower.open_count} are open; {standing}"
        )
        self._progress(line)

    def _now(self) -> float:
        return time.monotonic() - self._began


def topology(plan: Plan) -> Topology:
    """Return the network of a campaign: a requester, a broker, and workers of different prices."""
    nodes = [NodePlan(name=name, worker=False) for name in (REQUESTER, BROKER)]
    for number, name in enumerate(plan.workers):
        price = 600_000 + 150_000 * number
        nodes.append(NodePlan(name=name, slots=SLOTS, cpu_cores=4, price_microcredits_per_hour=price))
    network = NetworkPlan(
        beat_s=stretched_beat_s(BEAT_S, plan.slowness), block_s=BLOCK_S, confirmations=CONFIRMATIONS
    )
    return expand(Topology(network=network, nodes=tuple(nodes)))
