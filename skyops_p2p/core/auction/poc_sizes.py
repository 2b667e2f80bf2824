"""How large a challenge is: what may be asked for, and what is asked of whom. Spec: protocol/04-auction.md, AUC-36.

An asker begins with the largest size that the worker's record promises, and takes the next smaller one where the worker
refuses. The smallest is for plain Python and is refused by nobody.
"""

from skyops_p2p import limits
from skyops_p2p.core.auction.poc import Parameters
from skyops_p2p.core.auction.poc_memory import Layout
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.messages.peering import NodeRecord
from skyops_p2p.wire.messages.proof import ProofChallenge

FOR_GPUS = Parameters(size=2048, checkpoints=16, stride=2)
"""5.5 * 10^11 operations; 71 MB are committed to, and three drawn rows fill a message."""
FOR_NUMPY = Parameters(size=512, checkpoints=4)
"""1.1 * 10^9 operations: a tenth of a second on one core of 2020. The asker checks it without numpy too."""
FOR_PYTHON = Parameters(size=64, checkpoints=1)
"""5 * 10^5 operations: PROOF_OPERATIONS_MIN."""
ROWS_DRAWN = 16
"""Of each answer. To leave out a part of the rows does not pay: with a share p of them done the throughput grows by
1/p, and the answer passes with p^16."""
PLACES_DRAWN = 8


def sizes_for(record: NodeRecord, *, is_quick: bool) -> tuple[Parameters, ...]:
    """Return what to ask of a worker, the largest first.

    Args:
        record: Its node record.
        is_quick: Whether we can check the largest size in well under a second: with numpy.
    """
    smaller = (FOR_NUMPY, FOR_PYTHON)
    return (FOR_GPUS, *smaller) if record.hardware.gpus and is_quick else smaller


def parameters_of(asked: ProofChallenge) -> Parameters:
    """Return what a challenge asks to be computed."""
    return Parameters(asked.size, asked.checkpoints, asked.stride)


def layout_of(asked: ProofChallenge) -> Layout | None:
    """Return the memory that a challenge asks to be filled, or None."""
    return Layout(asked.lanes, asked.rows) if asked.lanes else None


def check_challenge(asked: ProofChallenge) -> None:
    """Refuse what no worker takes: its answer would not fit a message, or its traces the memory.

    Raises:
        RemoteProtocolError: Code `challenge_refused`.

    Rules: AUC-36.
    """
    size, blocks = asked.size, asked.lanes * asked.rows
    faults = {
        "a row with its products is too long": (1 + 4 * asked.stride) * size > limits.PROOF_ROW_BYTES_MAX,
        "too much is committed to": (asked.checkpoints + 1) * size**2 > limits.PROOF_KEPT_BYTES_MAX,
        "the memory is too large": blocks > limits.PROOF_BLOCKS_MAX,
        "the memory has no shape": (asked.rows < 2) if asked.lanes else (asked.rows > 0),
    }
    for fault, is_there in faults.items():
        if is_there:
            raise refusal(fault)


def refusal(text: str) -> RemoteProtocolError:
    """Say that a challenge is not taken as large as it is. Rules: AUC-36."""
    return RemoteProtocolError(text, code="challenge_refused", rule="AUC-36")
