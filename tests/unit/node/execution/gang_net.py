"""Members of gangs on nodes under MockClock: programs' sockets real, what lies between in memory, easy to cut."""

import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

from skyops_p2p.core.execution.gangs import Gang, Member
from skyops_p2p.errors import NetworkError
from skyops_p2p.node.execution.gang_exchange import GangExchange
from skyops_p2p.node.execution.gang_links import LocalLink, link_pair
from skyops_p2p.node.execution.gang_seat import GangSeat
from skyops_p2p.simulation.entropy import SeededEntropy
from skyops_p2p.types import PeerId
from tests.unit.core.people import BOB, CAROL, MALLORY, Person

TOKEN = bytes([0xD0] * 32)
PEOPLE = (BOB, CAROL, MALLORY)


def gang_of(rank: int, crew: dict[int, Person], token: bytes = TOKEN) -> Gang:
    members = {number: Member(who.peer, ()) for number, who in sorted(crew.items())}
    return Gang(token=token, attempt=1, rank=rank, world_size=8, members=members)


class GangNet:
    """Exchanges by their peer, and the links between them."""

    def __init__(self, folder: Path, nursery: trio.Nursery) -> None:
        self.exchanges: dict[PeerId, GangExchange] = {}
        self.links: list[LocalLink] = []
        """The calling ends of all links so far."""
        self.is_cut = False
        """Nobody reaches anybody."""
        self._folder = folder
        self._nursery = nursery
        self._seats = 0

    def exchange_of(self, who: Person) -> GangExchange:
        async def open_session(member: Member) -> LocalLink:
            await trio.sleep(0.01)
            if self.is_cut:
                raise NetworkError("nobody is reached", code="dial_failed")
            return self.link(who, member.peer)

        return GangExchange(who.peer, open_session, SeededEntropy(7, who.name, 1))

    def link(self, caller: Person, target: PeerId) -> LocalLink:
        """Open a session as its caller, and have the target serve it."""
        near, far = link_pair(caller.peer, target)
        self.links.append(near)
        self._nursery.start_soon(self.exchanges[target].adopt, far)
        return near

    async def cut(self, code: str = "expired") -> None:
        """End all sessions that stand."""
        for link in self.links:
            await link.aclose(code)

    async def join(self, who: Person, gang: Gang, *, listens: bool = True) -> "Crewman":
        """Take a member in, with its program's directory."""
        self._seats += 1
        folder = self._folder / str(self._seats) / "gang"
        folder.parent.mkdir()
        seat = await self.exchanges[who.peer].open_seat(gang)
        crewman = Crewman(seat, folder)
        if listens:
            crewman.begin()
        return crewman


class Crewman:
    """A member: its seat, and what its program does in its directory."""

    def __init__(self, seat: GangSeat, folder: Path) -> None:
        self.seat = seat
        self.folder = folder

    def begin(self) -> None:
        """Make the sockets: the program starts."""
        self.seat.listen(self.folder)

    async def call(self, rank: int) -> trio.SocketStream:
        sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with place_of(self.folder / f"{rank}.sock") as place:
                await sock.connect(place)
        except OSError:
            sock.close()
            raise
        return trio.SocketStream(sock)

    async def listen(self, name: str = "listen.sock") -> trio.SocketListener:
        sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with place_of(self.folder / name) as place:
            await sock.bind(place)
        sock.listen(64)
        return trio.SocketListener(sock)


@contextmanager
def place_of(path: Path) -> Iterator[str]:
    """Name a socket within the 108 bytes that its path may have."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def is_open(folder: Path) -> bool:
    """Tell whether this process holds a directory open."""
    handles = [handle for handle in Path("/proc/self/fd").iterdir() if handle.is_symlink()]
    return any(handle.readlink() == folder for handle in handles if os.path.lexists(handle))


@asynccontextmanager
async def gang_net(folder: Path) -> AsyncIterator[GangNet]:
    """Nodes of bob, carol and mallory."""
    async with trio.open_nursery() as nursery:
        net = GangNet(folder, nursery)
        for who in PEOPLE:
            net.exchanges[who.peer] = exchange = net.exchange_of(who)
            await nursery.start(exchange.run)
        yield net
        nursery.cancel_scope.cancel()


async def receive_all(stream: trio.SocketStream) -> bytes:
    """Read to the end."""
    data = b""
    while more := await stream.receive_some(65_536):
        data += bytes(more)
    return data
