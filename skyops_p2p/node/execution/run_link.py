"""A run's side of its sessions: what the requester says becomes events, what it must know is told, and told again.

One session at a time carries a run; a newer one takes the place of an older. Spec: protocol/05-execution.md.
"""

import logging
from collections.abc import Awaitable, Callable

import trio

from skyops_p2p.core.execution import lease as ls
from skyops_p2p.core.execution import run_events as ev
from skyops_p2p.core.execution.outcomes import stop_code
from skyops_p2p.core.execution.receipts import LeaseFacts
from skyops_p2p.core.machine import Event
from skyops_p2p.errors import NetworkError, RemoteProtocolError, SkyopsError
from skyops_p2p.node.execution.keeping import RunKeeping
from skyops_p2p.node.execution.task_pipe import TaskPipe
from skyops_p2p.node.lease_link import LeaseLink, short_name
from skyops_p2p.wire.messages import execution as msg
from skyops_p2p.wire.messages.verification import RevealResult
from skyops_p2p.wire.model import Message

log = logging.getLogger(__name__)


class RunLink:
    """The sessions of one run.

    Args:
        facts: Of the lease.
        keeping: Its log and receipts.
        post: Takes what happens.
    """

    def __init__(
        self, facts: LeaseFacts, keeping: RunKeeping, post: Callable[[Event], Awaitable[None]]
    ) -> None:
        self.tasks: TaskPipe | None = None
        """While the program of a warm lease runs."""
        self._facts = facts
        self._keeping = keeping
        self._post = post
        self._link: LeaseLink | None = None

    async def carry(self, link: LeaseLink, log_next: int) -> None:
        """Serve one session of the lease until it ends; a newer one takes its place.

        Args:
            link: LeaseReady has been sent on it.
            log_next: The first log record that the requester lacks.
        """
        previous, self._link = self._link, link
        if previous is not None:
            await previous.aclose("superseded")
        await self._post(ls.LinkRestored())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pump_log, link, log_next)
            nursery.start_soon(self._tell_again, link)
            try:
                while True:
                    await self._take(await link.receive())
            except NetworkError as error:
                log.info("lease_link_ended run=%s code=%s", short_name(self._facts), error.code)
            except RemoteProtocolError as error:  # EXE-18
                await link.aclose(error.code)
            nursery.cancel_scope.cancel()
        if self._link is link:
            self._link = None
            await self._post(ls.LinkLost())

    async def send(self, message: Message) -> None:
        """Send, if a session stands."""
        if self._link is not None:
            await self._send_on(self._link, message)

    async def send_checkpoint(self) -> None:
        """Tell of the checkpoints that were not told yet, and of the newest in any case."""
        count, self._keeping.untold = max(1, self._keeping.untold), 0
        for receipt in self._keeping.checkpoints[-count:]:
            await self.send(msg.CheckpointSaved(receipt=receipt))

    async def send_result(self) -> None:
        """Tell of the result, and before it of the last checkpoint: it may have been saved after the program ended."""
        await self.send_checkpoint()
        if self._keeping.result is not None:
            await self.send(self._keeping.result.message())

    async def aclose(self, code: str) -> None:
        """End the present session, if there is one."""
        if self._link is not None:
            await self._link.aclose(code)

    async def _take(self, message: Message) -> None:
        """Turn a message of the requester into events.

        Raises:
            RemoteProtocolError: `wrong_type`: it has no place here.

        Rules: EXE-18.
        """
        epoch = self._facts.epoch
        match message:
            case msg.Beat() if message.epoch == epoch:
                await self._post(ls.PeerHeard())
            case msg.ResultTaken(receipt=digest) if self._keeping.is_result(digest):
                await self._post(ev.ResultAcknowledged())
            case msg.LeaseStop(code=code, grace_ms=grace_ms) if message.epoch == epoch:  # EXE-19
                await self._post(ev.StopRequested(stop_code(code), grace_ms / 1000))
            case RevealResult():
                await self._show(message)
            case msg.TaskStart() if message.epoch == epoch and self.tasks is not None:
                await self.tasks.start(message)
            case msg.LeaseOpen() | msg.LeaseAttach():
                raise RemoteProtocolError("a lease in a lease", code="wrong_type", rule="EXE-18")

    async def _show(self, request: RevealResult) -> None:
        """Show the result that was committed to.

        Raises:
            RemoteProtocolError: The others have not committed. The result stays hidden.

        Rules: VER-6.
        """
        result = self._keeping.result
        if result is not None and result.show(request):
            await self._post(ev.ResultShown())
            await self.send(result.message())

    async def _tell_again(self, link: LeaseLink) -> None:
        """Repeat what the requester may have missed. Rules: EXE-15."""
        for receipt in self._keeping.checkpoints:
            await self._send_on(link, msg.CheckpointSaved(receipt=receipt))
        if self._keeping.result is not None:
            await self._send_on(link, self._keeping.result.message())

    async def _pump_log(self, link: LeaseLink, number: int) -> None:
        """Send the log from a record on, as it grows; the session's stream slows it down."""
        try:
            while True:
                await self._keeping.book.wait_past(number)
                batch = await self._keeping.book.batch(number)
                if batch is not None:
                    await link.send(batch)
                    number += len(batch.records)
        except SkyopsError as error:
            log.info("log_not_sent run=%s code=%s", short_name(self._facts), error.code)

    async def _send_on(self, link: LeaseLink, message: Message) -> None:
        """Send; a broken session is noticed by whoever reads it, and what counts is told again."""
        try:
            await link.send(message)
        except NetworkError as error:
            log.debug("not_sent run=%s kind=%s code=%s", short_name(self._facts), message.name, error.code)
