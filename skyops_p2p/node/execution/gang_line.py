"""One line at one of its ends: copies between the program's socket and whatever session stands at present.

Nothing is lost when a session breaks; see core/execution/gang_pipe.py. Spec: protocol/05-execution.md, "Lines".
"""

import logging
import math
from collections.abc import Awaitable, Callable

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.gang_pipe import GangPipe
from skyops_p2p.errors import NetworkError, RemoteProtocolError
from skyops_p2p.node.execution import gang_links
from skyops_p2p.node.execution.gang_links import Link
from skyops_p2p.node.execution.gang_sockets import is_closed_whole
from skyops_p2p.wire.messages.gang import GangData, GangTaken

log = logging.getLogger(__name__)

FINAL = frozenset({"done", "gang_closed", "malformed", "flood", "unknown_line", "wrong_type"})
"""Codes of a session's end that are the line's end too. Rules: EXE-30, EXE-31."""


class GangLine:
    """One line.

    Args:
        sock: Connected to the program; the caller's to close.
        may_tell_end: Waits whether the program has ended, and returns whether others may learn that it has closed.
        waits_s: How long the first session is waited for.
    """

    def __init__(
        self,
        sock: trio.socket.SocketType,
        *,
        may_tell_end: Callable[[], Awaitable[bool]],
        waits_s: float,
    ) -> None:
        self.pipe = GangPipe()
        self.code = ""
        """Why it is over; empty while it is not."""
        self._sock = sock
        self._may_tell_end = may_tell_end
        self._changed = trio.Event()
        self._link_scope = trio.CancelScope()
        self._was_linked = False
        self._until = trio.current_time() + waits_s
        """When it is over unless it has a session; infinite while it has."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return bool(self.code)

    def end(self, code: str) -> None:
        """End it, for both programs."""
        self.code = self.code or code
        self._wake()

    async def wait_over(self) -> None:
        """Wait for its end."""
        while not self.is_over:
            await self._changed.wait()

    async def wait_sent(self) -> None:
        """Wait until the other program has got all that ours has sent."""
        while not self.is_over and not self.pipe.is_sent:
            await self._changed.wait()

    async def run(self) -> None:
        """Copy between the program and what waits here, until the line is over."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_program)
            nursery.start_soon(self._write_program)
            while not self.is_over:
                changed = self._changed
                with trio.move_on_at(self._until):
                    await changed.wait()
                if trio.current_time() >= self._until:  # EXE-31
                    self.end("gang_unreachable")
            nursery.cancel_scope.cancel()

    async def carry(self, link: Link, *, taken: int, told: int) -> None:
        """Go on over one session until it or the line ends; an older session gives way.

        Args:
            link: Both sides have said where they stand.
            taken: Where the other side stands.
            told: What it was told of this one.
        """
        self._link_scope.cancel()
        self._link_scope = scope = trio.CancelScope()
        try:
            with scope:
                self.pipe.resume(taken, told=told)
                self._was_linked, self._until = True, math.inf
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._send, link, nursery.cancel_scope)
                    await self._receive(link)
                    nursery.cancel_scope.cancel()
        except RemoteProtocolError as error:
            self._refuse(link, error)
        finally:
            if self._link_scope is scope:
                self._until = trio.current_time() + limits.GANG_RESUME_S
                self._wake()

    # --- the session ----------------------------------------------------------------------------------------------
    async def _send(self, link: Link, scope: trio.CancelScope) -> None:
        """Send what there is to send; with the end of it and of the line, the session is over."""
        try:
            while not self.is_over:
                changed = self._changed
                message = self.pipe.next_message()
                if message is not None:
                    await gang_links.send(link, message)
                elif self.pipe.is_over:
                    self.end("done")
                else:
                    await changed.wait()
        except NetworkError as error:
            log.debug("gang_link_lost peer=%s code=%s", link.peer[-8:], error.code)
        scope.cancel()

    async def _receive(self, link: Link) -> None:
        """Take messages until the session ends."""
        try:
            while True:
                message = await gang_links.receive(link, gang_links.LINE)
                assert isinstance(message, GangData | GangTaken), "no other kind is let through"
                self.pipe.take(message)
                self._wake()
        except NetworkError as error:
            log.debug("gang_link_lost peer=%s code=%s", link.peer[-8:], link.code or error.code)
            if link.code in FINAL:
                self.end("done" if self.pipe.is_over else link.code)
        except RemoteProtocolError as error:  # EXE-30
            self._refuse(link, error)

    def _refuse(self, link: Link, error: RemoteProtocolError) -> None:
        log.info("gang_line_refused peer=%s code=%s", link.peer[-8:], error.code)
        self.end(error.code)

    # --- the program ----------------------------------------------------------------------------------------------
    async def _read_program(self) -> None:
        while True:
            while not self.pipe.room:
                await self._changed.wait()
            try:
                data = await self._sock.recv(min(self.pipe.room, limits.GANG_DATA_BYTES_MAX))
            except OSError:
                data = b""  # it has closed without having read everything
            if not data:
                break
            self.pipe.put(data)
            self._wake()
        if is_closed_whole(self._sock.fileno()):
            if not await self._may_tell_end():  # EXE-32
                await trio.sleep_forever()
            if self.pipe.is_untouched and not self._was_linked:
                self.end("gang_closed")  # it only looked whether somebody is there
        self.pipe.finish()
        self._wake()

    async def _write_program(self) -> None:
        try:
            while not self.pipe.is_end_due:
                changed = self._changed
                data = self.pipe.waiting()
                if data:
                    self.pipe.took(await self._sock.send(data))
                    self._wake()
                else:
                    await changed.wait()
            self._sock.shutdown(trio.socket.SHUT_WR)
        except OSError:  # it does not listen any more
            if not self.pipe.is_end_due and not await self._may_tell_end():  # EXE-32
                await trio.sleep_forever()
            if not self.pipe.is_end_due:
                self.end("gang_closed")
                return
        self.pipe.pass_end()
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
