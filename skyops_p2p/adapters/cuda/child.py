"""The process that computes proofs: `python -m skyops_p2p.adapters.cuda.child`, frames on standard input and output.

It is apart from the node so that a GPU library's memory and context are there only while somebody asks, a crash of one
costs one proof, and the work never holds up the node's own thread. First it says what it runs on; then it answers the
node's requests in their order, and it ends when its input does.
"""

import os
import sys
import time
from collections.abc import Iterator
from typing import BinaryIO

from skyops_p2p.adapters.cuda.arithmetic import DeviceArithmetic
from skyops_p2p.adapters.cuda.choice import describe_arithmetic, fastest_arithmetic
from skyops_p2p.core.auction.poc import matrices
from skyops_p2p.core.auction.poc_arithmetic import Arithmetic, PlainArithmetic
from skyops_p2p.core.auction.poc_prover import ProofWork
from skyops_p2p.limits import FRAME_BYTES_MAX, PROOF_WORK_S
from skyops_p2p.wire import canonical
from skyops_p2p.wire.framing import FrameDecoder, encode_frame
from skyops_p2p.wire.messages.proof import OpeningRequest, ProofChallenge
from skyops_p2p.wire.model import decode_message, encode_message

CHALLENGE, OPENING = b"c", b"o"
"""First byte of a request; a challenge's 32 bytes follow the first one, then the message."""
_READ_BYTES = 64 * 1024


def main() -> None:
    """Serve the node that started this process."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    serve(sys.stdin.buffer, answers)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Say what this runs on, and answer until the input ends."""
    unit = fastest_arithmetic()
    hello = {0: describe_arithmetic(unit), 1: measured(unit), 2: isinstance(unit, DeviceArithmetic)}
    answers.write(encode_frame(canonical.encode(hello)))
    work = ProofWork(unit)
    for request in _frames(requests):
        answers.write(encode_frame(_answer(work, request)))


def measured(unit: Arithmetic) -> int:
    """Return how many operations an arithmetic does in PROOF_WORK_S, by one product of a size that suits it."""
    size = 2048 if isinstance(unit, DeviceArithmetic) else 64 if isinstance(unit, PlainArithmetic) else 512
    left, right = matrices(bytes(32), size)
    unit.advance(left, right, size)  # libraries load more at first use
    started = time.perf_counter()
    unit.advance(left, right, size)
    took_s = max(time.perf_counter() - started, 1e-6)
    return int(2 * size**3 * PROOF_WORK_S / took_s)


def _answer(work: ProofWork, request: bytes) -> bytes:
    if request[:1] == CHALLENGE:
        return encode_message(work.begin(request[1:33], decode_message(ProofChallenge, request[33:])))
    return encode_message(work.show(decode_message(OpeningRequest, request[1:])))


def _frames(source: BinaryIO) -> Iterator[bytes]:
    decoder = FrameDecoder(FRAME_BYTES_MAX)
    while data := os.read(source.fileno(), _READ_BYTES):
        yield from decoder.feed(data)


if __name__ == "__main__":
    main()
