"""EXE-33: programs in real sandboxes, without any network, reach each other through the sockets of their gang."""

import re
from collections.abc import AsyncIterator
from pathlib import PurePosixPath

import pytest
import trio

from skyops_p2p.adapters.system import SystemEntropy
from skyops_p2p.core.execution.gangs import Gang, Member, gang_environment
from skyops_p2p.errors import ExecutionError, NetworkError
from skyops_p2p.node.execution.gang_exchange import GangExchange
from skyops_p2p.node.execution.gang_links import Link
from skyops_p2p.node.execution.gang_seat import GangSeat
from skyops_p2p.ports import ExitKind, Mount, SandboxSpec
from tests.ports.sandbox.box import DEADLINE_S, Box, Finished
from tests.repo.source_tree import text_of
from tests.unit.core.people import BOB

MEMBER = r"""
import os, socket
place, rank = os.environ["SKYOPS_GANG_DIR"], os.environ["SKYOPS_RANK"]
line = socket.socket(socket.AF_UNIX)
if rank == "0":
    line.bind(place + "/listen.sock")
    line.listen()
    line, _ = line.accept()
    data = b""
    while more := line.recv(65536):
        data += more
    line.sendall(data.upper())
else:
    line.connect(place + "/0.sock")
    line.sendall(b"gradients" * 100000)
    line.shutdown(socket.SHUT_WR)
    data = b""
    while more := line.recv(65536):
        data += more
    print(len(data), data[:9].decode())
line.close()
"""

PAGE = re.findall(r"^```python\n(.*?)^```", text_of("docs/gangs.md"), re.MULTILINE | re.DOTALL)
ADDING = PAGE[0] + "print(add(rank + 20))"
BRIDGED = (
    PAGE[1]
    + r"""
line = socket.socket()
if RANK == 0:
    time.sleep(1)  # the bridge tries again
    line.bind(("127.0.0.1", 29500))
    line.listen()
    line, _ = line.accept()
    line.sendall(line.recv(100).upper())
else:
    line.connect(("127.0.0.1", 29500))
    line.sendall(b"over tcp")
    print(line.recv(100).decode(), flush=True)
line.shutdown(socket.SHUT_WR)
assert not line.recv(1)
time.sleep(0.5)
os._exit(0)
"""
)


async def no_others(member: Member) -> Link:
    raise NetworkError(f"{member.peer} is not here", code="dial_failed")


@pytest.fixture
async def exchange() -> AsyncIterator[GangExchange]:
    async with trio.open_nursery() as nursery:
        made = GangExchange(BOB.peer, no_others, SystemEntropy())
        await nursery.start(made.run)
        yield made
        nursery.cancel_scope.cancel()


def member_spec(box: Box, gang: Gang, program: str) -> SandboxSpec:
    control = box.folder / f"control-{gang.rank}"
    control.mkdir(parents=True)
    control.chmod(0o755)
    mounts = (
        Mount(control, PurePosixPath("/skyops"), is_read_only=False),
        Mount(box.folder / "work", PurePosixPath("/work"), is_read_only=False),
    )
    return box.spec(program, mounts=mounts, env=box.env | gang_environment(gang), shares_sockets=True)


async def run_member(box: Box, seat: GangSeat, spec: SandboxSpec) -> Finished:
    """Run a member as its worker does."""
    seat.listen(spec.mounts[0].source / "gang")
    done = await box.run_spec(spec)
    await seat.program_ended(is_well=done.end.exit_code == 0)
    seat.close()
    return done


async def run_gang(box: Box, exchange: GangExchange, program: str) -> list[Finished]:
    """Run two members of one program; return how they ended, by rank."""
    members = {rank: Member(BOB.peer, ()) for rank in (0, 1)}
    gangs = [Gang(bytes(32), 1, rank, 2, members) for rank in members]
    specs = [member_spec(box, gang, program) for gang in gangs]
    seats = [await exchange.open_seat(gang) for gang in gangs]
    done: dict[int, Finished] = {}

    async def run(rank: int) -> None:
        done[rank] = await run_member(box, seats[rank], specs[rank])

    with trio.fail_after(2 * DEADLINE_S):
        async with trio.open_nursery() as nursery:
            for rank in members:
                nursery.start_soon(run, rank)
    ended = [done[rank] for rank in members]
    assert [one.end.kind for one in ended] == [ExitKind.EXITED] * 2, [one.err for one in ended]
    return ended


@pytest.mark.parametrize("runtime", ["docker", "native"], indirect=True)
async def test_members_exchange_bytes_through_their_sockets(box: Box, exchange: GangExchange) -> None:
    ended = await run_gang(box, exchange, MEMBER)
    assert ended[1].text.split() == ["900000", "GRADIENTS"], ended[1].err


@pytest.mark.parametrize("runtime", ["docker", "native"], indirect=True)
async def test_example_of_the_page_adds_up(box: Box, exchange: GangExchange) -> None:
    ended = await run_gang(box, exchange, ADDING)
    assert [one.text.strip() for one in ended] == ["41", "41"], [one.err for one in ended]


@pytest.mark.parametrize("runtime", ["docker", "native"], indirect=True)
async def test_bridge_of_the_page_carries_tcp(box: Box, exchange: GangExchange) -> None:
    ended = await run_gang(box, exchange, BRIDGED)
    assert ended[1].text.strip() == "OVER TCP", [one.err for one in ended]


@pytest.mark.parametrize("runtime", ["wasm"], indirect=True)
async def test_runtime_without_sockets_refuses_a_gang(box: Box) -> None:
    with pytest.raises(ExecutionError) as caught:
        await box.run("print()", shares_sockets=True)
    assert caught.value.code == "not_supported"
