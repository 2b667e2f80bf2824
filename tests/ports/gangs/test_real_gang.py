"""A gang for real: libp2p between three nodes of this machine, bubblewrap around its members; alice submits."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio

from skyops_p2p import Node, NodeConfig
from skyops_p2p.adapters.system import SystemEntropy
from skyops_p2p.config import NetworkSection, PresenceSection, WorkerSection
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.node.identity import create_identity
from tests.ports.sandbox import native_box
from tests.ports.sandbox.conftest import skip_unless_there

NAMES = ("alice", "bob", "carol")
DEADLINE_S = 240.0
"""Far beyond what it takes, on a machine with other things to do as well."""
MEMBER = r"""
import os, socket
place, rank = os.environ["SKYOPS_GANG_DIR"], int(os.environ["SKYOPS_RANK"])
mine, line = bytes([rank]) * 3_000_000, socket.socket(socket.AF_UNIX)
if rank == 0:
    line.bind(place + "/listen.sock")
    line.listen()
    line, _ = line.accept()
else:
    line.connect(place + "/0.sock")
def receive():
    data = b""
    while len(data) < len(mine):
        data += line.recv(1 << 20) or exit(1)
    return data
# One side reads while the other writes: nobody waits for room on both.
if rank == 0:
    theirs = receive()
    line.sendall(mine)
else:
    line.sendall(mine)
    theirs = receive()
line.shutdown(socket.SHUT_WR)
assert not line.recv(1)
with open("/results/sum.txt", "w") as file:
    file.write(str(sum(a + b for a, b in zip(mine, theirs))))
"""


@asynccontextmanager
async def nodes(folder: Path) -> AsyncIterator[dict[str, Node]]:
    """Start all, connected; bob and carol work."""
    made: dict[str, Node] = {}
    async with AsyncExitStack() as stack:
        for name in NAMES:
            identity = await create_identity(
                folder / name, passphrase="", entropy=SystemEntropy(), kdf_work=1024
            )
            config = NodeConfig(
                data_dir=folder / name,
                is_testnet=True,
                network=NetworkSection(name="testnet-gang", listen=("/ip4/127.0.0.1/tcp/0",), mdns=False),
                presence=PresenceSection(beat_s=1.0),
                worker=WorkerSection(enabled=name != "alice"),
            )
            made[name] = await stack.enter_async_context(Node(config, identity))
            if name != "alice":
                await made[name].join(made["alice"].status().listen[0])
        yield made


def knows_workers(node: Node) -> bool:
    views = [view for view in node.map() if view.state == "active" and view.peer_id != node.peer_id]
    return len(views) == len(NAMES) - 1


@pytest.mark.net
async def test_members_on_two_nodes_exchange_megabytes_over_libp2p(tmp_path: Path) -> None:
    skip_unless_there("native", native_box.missing())
    job_spec = JobSpec.model_validate(
        {
            "name": "gang",
            "runtime": "native",
            "command": native_box.run_python(MEMBER, ())["command"],
            "outputs": [{"path": "/results"}],
            "resources": {"cpu": 1, "memory": "256Mi", "disk": "64Mi"},
            "timeouts": {"queue": "3m", "execution": "3m"},
            "shards": 2,
            "gang": True,
        }
    )
    with trio.fail_after(DEADLINE_S):
        async with nodes(tmp_path) as made:
            await made["alice"].wait_for(knows_workers, timeout_s=DEADLINE_S)
            job = await made["alice"].submit(job_spec, base_dir=tmp_path)
            view = await job.wait()
            assert view.state == "succeeded", view
            workers = {shard.worker for shard in view.shards}
            assert workers == {made["bob"].peer_id, made["carol"].peer_id}
            await job.result(tmp_path / "out")
    texts = [path.read_text() for path in (tmp_path / "out").rglob("sum.txt")]
    assert texts == ["3000000"] * 2
