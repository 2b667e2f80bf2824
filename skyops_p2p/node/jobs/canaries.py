"""The canaries of an array: shards that this node computes, too, before it takes anybody's result of them.

A shard becomes one also where workers have come to different results and no majority. Which others there are follows
from a secret that is kept with the job, so a restart comes to the same ones, and computes those anew whose shards have
not ended. One is computed at a time, while workers do the others. Nothing here says that anybody is wrong; see
settling.py. Spec: protocol/06-verification.md, "Canaries".
"""

import logging
from collections.abc import Awaitable, Callable

import trio

from skyops_p2p.core.execution.faults import longest_lease_s
from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.node.jobs.stretch_run import run_shard

log = logging.getLogger(__name__)


class Canaries:
    """Those of one job.

    Args:
        job: The job.
        told: Told which shard could not be computed here, and why, in a sentence.
    """

    def __init__(self, job: OpenJob, told: Callable[[int, str], None]) -> None:
        self._job = job
        self._told = told
        self._shards = job.canary_shards()
        self._known: dict[int, bytes] = {}
        """Shard -> answer root that this node came to, 32 bytes."""
        self._given_up: dict[int, str] = {}
        """Shard -> why this node came to none, as a clause."""

    def is_due(self, shard: int) -> bool:
        """Tell whether a shard is a canary that was neither computed yet nor given up."""
        return shard in self._shards and shard not in self._known and shard not in self._given_up

    def take_up(self, shard: int) -> bool:
        """Make a shard one whose workers disagree, if it can be computed here; tell whether it is one only now.

        Rules: VER-31.
        """
        is_new = shard not in self._shards and self._job.is_computable_here
        if is_new:
            self._shards = (*self._shards, shard)
        return is_new

    def known(self, shard: int) -> bytes | None:
        """Return the answer root of a shard that was computed here; None: it is no canary, or was not."""
        return self._known.get(shard)

    def why_given_up(self, shard: int) -> str:
        """Return why a canary could not be computed here; empty: it could, or is none."""
        return self._given_up.get(shard, "")

    async def run_ahead(self, is_over: Callable[[int], bool]) -> None:
        """Compute all of them, one after the other, but for those whose shards have ended."""
        for shard in self._shards:
            if not is_over(shard):
                await self._compute(shard)

    async def compute_until(self, wait_left: Callable[[], Awaitable[None]], shard: int) -> None:
        """Compute one, or wait until that is done; given up for now once `wait_left` returns: it is not waited for."""

        async def give_up(scope: trio.CancelScope) -> None:
            await wait_left()
            scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(give_up, nursery.cancel_scope)
            await self._compute(shard)
            nursery.cancel_scope.cancel()

    async def _compute(self, shard: int) -> None:
        async with self._job.tools.verify_turn:
            if not self.is_due(shard):
                return
            log.info("canary_begins job=%s shard=%d", self._job.short, shard)
            root = None
            try:
                with trio.move_on_after(longest_lease_s(self._job.spec.timeouts.execution)) as scope:
                    root = await run_shard(self._job, shard)
            except SkyopsError as error:
                self._give_up(shard, f"{error.message} ({error.code})")
                return
        if root is not None:
            self._known[shard] = root
            log.info("canary_done job=%s shard=%d", self._job.short, shard)
            return
        took_long = "it takes too long here"
        self._give_up(shard, took_long if scope.cancelled_caught else "the program came to no answer here")

    def _give_up(self, shard: int, why: str) -> None:
        self._given_up[shard] = why
        log.warning("canary_given_up job=%s shard=%d %s", self._job.short, shard, why)
        self._told(shard, f"this node could not compute it, too: {why}")
