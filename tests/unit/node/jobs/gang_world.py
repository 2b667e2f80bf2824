"""A program that computes together with others through its gang's sockets, for tests in virtual time."""

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.simulation.sandbox import SimBox
from tests.unit.node.jobs.job_world import STEPS, JobWorld, job_world, spec

WORD = 8
"""Bytes of one number on a line."""


def gang_spec(shards: int = 2, **changes: object) -> JobSpec:
    return spec(
        **{"command": ["sum"], "shards": shards, "gang": True, "inputs": [], "retry": {"pause": 1}, **changes}
    )


@contextmanager
def short_path(path: Path) -> "AsyncIterator[str]":  # type: ignore[misc]
    """Name a socket within the 108 bytes that its path may have; a real sandbox's are short by themselves."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


async def call(box: SimBox, rank: int) -> trio.SocketStream:
    """Connect to another member."""
    sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with short_path(box.path(f"{box.env['SKYOPS_GANG_DIR']}/{rank}.sock")) as place:
        await sock.connect(place)
    return trio.SocketStream(sock)


async def listen(box: SimBox) -> trio.SocketListener:
    """Take connections of other members."""
    sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with short_path(box.path(f"{box.env['SKYOPS_GANG_DIR']}/listen.sock")) as place:
        await sock.bind(place)
    sock.listen()
    return trio.SocketListener(sock)


async def receive_exactly(stream: trio.SocketStream, count: int) -> bytes:
    """Read so many bytes; fewer if the other side has closed."""
    data = b""
    while len(data) < count:
        more = await stream.receive_some(count - len(data))
        if not more:
            break
        data += bytes(more)
    return data


class Crew:
    """All members: rank 0 adds up what they have, and tells all."""

    def __init__(self, box: SimBox) -> None:
        self._box = box
        self._rank, size = int(box.env["SKYOPS_RANK"]), int(box.env["SKYOPS_WORLD_SIZE"])
        self._others = size - 1
        self._streams: list[trio.SocketStream] = []

    async def __aenter__(self) -> "Crew":
        if self._rank:
            self._streams = [await call(self._box, 0)]
            return self
        async with await listen(self._box) as listener:
            while len(self._streams) < self._others:
                self._streams.append(await listener.accept())
        return self

    async def __aexit__(self, *_: object) -> None:
        for stream in self._streams:  # what the end of a process does
            stream.socket.close()

    async def add(self, number: int) -> int | None:
        """Return the sum over all members; None if one is gone."""
        if not self._rank:
            for stream in self._streams:
                data = await receive_exactly(stream, WORD)
                if len(data) < WORD:
                    return None
                number += int.from_bytes(data, "big")
        for stream in self._streams:
            try:
                await stream.send_all(number.to_bytes(WORD, "big"))
            except trio.BrokenResourceError:
                return None
        if not self._rank:
            return number
        data = await receive_exactly(self._streams[0], WORD)
        return int.from_bytes(data, "big") if len(data) == WORD else None


def summing(fails: Callable[[SimBox, int], int] = lambda _box, _step: 0) -> Callable[[SimBox], object]:
    """Make a program that adds up the steps of all members, and ends with a code where `fails` says so."""

    async def run(box: SimBox) -> int:
        folder = box.path("/checkpoint")
        saved = sorted(folder.glob("step-*"), key=lambda path: int(path.name[5:]))
        done, total = (int(saved[-1].name[5:]), int(saved[-1].read_text())) if saved else (0, 0)
        await box.print(f"begins at {done}, attempt={box.env['SKYOPS_GANG_ATTEMPT']}")
        async with Crew(box) as crew:
            for step in range(done + 1, STEPS + 1):
                await box.work(1.0)
                code = fails(box, step)
                if code:
                    return code
                summed = await crew.add(step)
                if summed is None:
                    await box.print("a member is gone")
                    return 1
                total += summed
                box.write(f"/checkpoint/step-{step}", str(total).encode())
                box.write("/skyops/progress", f"{step}/{STEPS}\n".encode())
        box.write("/results/total.txt", str(total).encode())
        return 0

    return run


def whole_sum(members: int) -> str:
    """What each member's result must say."""
    return str(members * sum(range(1, STEPS + 1)))


@asynccontextmanager
async def gang_world(folder: Path, **workers: dict[str, object]) -> AsyncIterator[JobWorld]:
    """Alice, and bob and carol as workers, with the program `sum`; `workers` says what more there is, or else."""
    async with job_world(folder) as world:
        world.small.programs["sum"] = summing()  # type: ignore[assignment]
        for name, options in workers.items():
            if name in world.nodes:
                await world.stop(name)
            await world.start(name, enabled=True, **options)
        await world.all_know_each_other()
        yield world
