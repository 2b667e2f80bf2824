"""A member of a gang on its worker: the sockets of its program, and all its lines to other members.

It is there from before the inputs are fetched, so that others may call early and wait; the sockets follow with the
program. Bounds: GANG_LINES_PER_PAIR_MAX lines to and from each other member, GANG_LINES_MAX in all. Spec:
protocol/05-execution.md, "Gangs".
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.gangs import Gang, Member
from skyops_p2p.errors import NetworkError, SkyopsError
from skyops_p2p.node.execution import gang_links
from skyops_p2p.node.execution.gang_line import FINAL, GangLine
from skyops_p2p.node.execution.gang_links import Link
from skyops_p2p.node.execution.gang_sockets import GangSockets
from skyops_p2p.ports import Entropy
from skyops_p2p.wire.messages.gang import GangConnect, GangReady

log = logging.getLogger(__name__)

Dial = Callable[[Member], Awaitable[Link]]
"""Opens a session with the node of a member."""
LINE_ID_BYTES = 16
FIRST_PAUSE_S = 0.25
ACCEPT_PAUSE_S = 0.1
LEFT = "gang_left"
"""The member is not here any more: whoever called it waits for its requester's word."""


@dataclass(slots=True)
class _Accepted:
    """A line that another member opened."""

    line: GangLine | None = None
    """Once the program has taken the connection."""
    is_ready: trio.Event = field(default_factory=trio.Event)
    """Set when it has, or never will."""


class GangSeat:
    """One member.

    Args:
        gang: As its lease says.
        dial: Opens sessions.
        entropy: Names lines.
    """

    def __init__(self, gang: Gang, dial: Dial, entropy: Entropy) -> None:
        self.gang = gang
        self._dial = dial
        self._entropy = entropy
        self._sockets: GangSockets | None = None
        self._is_listening = trio.Event()
        self._open: set[trio.socket.SocketType] = set()
        self._lines: set[GangLine] = set()
        self._counts: Counter[tuple[str, int]] = Counter()
        """Lines by direction and the other's rank."""
        self._accepted: dict[tuple[int, bytes], _Accepted] = {}
        """By the other's rank and the line's name."""
        self._is_held = False
        self._program_over = trio.Event()
        self._scope = trio.CancelScope()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry lines until `close`."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    task_status.started()
                    await trio.sleep_forever()
        finally:
            self.close()

    # --- the program ----------------------------------------------------------------------------------------------
    def listen(self, folder: Path) -> None:
        """Make the sockets of the program, before it starts.

        Raises:
            ExecutionError: Code `workspace_failed`.

        Rules: EXE-33.
        """
        self._sockets = sockets = GangSockets(folder)
        for rank in self.gang.others():
            listener = trio.socket.from_stdlib_socket(sockets.listen(rank))
            self._open.add(listener)
            self._nursery.start_soon(self._accept, rank, listener)
        self._is_listening.set()

    def hold(self) -> None:
        """Tell others nothing of connections that close from now on: the program is being ended. Rules: EXE-32."""
        self._is_held = True

    async def program_ended(self, *, is_well: bool) -> None:
        """Note the program's end; after a good one, return when others have got what it sent. Rules: EXE-32."""
        self._is_held = self._is_held or not is_well
        self._program_over.set()
        if not self._is_held:
            with trio.move_on_after(limits.GANG_DRAIN_S):
                for line in list(self._lines):
                    await line.wait_sent()

    def close(self) -> None:
        """Leave the gang: nothing of it uses the program's directory any more."""
        is_over = self._program_over.is_set() and not self._is_held
        for line in self._lines:
            line.end("gang_closed" if is_over else LEFT)
        self._scope.cancel()  # before the sockets: nobody waits for them then
        for sock in self._open:
            sock.close()
        if self._sockets is not None:
            self._sockets.close()
            self._sockets = None

    # --- to others ------------------------------------------------------------------------------------------------
    async def _accept(self, rank: int, listener: trio.socket.SocketType) -> None:
        """Take the program's connections to another member."""
        while True:
            try:
                sock, _ = await listener.accept()
            except OSError as error:
                log.warning("gang_socket_not_accepted error=%s", error.strerror)
                await trio.sleep(ACCEPT_PAUSE_S)  # out of descriptors: others must end first
                continue
            if self._has_room("to", rank):
                self._counts["to", rank] += 1
                self._nursery.start_soon(self._call, rank, sock)
            else:
                sock.close()

    async def _call(self, rank: int, sock: trio.socket.SocketType) -> None:
        line = GangLine(sock, may_tell_end=self._may_tell_end, waits_s=limits.GANG_WAIT_S)
        with self._kept(line, sock, ("to", rank)):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_linked, rank, line)
                await line.run()
                nursery.cancel_scope.cancel()

    async def _keep_linked(self, rank: int, line: GangLine) -> None:
        """Open a session for a line, and another one whenever it breaks, until the line is over. Rules: EXE-31."""
        connect = GangConnect(
            token=self.gang.token,
            line=self._entropy.token(LINE_ID_BYTES),
            from_rank=self.gang.rank,
            to_rank=rank,
            taken=0,
            is_new=True,
        )
        pause_s = FIRST_PAUSE_S
        while not line.is_over:
            began = trio.current_time()
            if await self._carry(connect.model_copy(update={"taken": line.pipe.taken}), line):
                connect = connect.model_copy(update={"is_new": False})
            is_long = trio.current_time() - began > limits.GANG_RETRY_S_MAX
            pause_s = FIRST_PAUSE_S if is_long else min(2 * pause_s, limits.GANG_RETRY_S_MAX)
            await trio.sleep(pause_s)

    async def _carry(self, connect: GangConnect, line: GangLine) -> bool:
        """Carry a line over one session; whether the other side has taken it."""
        link: Link | None = None
        try:
            link = await self._dial(self.gang.members[connect.to_rank])
            await gang_links.send(link, connect)
            answer = await gang_links.receive(link, gang_links.ANSWER)
            assert isinstance(answer, GangReady), "no other kind is let through"
            await line.carry(link, taken=answer.taken, told=connect.taken)
            return True
        except NetworkError as error:
            log.debug("gang_not_linked rank=%d code=%s", connect.to_rank, error.code)
            if link is not None and link.code in FINAL:
                line.end(link.code)
        except SkyopsError as error:  # one of the nodes refuses the other for now, or speaks nonsense
            log.info("gang_not_linked rank=%d code=%s", connect.to_rank, error.code)
        finally:
            if link is not None:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + limits.LEASE_BEAT_S):
                    await link.aclose(line.code or "interrupted")
        return False

    # --- from others ----------------------------------------------------------------------------------------------
    async def take(self, link: Link, connect: GangConnect) -> str:
        """Serve one session that another member opened, and return the code with which it is to end.

        Args:
            link: Its node is that of the member that it says it is.
            connect: What it says.

        Rules: EXE-29, EXE-31.
        """
        key = (connect.from_rank, connect.line)
        accepted = self._accepted.get(key)
        if accepted is None:
            if not connect.is_new:
                return "unknown_line"
            if not self._has_room("from", connect.from_rank):
                return "busy"
            accepted = self._accepted[key] = _Accepted()
            self._counts["from", connect.from_rank] += 1
            self._nursery.start_soon(self._serve, key, accepted)
        await accepted.is_ready.wait()
        line = accepted.line
        if line is None or line.is_over:
            return LEFT if line is None else line.code
        try:
            told = line.pipe.taken
            await gang_links.send(link, GangReady(taken=told))
            await line.carry(link, taken=connect.taken, told=told)
        except NetworkError as error:
            log.debug("gang_not_linked rank=%d code=%s", connect.from_rank, error.code)
        return line.code or "interrupted"

    async def _serve(self, key: tuple[int, bytes], accepted: _Accepted) -> None:
        """Connect to the program on behalf of another member, and keep the line until it is over."""
        try:
            with trio.move_on_after(limits.GANG_WAIT_S):
                sock = await self._reach_program()
                line = GangLine(sock, may_tell_end=self._may_tell_end, waits_s=limits.GANG_RESUME_S)
                accepted.line = line
            if accepted.line is None:
                return
            accepted.is_ready.set()
            with self._kept(line, sock, None):
                await line.run()
        finally:
            accepted.is_ready.set()
            del self._accepted[key]
            self._uncount(("from", key[0]))

    async def _reach_program(self) -> trio.socket.SocketType:
        """Wait until the program listens, and connect to it."""
        await self._is_listening.wait()
        while True:
            found = self._sockets.reach_program() if self._sockets is not None else None
            if found is not None:
                return trio.socket.from_stdlib_socket(found)
            await trio.sleep(limits.GANG_LISTEN_POLL_S)

    # --- all ------------------------------------------------------------------------------------------------------
    async def _may_tell_end(self) -> bool:
        """Wait whether a closed connection is the program's end, and tell whether others may learn of it.

        Rules: EXE-32.
        """
        if not self._is_held:
            with trio.move_on_after(limits.GANG_CLOSE_WAIT_S):
                await self._program_over.wait()
        return not self._is_held

    def _has_room(self, direction: str, rank: int) -> bool:
        is_free = self._counts[direction, rank] < limits.GANG_LINES_PER_PAIR_MAX
        return is_free and self._counts.total() < limits.GANG_LINES_MAX

    def _uncount(self, key: tuple[str, int]) -> None:
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key]

    @contextmanager
    def _kept(
        self, line: GangLine, sock: trio.socket.SocketType, key: tuple[str, int] | None
    ) -> Iterator[None]:
        """Know a line, and its socket, for the length of the block."""
        self._lines.add(line)
        self._open.add(sock)
        try:
            yield
        finally:
            line.end(LEFT)
            self._lines.discard(line)
            self._open.discard(sock)
            sock.close()
            if key is not None:
                self._uncount(key)
