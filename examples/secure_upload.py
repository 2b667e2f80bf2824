"""A job with private data and a secret: both nodes keep ciphertext only, and only alice can open the result.

    python examples/secure_upload.py

Two nodes in one program: alice submits, bob runs the job in his WebAssembly sandbox (examples/digits). Then the files
of both are searched for the data and the secret. Needs no network but loopback, and leaves nothing behind.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from skyops_p2p import JobSpec, Node, NodeConfig
from skyops_p2p.adapters.system import SystemEntropy
from skyops_p2p.config import NetworkSection, PresenceSection, WorkerSection
from skyops_p2p.node.identity import create_identity
from skyops_p2p.types import Multiaddr

DIGITS = Path(__file__).resolve().parent / "digits"
SECRET = "a value that only the worker learns"


async def make_node(data_dir: Path, worker: WorkerSection) -> Node:
    """Make a node of a test network with fresh keys; nothing on it is worth money."""
    identity = await create_identity(data_dir, passphrase="", entropy=SystemEntropy(), kdf_work=1024)
    config = NodeConfig(
        data_dir=data_dir,
        is_testnet=True,
        network=NetworkSection(name="testnet-upload", listen=("/ip4/127.0.0.1/tcp/0",)),
        presence=PresenceSection(beat_s=1.0),
        worker=worker,
    )
    return Node(config, identity)


def training() -> JobSpec:
    """Return a short training run on the data beside this program."""
    return JobSpec.model_validate(
        {
            "name": "secure-upload",
            "module": "file:train_c/train.wasm",
            "args": ["--epochs", "20"],
            "inputs": [{"path": "/data", "uri": "file:data"}],
            "outputs": [{"path": "/results"}],
            "secrets": [{"name": "API_TOKEN", "value": SECRET}],
            "resources": {"cpu": 1, "memory": "64Mi", "disk": "16Mi"},
        }
    )


def pieces(data: bytes) -> Iterator[bytes]:
    """Yield pieces of the data that would betray it."""
    for start in range(0, len(data) - 64, len(data) // 50):
        yield data[start : start + 64]


def found_in(folder: Path, wanted: list[bytes]) -> list[Path]:
    """Return the files below a directory that hold one of some byte strings."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if any(piece in path.read_bytes() for piece in wanted)]


async def main() -> None:
    """Run both nodes and the job, and search their disks."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        alice = await make_node(folder / "alice", WorkerSection())
        bob = await make_node(folder / "bob", WorkerSection(enabled=True))
        async with alice, bob:
            await alice.join(Multiaddr(bob.status().listen[0]))
            await alice.wait_for(
                lambda node: any(view.is_worker and view.state == "active" for view in node.map()),
                timeout_s=60,
            )
            job = await alice.submit(training(), base_dir=DIGITS)
            view = await job.wait()
            print(f"job {view.state}: {view.meaning}")
            result = await job.result(folder / "results")
            print(f"alice opened {result.files} files with {result.size_bytes} bytes")
            betraying = [SECRET.encode(), *pieces((DIGITS / "data" / "digits.bin").read_bytes())]
            print(
                f"the data lies in the clear in {[path.name for path in found_in(DIGITS / 'data', betraying)]}"
            )
            for name in ("alice", "bob"):
                held = [path for path in (folder / name / "content").rglob("*") if path.is_file()]
                clear = await trio.to_thread.run_sync(found_in, folder / name, betraying)
                print(
                    f"{name} keeps {len(held)} files of content, {len(clear)} files with something in the clear"
                )


if __name__ == "__main__":
    trio.run(main)
