"""The requester as a referee: of two results that differ it runs the one stretch where their checkpoints part.

It has what both workers signed on their way; so it searches by itself, fetches the last state that both had, and runs
the steps up to the next one. That costs one stretch instead of another whole replica. Where it cannot, for want of a
chain, of a runtime or of the state, another worker decides. Spec: protocol/06-verification.md, "Referee".
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.shard_record import Attempt
from skyops_p2p.core.verification import bisection as game
from skyops_p2p.core.verification.bisection import Bisection, Side
from skyops_p2p.core.verification.chain import ResultChain, chain_of, shape_of_results
from skyops_p2p.core.verification.record import Opened
from skyops_p2p.core.verification.referee import ChainPlayer, search, settle
from skyops_p2p.errors import LocalProtocolError, SkyopsError
from skyops_p2p.node.content.shelf import Holder, no_progress
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.node.jobs.shard_task import ShardTask
from skyops_p2p.node.jobs.stretch_run import Stretch, run_stretch
from skyops_p2p.wire.envelope import peek
from skyops_p2p.wire.messages.execution import CheckpointReceipt
from skyops_p2p.wire.messages.verification import StretchPart

log = logging.getLogger(__name__)

SIDES = (Side.EXECUTOR, Side.CHALLENGER)


class Committed(Protocol):
    """One that has committed; see members.Member."""

    @property
    def task(self) -> ShardTask:
        """Its shard."""

    @property
    def attempt(self) -> Attempt | None:
        """Its lease."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two answers."""

    place: int
    receipts: tuple[bytes, ...]
    """Enveloped CheckpointReceipts of its lease, by their steps."""
    chain: ResultChain

    def after(self, number: int) -> bytes | None:
        """Return the receipt after so many stretches; None: before the first, or after its end."""
        return self.receipts[number - 1] if 0 < number <= len(self.receipts) else None


class Referee:
    """Decides between two answers to one shard.

    Args:
        job: Whose shard it is.
    """

    def __init__(self, job: OpenJob) -> None:
        self._job = job

    @property
    def stride(self) -> int | None:
        """Steps between two checkpoints; None: this job has no chain that a referee could use."""
        spec = self._job.spec
        is_chain = self._job.compared == "exact" and spec.checkpoint is not None
        return spec.checkpoint.stride if is_chain and spec.checkpoint is not None else None

    async def decide_until(
        self,
        wait_left: Callable[[], Awaitable[None]],
        primary: ShardTask,
        committed: Sequence[Committed],
        opened: Sequence[Opened],
    ) -> StretchPart | None:
        """Decide as `decide` does; it is given up once `wait_left` returns: the shard goes on without a decision."""
        found: StretchPart | None = None

        async def give_up(scope: trio.CancelScope) -> None:
            await wait_left()
            scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(give_up, nursery.cancel_scope)
            found = await self.decide(primary, committed, opened)
            nursery.cancel_scope.cancel()
        return found

    async def decide(
        self, primary: ShardTask, committed: Sequence[Committed], opened: Sequence[Opened]
    ) -> StretchPart | None:
        """Find the stretch where two answers part, and run it.

        Args:
            primary: The shard; it is told what is done.
            committed: All that committed.
            opened: What they have signed, in the same order.

        Returns:
            What was found; None: it cannot be decided so.
        """
        stride = self.stride
        sides = None if stride is None else self._sides(stride, committed, opened)
        if stride is None or sides is None:
            return None
        shape = shape_of_results(
            opened[0].commit.message.spec_digest, stride, *(side.chain for side in sides)
        )
        players = {
            name: ChainPlayer(shape, side.chain.roots(shape.stretches))
            for name, side in zip(SIDES, sides, strict=True)
        }
        match = Bisection(shape, {name: player.end for name, player in players.items()})
        found = search(match, players)
        if not isinstance(found, game.ExecuteStretch):
            return None
        executed = await self._execute(primary, committed, sides, stride=stride, number=found.number)
        if executed is None or len(settle(match, executed).losers) != 1:
            log.info("stretch_undecided job=%s number=%d", self._job.short, found.number)
            return None
        first, second = sides
        return StretchPart(
            first=first.place,
            second=second.place,
            stride=stride,
            number=found.number,
            first_before=first.after(found.number - 1),
            second_before=second.after(found.number - 1),
            first_after=first.after(found.number),
            second_after=second.after(found.number),
            executed=executed,
        )

    def _sides(
        self, stride: int, committed: Sequence[Committed], opened: Sequence[Opened]
    ) -> tuple[_Side, _Side] | None:
        """Return the two answers with their chains; None: there are not just two, or one of them has none."""
        places: dict[bytes, int] = {}
        for place, one in enumerate(opened):
            if one.answer.root is not None:
                places.setdefault(one.answer.root, place)
        sides = []
        for root, place in places.items():
            attempt = committed[place].attempt
            assert attempt is not None, "only who has committed is judged"
            receipts = tuple(committed[place].task.content.chain(attempt.epoch))
            try:
                chain = chain_of(stride, [peek(data, CheckpointReceipt) for data in receipts], root)
            except LocalProtocolError as error:
                log.info("no_chain job=%s place=%d code=%s", self._job.short, place, error.code)
                return None
            sides.append(_Side(place, receipts, chain))
        has_states = any(side.receipts for side in sides)
        return (sides[0], sides[1]) if len(sides) == len(SIDES) and has_states else None

    async def _execute(
        self,
        primary: ShardTask,
        committed: Sequence[Committed],
        sides: tuple[_Side, _Side],
        *,
        stride: int,
        number: int,
    ) -> bytes | None:
        """Run the stretch; None where that is not possible here, for which the job is not to blame."""
        before = [peek(data, CheckpointReceipt) for side in sides if (data := side.after(number - 1))]
        holders: list[Holder] = []
        for side in sides:
            worker = committed[side.place].task.machine.worker
            holders += [Holder(worker, ())] if worker is not None else []
        stretch = Stretch(primary.index, stride, number, before[0].bundle if before else None, tuple(holders))
        primary.note(f"two results differ from step {stretch.first} on: this node runs these {stride} steps")
        log.info("stretch_begins job=%s number=%d", self._job.short, number)
        try:
            with trio.move_on_after(limits.STRETCH_TIMEOUT_S):
                async with self._job.tools.verify_turn:
                    executed = await run_stretch(self._job, stretch)
                if stretch.before is not None:
                    owner = primary.content.state_owner
                    shelf = self._job.tools.shelf
                    await shelf.fetch(stretch.before, stretch.holders, owner=owner, progress=no_progress)
                return executed
        except SkyopsError as error:
            primary.note(f"it cannot: {error.message} ({error.code})")
            log.info("stretch_not_run job=%s code=%s", self._job.short, error.code)
            return None
        primary.note("it takes too long here: another worker decides")
        return None
