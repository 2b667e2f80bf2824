"""All members of gangs that run on this node, and the sessions by which others reach them.

Nobody gets further than the token and the list of members say: a stranger, a member of another gang and a member that
is not here are told the same. Spec: protocol/05-execution.md, "Lines".
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable

import trio

from skyops_p2p import limits
from skyops_p2p.core.execution.gangs import Gang, Member
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.errors import NetworkError, RemoteProtocolError
from skyops_p2p.node.execution import gang_links
from skyops_p2p.node.execution.gang_links import Link, link_pair
from skyops_p2p.node.execution.gang_seat import GangSeat
from skyops_p2p.ports import Entropy
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages.gang import GangConnect

log = logging.getLogger(__name__)

OpenGangSession = Callable[[Member], Awaitable[Link]]
"""Opens a session of the gang protocol with a member's node, dialling it if need be."""
UNKNOWN = "unknown_gang"


class GangExchange:
    """The members on one node.

    Args:
        own: This node: members on it reach each other in memory.
        open_session: Reaches other nodes.
        entropy: Names lines.
    """

    def __init__(self, own: PeerId, open_session: OpenGangSession, entropy: Entropy) -> None:
        self._own = own
        self._open_session = open_session
        self._entropy = entropy
        self._seats: dict[tuple[bytes, int], GangSeat] = {}
        """By the token's digest, so that no comparison tells of the token, and the rank."""
        self._half_open: Counter[PeerId] = Counter()
        """Sessions that have not said what they are for."""
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry lines until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    async def open_seat(self, gang: Gang) -> GangSeat:
        """Take a member in; it is there until its `close`."""
        assert self._nursery is not None, "used before it runs"
        seat = GangSeat(gang, self._dial, self._entropy)
        await self._nursery.start(self._seated, seat)
        return seat

    async def adopt(self, link: Link) -> None:
        """Serve one session that a node opened for a line, until it ends. Rules: EXE-29."""
        peer = link.peer
        if (
            self._half_open.total() >= limits.GANG_HALF_OPEN_MAX
            or self._half_open[peer] >= limits.GANG_HALF_OPEN_PER_PEER_MAX
        ):
            await link.aclose("busy")
            return
        code = "timeout"
        try:
            self._half_open[peer] += 1
            try:
                with trio.fail_after(limits.GANG_ANSWER_S):
                    connect = await gang_links.receive(link, gang_links.FIRST)
            finally:
                self._half_open[peer] -= 1
                if not self._half_open[peer]:
                    del self._half_open[peer]
            assert isinstance(connect, GangConnect), "no other kind is let through"
            seat = self._seats.get((sha256(connect.token), connect.to_rank))
            is_member = seat is not None and seat.gang.has(connect.from_rank, peer)  # EXE-29
            code = await seat.take(link, connect) if seat is not None and is_member else UNKNOWN
        except (NetworkError, RemoteProtocolError) as error:
            code = error.code
        except trio.TooSlowError:
            log.debug("gang_session_silent peer=%s", peer[-8:])
        log.debug("gang_session_ended peer=%s code=%s", peer[-8:], code)
        await link.aclose(code)

    async def _seated(self, seat: GangSeat, task_status: trio.TaskStatus[None]) -> None:
        key = (sha256(seat.gang.token), seat.gang.rank)
        self._seats[key] = seat
        try:
            await seat.run(task_status=task_status)
        finally:
            if self._seats.get(key) is seat:
                del self._seats[key]

    async def _dial(self, member: Member) -> Link:
        """Open a session with a member's node, or a link to a member that is here.

        Raises:
            NetworkError: It cannot be reached.
            RemoteProtocolError: One node refuses the other.
        """
        if member.peer != self._own:
            return await self._open_session(member)
        assert self._nursery is not None, "used before it runs"
        near, far = link_pair(self._own, self._own)
        self._nursery.start_soon(self.adopt, far)
        return near
