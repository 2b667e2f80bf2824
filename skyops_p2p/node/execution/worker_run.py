"""One run of a job on this worker: drives its two machines, and performs what they want.

The run outlives its sessions: a requester that was away attaches again, gets the log from where it left off, and the
receipts that it may have missed. Everything that happens is an event on one bounded channel, taken by one task.
Spec: protocol/05-execution.md.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution import lease as ls
from skyops_p2p.core.execution import run_events as ev
from skyops_p2p.core.execution.layout import CONTROL
from skyops_p2p.core.execution.opening import OpenedLease
from skyops_p2p.core.execution.progress import SNAPSHOT_PREFIX
from skyops_p2p.core.execution.run import Run, RunState, RunTerms
from skyops_p2p.core.machine import DeadlineReached, Effect, Event
from skyops_p2p.errors import RemoteProtocolError, SkyopsError
from skyops_p2p.node.execution.keeping import RunKeeping
from skyops_p2p.node.execution.program import RunProgram
from skyops_p2p.node.execution.run_link import RunLink
from skyops_p2p.node.execution.run_pulse import RunPulse
from skyops_p2p.node.execution.steps import RunSteps
from skyops_p2p.node.execution.task_pipe import TaskPipe
from skyops_p2p.node.execution.tools import RunTools
from skyops_p2p.node.lease_link import short_name
from skyops_p2p.node.settlement.facts import facts_of
from skyops_p2p.node.settlement.lane_usage import signed_usage
from skyops_p2p.node.settlement.paid_run import PaidRun
from skyops_p2p.types import MonotonicS
from skyops_p2p.wire.envelope import peek
from skyops_p2p.wire.messages import execution as msg
from skyops_p2p.wire.messages.execution import ResultReceipt

log = logging.getLogger(__name__)

EVENTS_MAX = 256
"""Events of one run that wait; each source has one or two under way."""


class WorkerRun:
    """One run, from LeaseReady until nothing of it is left.

    Args:
        opened: The lease.
        tools: Of the node.
        freed: Called when the machine is free again, with whether the run has ended well: the capacity can be given
            back.
        payment: Of the run; None: it runs free.
    """

    def __init__(
        self,
        opened: OpenedLease,
        tools: RunTools,
        freed: Callable[[bool], Awaitable[None]],
        payment: PaidRun | None = None,
    ) -> None:
        spec, checkpoint = opened.spec, opened.spec.checkpoint
        self.facts = opened.facts
        self.tender = opened.terms.tender.digest
        self._opened = opened
        self._tools = tools
        self._machine_freed = freed
        self._payment = payment
        stride = None if checkpoint is None else checkpoint.stride
        terms = RunTerms(
            checkpoint_interval_s=None
            if checkpoint is None
            else 0.0
            if stride
            else float(checkpoint.interval),
            retry_codes=tuple(spec.retry.exit_codes),
        )
        times = ls.LeaseTimes(ttl_s=opened.request.ttl_ms / 1000)
        self.machine = Run(terms)
        self._lease = ls.Lease(opened.facts.epoch, _now(), is_requester=False, times=times)
        self._events_in, self._events_out = trio.open_memory_channel[Event](EVENTS_MAX)
        self._step_scope = trio.CancelScope()
        self._workspace = AsyncExitStack()
        self._is_machine_held = True
        self._has_last_snapshot = False
        """The runtime saved the program before it was stopped."""
        self._can_snapshot = opened.gang is None and stride is None
        """Until the runtime says that it cannot: many programs save nothing by themselves. A member of a gang holds
        connections, which no snapshot brings back; of a chain, the program's own checkpoints count alone."""
        self._told_phase = ""
        """As the newest beat said it."""
        self._phase_moved = trio.Event()
        self.ended = trio.Event()
        """Set once nothing of it is left: its owner has the result, or there is none."""
        self.keeping = RunKeeping(opened, tools)
        self.pulse = RunPulse(opened, tools)
        self.link = RunLink(opened.facts, self.keeping, self._events_in.send)
        """What the requester says and is told."""
        self._program: RunProgram | None = None
        self.steps: RunSteps | None = None

    # --- what others may do -------------------------------------------------------------------------------------
    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be done."""
        return self.machine.state is RunState.ENDED

    @property
    def phase(self) -> str:
        """As WorkerBeat says it."""
        state = self.machine.state
        if state in (RunState.IDLE, RunState.ENDED):
            return "delivering" if state is RunState.ENDED else "fetching"
        return "paused" if state is RunState.RUNNING and self.pulse.is_paused else state.value

    async def stop(self, code: str, *, grace_s: float) -> None:
        """End the program: the requester wants it, the provider does, or the node shuts down."""
        await self._events_in.send(ev.StopRequested(code, grace_s))

    async def set_paused(self, *, is_paused: bool) -> None:
        """Pause the program, or let it go on; before it has started, see to it that it starts so.

        Raises:
            ExecutionError: The runtime cannot.
        """
        self.pulse.is_paused = is_paused
        self._note_phase()
        if self._program is not None:
            await self._program.set_paused(is_paused=is_paused)

    async def lapse(self, code: str) -> None:
        """End the run without a word: its lease is void."""
        await self._events_in.send(ev.LeaseLapsed(code))

    async def notify_preemption(self, code: str, *, grace_s: float) -> None:
        """Tell the requester that the program will be stopped, then stop it."""
        notice = msg.PreemptionNotice(epoch=self.facts.epoch, code=code, grace_ms=round(grace_s * 1000))
        await self.link.send(notice)
        await self.stop(code, grace_s=grace_s)

    # --- life ---------------------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Drive the run until it has ended."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                nursery.start_soon(self._tell_phases)
                if self._payment is not None:
                    nursery.start_soon(self._payment.follow, self, self.pulse.counts)
                await self._feed(ev.RunBegun())
                while not self.is_over:
                    await self._next()
            finally:
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True, deadline=trio.current_time() + limits.LEASE_STOP_GRACE_S):
                    await self._free_machine()
        self.ended.set()
        await self.link.aclose(self.machine.code or "done")

    async def _next(self) -> None:
        deadlines = [
            at for at in (self.machine.next_deadline(), self._lease.next_deadline()) if at is not None
        ]
        deadline = min(deadlines, default=MonotonicS(float("inf")))
        event: Event = DeadlineReached()
        with trio.move_on_at(deadline):
            event = await self._events_out.receive()
        if isinstance(event, DeadlineReached):
            await self._feed(event, to_lease=True)
            await self._feed(event)
        else:
            await self._feed(event, to_lease=isinstance(event, _LEASE_EVENTS))

    async def _feed(self, event: Event, *, to_lease: bool = False) -> None:
        """Hand an event to a machine, and perform in order what it wants."""
        machine = self._lease if to_lease else self.machine
        for effect in machine.handle(event, _now()):
            await self._perform(effect)
        self._note_phase()

    def _note_phase(self) -> None:
        """Let the meter and the requester know whether the program runs."""
        if self._payment is not None:
            self._payment.clock.turn(_now(), is_running=self.phase == "running")
        if self.phase != self._told_phase:
            self._phase_moved.set()

    async def _perform(self, effect: Effect) -> None:
        match effect:
            case ls.SendBeat():
                self._nursery.start_soon(self._beat)
            case ls.LapseLease(code):
                await self._feed(ev.LeaseLapsed(code))
            case ev.FetchInputs():
                self._step(self._fetch)
            case ev.PrepareSandbox():
                self._step(self._prepare)
            case ev.FinishRun():
                self._step(self._finish, effect)
            case ev.AbortStep():
                self._step_scope.cancel()
            case ev.FreeMachine() | ev.OfferResult() | ev.EndRun():
                await self._conclude(effect)
            case ev.ChargeResult():
                await self._finish_payment()
            case _:
                self._handle_program(effect)

    def _handle_program(self, effect: Effect) -> None:
        match effect:
            case ev.StartProgram() if self.steps is not None:
                self._program = RunProgram(self.steps, self.keeping.book, is_paused=self.pulse.is_paused)
                self._nursery.start_soon(self._run_program, self._program)
            case ev.SaveCheckpoint():
                self._nursery.start_soon(self._save_checkpoint)
            case ev.StopProgram(grace_s) if self._program is not None:
                self._nursery.start_soon(self._stop_program, self._program, grace_s)

    async def _conclude(self, effect: ev.FreeMachine | ev.OfferResult | ev.EndRun) -> None:
        match effect:
            case ev.FreeMachine():
                await self._free_machine()
            case ev.OfferResult():
                if self.keeping.result is not None and self.keeping.result.is_shown:
                    await self._finish_payment()
                self._nursery.start_soon(self.link.send_result)
                self._nursery.start_soon(self.keeping.spread)
            case ev.EndRun(code):
                if self._payment is not None:
                    await self._payment.lapse()
                log.info("run_ended run=%s code=%s", short_name(self.facts), code)
                await self._free_machine()
                await self.keeping.forget(code)

    async def _beat(self) -> None:
        beat = await self.pulse.beat(lambda: self.phase, self._program, self.steps)
        self._told_phase = beat.phase
        await self.link.send(beat)

    async def _tell_phases(self) -> None:
        """Send a beat early when the phase has changed, a few a second at most, until cancelled. Rules: EXE-7."""
        told_at: deque[float] = deque(maxlen=limits.LEASE_EARLY_BEATS_MAX)
        while True:
            await self._phase_moved.wait()
            self._phase_moved = trio.Event()
            if len(told_at) == told_at.maxlen:
                await trio.sleep_until(told_at[0] + limits.LEASE_BEAT_S)
            if self.phase != self._told_phase:
                told_at.append(trio.current_time())
                await self._beat()

    def _step(self, action: Callable[..., Awaitable[Event]], *arguments: object) -> None:
        """Start the one step that may be under way, and report its end unless it is aborted."""
        self._step_scope = scope = trio.CancelScope()
        begun_in = self.machine.state.value

        async def run_step() -> None:
            event: Event
            with scope:
                try:
                    event = await action(*arguments)
                except SkyopsError as error:
                    event = ev.StepFailed(error.code, f"{error.message}. {error.hint}"[:256], begun_in)
                await self._events_in.send(event)

        self._nursery.start_soon(run_step)

    # --- steps --------------------------------------------------------------------------------------------------
    async def _fetch(self) -> Event:
        disk = self._opened.spec.resources.disk
        name = short_name(self.facts)
        root = await self._workspace.enter_async_context(self._tools.workspace.open(name, bytes_max=disk))
        self.steps = RunSteps(self._opened, self._tools, root, self.pulse.phase_moved)
        self._workspace.callback(self.steps.leave_gang)
        await self.steps.join_gang()
        await self.steps.fetch_inputs()
        return ev.InputsFetched()

    async def _prepare(self) -> Event:
        assert self.steps is not None, "prepared before it was fetched"
        self.pulse.phase_moved(0, 0)
        await self.steps.prepare()
        self.pulse.phase_moved(0, 0)  # what is counted of a running program is its own progress
        if self._payment is not None:
            await self._payment.wait_started()  # SET-5
        return ev.SandboxPrepared()

    async def _run_program(self, program: RunProgram) -> None:
        """Run the program to its end, whatever that is, and look after it meanwhile."""
        event: Event
        try:
            async with trio.open_nursery() as nursery:
                if self._opened.request.is_warm:
                    await nursery.start(self._serve_tasks)
                nursery.start_soon(self._watch_checkpoints)
                nursery.start_soon(self.keeping.keep_sealing)
                event = ev.ProgramEnded(await program.run(self._events_in.send))
                self.pulse.last_usage = await program.usage()
                nursery.cancel_scope.cancel()
        except* SkyopsError as group:
            event = _failure(group)
        await self._events_in.send(event)

    async def _serve_tasks(self, task_status: trio.TaskStatus[None]) -> None:
        """Hand tasks to the program, until it ends or says nonsense; then nothing more can come of it."""
        assert self.steps is not None, "served before it was fetched"
        pipe = TaskPipe(self.steps.folder(CONTROL), self.facts.epoch, self.link.send)
        self.link.tasks = pipe
        task_status.started()
        try:
            await pipe.read()
        except RemoteProtocolError as error:
            self.keeping.book.note(f"{error.message}: the program is ended")
            await self._events_in.send(ev.StopRequested("task_protocol", 0.0))
        finally:
            self.link.tasks = None
            with trio.CancelScope(shield=True, deadline=trio.current_time() + limits.LEASE_BEAT_S):
                await pipe.give_up()
                await pipe.aclose()

    async def _watch_checkpoints(self) -> None:
        """Report each checkpoint that the program completes, or that the runtime could make, until cancelled."""
        assert self.steps is not None, "watched before it was fetched"
        while self._opened.spec.checkpoint is not None:
            await trio.sleep(limits.CHECKPOINT_POLL_S)
            name = await trio.to_thread.run_sync(self.steps.next_checkpoint, self.keeping.saved_label)
            if name is None and self._can_snapshot:
                name = SNAPSHOT_PREFIX  # the machine says when: not before the interval is over
            if name is not None and name != self.keeping.saved_label:
                await self._events_in.send(ev.CheckpointSeen(name))

    async def _save_checkpoint(self) -> None:
        assert self.steps is not None, "saved before it was fetched"
        event: Event = ev.CheckpointFailed("none")
        try:
            saved, program = self.keeping.saved_label, self._program
            if await trio.to_thread.run_sync(self.steps.next_checkpoint, saved) is None and program:
                self._can_snapshot = self._can_snapshot and await program.snapshot()
            label = await self.keeping.save_checkpoint(self.steps, self.pulse, is_snapshot=self._can_snapshot)
            if label is not None:
                event = ev.CheckpointStored(label)
                await self.link.send_checkpoint()
        except SkyopsError as error:
            self.keeping.book.note(f"a checkpoint could not be saved: {error.message} ({error.code})")
            event = ev.CheckpointFailed(error.code)
        await self._events_in.send(event)
        await self.keeping.spread()

    async def _stop_program(self, program: RunProgram, grace_s: float) -> None:
        """Have the runtime save a program that saves nothing by itself, if there is time, and end it."""
        began = trio.current_time()
        if self._can_snapshot and self._opened.spec.checkpoint is not None:
            try:
                with trio.move_on_after(grace_s / 2):
                    self._has_last_snapshot = await program.snapshot()
            except SkyopsError as error:
                self.keeping.book.note(f"the program could not be saved: {error.message} ({error.code})")
        await program.stop(max(0.0, grace_s - (trio.current_time() - began)))

    async def _finish(self, effect: ev.FinishRun) -> Event:
        """Seal and sign what the run leaves behind; a fault in the outputs changes the outcome."""
        await self.keeping.finish(effect, self.steps, self.pulse, is_snapshot=self._has_last_snapshot)
        return ev.ResultStored()

    async def _finish_payment(self) -> None:
        """Have the rest paid: the result is signed and written down."""
        result, payment = self.keeping.result, self._payment
        if payment is not None and result is not None:
            payment.read(self.pulse.counts())
            data = result.receipt
            receipt, speed_milli = peek(data, ResultReceipt), self._opened.terms.bid.speed_milli
            payment.note_usage(signed_usage(receipt, self._opened.request.inputs))
            await payment.finish(facts_of(data, receipt, self._opened.spec, speed_milli=speed_milli))

    async def _free_machine(self) -> None:
        """Wipe the workspace, and give the capacity back; a second time nothing happens. Rules: EXE-9."""
        if self._is_machine_held:
            self._is_machine_held = False
            self._step_scope.cancel()
            await self._workspace.aclose()
            await self._machine_freed(self.keeping.has_succeeded)


_LEASE_EVENTS = (ls.PeerHeard, ls.LinkLost, ls.LinkRestored, ls.LeaseCloseRequested)


def _failure(group: BaseExceptionGroup[SkyopsError]) -> Event:
    """Return the first of a program's failures as an event."""
    first = group.exceptions[0]
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, SkyopsError), "the group holds nothing else"
    return ev.StepFailed(first.code, f"{first.message}. {first.hint}"[:256], RunState.RUNNING.value)


def _now() -> MonotonicS:
    return MonotonicS(trio.current_time())
