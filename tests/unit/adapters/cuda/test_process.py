"""The process that computes proofs: whatever it does, the node gets over it. Its answers: tests/ports/prover."""

import sys
from pathlib import Path

import pytest
import trio

from skyops_p2p import limits
from skyops_p2p.adapters.cuda.process import ProcessProver
from skyops_p2p.errors import ExecutionError
from skyops_p2p.wire.messages.proof import OpeningRequest, ProofChallenge

pytestmark = pytest.mark.process

CHALLENGE, SECRET = bytes([1] * 32), bytes([2] * 32)
ASKED = ProofChallenge(beacon=bytes(32), size=48, checkpoints=2, stride=2, lanes=4, rows=9)
HELLO = """
import os, sys
from skyops_p2p.wire import canonical
from skyops_p2p.wire.framing import encode_frame
def say(data):
    sys.stdout.buffer.write(encode_frame(data))
    sys.stdout.buffer.flush()
def hello(name="worse"):
    say(canonical.encode({0: name, 1: 10**9, 2: False}))
"""


def worse(code: str) -> ProcessProver:
    """Return a prover whose child runs other code."""
    return ProcessProver((sys.executable, "-c", HELLO + code))


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def failure(prover: ProcessProver) -> str:
    """Have it fail at the first challenge, or before, and return what it says; its child is gone then."""

    async def use() -> None:
        await prover.prepare()
        await prover.begin(CHALLENGE, ASKED)

    with pytest.raises(ExecutionError) as caught:
        await use()
    assert caught.value.code == "prover_failed"
    assert prover._process is None
    return caught.value.message


async def test_child_that_rests_is_gone_and_another_comes_when_it_is_wanted() -> None:
    prover = ProcessProver()
    with trio.fail_after(60):
        await prover.prepare()
        assert prover._process is not None
        pid = prover._process.pid
        assert is_there(pid)
        await prover.rest()
        assert not is_there(pid)
        with pytest.raises(ExecutionError):
            await prover.begin(CHALLENGE, ASKED)
        await prover.prepare()
        await prover.begin(CHALLENGE, ASKED)
        await prover.rest()


async def test_child_that_is_called_off_is_gone() -> None:
    prover = worse("hello()\nsys.stdin.buffer.read()")
    with trio.fail_after(60):
        await prover.prepare()
        assert prover._process is not None
        pid = prover._process.pid
        with trio.move_on_after(0.01):
            await prover.begin(CHALLENGE, ASKED)
        assert not is_there(pid)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("sys.exit(3)", "ended by itself, status 3"),
        ("say(b'nonsense')", "began with nonsense"),
        ("say(canonical.encode({0: 1}))", "began with nonsense"),
        ("sys.stdout.buffer.write(bytes([255] * 9))", "answered with nonsense"),
        ("hello()\nsys.stdin.buffer.read(1)\nsys.exit(9)", "ended by itself, status 9"),
        ("hello()\nsys.stdin.buffer.read(1)\nsay(b'nonsense')", "answered with nonsense"),
    ],
)
async def test_child_that_does_not_keep_to_it_is_a_failure(code: str, said: str) -> None:
    with trio.fail_after(60):
        assert said in await failure(worse(code))


async def test_child_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    with trio.fail_after(60):
        monkeypatch.setattr(limits, "PROOF_WORK_S_MAX", 0.05)
        assert "longer than 0.05 s" in await failure(worse("hello()\nsys.stdin.buffer.read()"))
        monkeypatch.setattr(limits, "PROOF_PREPARE_S_MAX", 0.05)
        assert "longer than 0.05 s" in await failure(worse("sys.stdin.buffer.read()"))


async def test_child_that_cannot_be_started_is_a_failure() -> None:
    assert "cannot be started" in await failure(ProcessProver(("/nowhere/python",)))


async def test_child_sees_nothing_of_the_nodes_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYOPS_PASSPHRASE", "correct-horse")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    prover = worse('hello(f\'{os.environ.get("SKYOPS_PASSPHRASE")} {os.environ["CUDA_VISIBLE_DEVICES"]}\')')
    with trio.fail_after(60):
        assert (await prover.prepare()).name == "None 1"
        await prover.rest()


async def test_what_a_library_prints_is_no_answer() -> None:
    code = """
from skyops_p2p.adapters.cuda import child
quiet = child.fastest_arithmetic
def loud():
    print("Welcome to a GPU library!")
    os.system("echo and to its tools")
    return quiet()
child.fastest_arithmetic = loud
child.main()
"""
    prover = worse(code)
    with trio.fail_after(60):
        await prover.prepare()
        root = await prover.begin(CHALLENGE, ASKED)
        request = OpeningRequest(root=root.root, secret=SECRET, rows=4, places=0, first=0)
        assert len((await prover.show(request)).rows) == 4
        await prover.rest()
