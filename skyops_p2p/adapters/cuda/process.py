"""The prover port over a process of its own: `child` computes, and is ended when nobody asks or it takes too long."""

import logging
import os
import subprocess
import sys
from collections.abc import Sequence

import trio

from skyops_p2p import limits
from skyops_p2p.adapters.cuda.child import CHALLENGE, OPENING
from skyops_p2p.errors import ExecutionError, RemoteProtocolError
from skyops_p2p.ports import ProverSpeed
from skyops_p2p.wire import canonical
from skyops_p2p.wire.framing import FrameDecoder, encode_frame
from skyops_p2p.wire.messages.proof import OpeningRequest, Openings, ProofChallenge, ProofRoot
from skyops_p2p.wire.model import AnyMessage, decode_message, encode_message

log = logging.getLogger(__name__)

_COMMAND = (sys.executable, "-P", "-m", "skyops_p2p.adapters.cuda.child")
_KEPT = (
    "PATH",
    "HOME",
    "LD_LIBRARY_PATH",
    "CUDA_HOME",
    "CUDA_PATH",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
)
"""Variables that GPU libraries read. Nothing else of the node's environment: it may hold keys."""


class ProcessProver:
    """Proves in a child process, on a GPU if there is one.

    Args:
        command: What the child runs; tests give it something worse.
    """

    def __init__(self, command: Sequence[str] = _COMMAND) -> None:
        self._command = command
        self._process: trio.Process | None = None
        self._frames = FrameDecoder(limits.FRAME_BYTES_MAX)
        self._speed: ProverSpeed | None = None

    async def prepare(self) -> ProverSpeed:
        """See ports.Prover."""
        if self._speed is None or self._process is None:
            self._frames = FrameDecoder(limits.FRAME_BYTES_MAX)
            hello = await self._exchange(None, limits.PROOF_PREPARE_S_MAX)
            match _decoded(hello):
                case {0: str(name), 1: int(operations), 2: bool(is_device)}:
                    self._speed = ProverSpeed(name, operations, is_device)
                case _:
                    await self.rest()
                    raise _failure("it began with nonsense")
        return self._speed

    async def begin(self, challenge: bytes, asked: ProofChallenge) -> ProofRoot:
        """See ports.Prover."""
        request = CHALLENGE + challenge + encode_message(asked)
        return await self._ask(request, ProofRoot)

    async def show(self, request: OpeningRequest) -> Openings:
        """See ports.Prover."""
        return await self._ask(OPENING + encode_message(request), Openings)

    async def rest(self) -> None:
        """See ports.Prover."""
        process, self._process, self._speed = self._process, None, None
        if process is None:
            return
        with trio.CancelScope(shield=True):  # killed, it is gone in a moment
            process.kill()
            await process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    await stream.aclose()

    async def _ask(self, request: bytes, kind: type[AnyMessage]) -> AnyMessage:
        answer = await self._exchange(request, limits.PROOF_WORK_S_MAX)
        try:
            return decode_message(kind, answer)
        except RemoteProtocolError as error:
            await self.rest()
            raise _failure("it answered with nonsense") from error

    async def _exchange(self, request: bytes | None, timeout_s: float) -> bytes:
        """Send a request, if any, and return the next frame; whatever goes wrong ends the child."""
        is_done = False
        try:
            with trio.move_on_after(timeout_s):
                answer = await self._next_frame(request)
                is_done = True
                return answer
            raise _failure(f"it took longer than {timeout_s:g} s")
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise _failure("it cannot be started, or has gone") from error
        finally:
            if not is_done:
                await self.rest()

    async def _next_frame(self, request: bytes | None) -> bytes:
        if self._process is None:
            if request is not None:
                raise _failure("it has gone")
            self._process = await self._start()
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        if request is not None:
            await process.stdin.send_all(encode_frame(request))
        frames: list[bytes] = []
        while not frames:
            data = await process.stdout.receive_some()
            if not data:
                raise _failure(f"it ended by itself, status {await process.wait()}")
            try:
                frames = self._frames.feed(bytes(data))
            except RemoteProtocolError as error:
                raise _failure("it answered with nonsense") from error
        return frames[0]

    async def _start(self) -> trio.Process:
        env = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return await trio.lowlevel.open_process(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C at the node's terminal is for the node, which ends it in order
            # The import path, so that a checkout works too.
            env={**env, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
        )


def _decoded(frame: bytes) -> object:
    try:
        return canonical.decode(frame)
    except RemoteProtocolError:
        return None


def _failure(text: str) -> ExecutionError:
    log.warning("prover_failed: %s", text)
    return ExecutionError(
        f"the process that proves compute: {text}",
        code="prover_failed",
        hint="`skyops doctor` on a worker says what it would compute with; look at free memory.",
    )
