"""Workers that do wrong on purpose, on test networks only: so that real processes can be caught at it.

All that they do is here. The rest of a node asks its conduct at four places: before outputs and checkpoints are sealed,
when a result is to be shown, when a meter is read, and when a receipt is signed. Spec: protocol/06-verification.md for
what a copier is up against, 07-settlement.md ("Receipts") for two histories.
"""

from dataclasses import dataclass
from pathlib import Path

from skyops_p2p.config.models import MisbehaviourName
from skyops_p2p.core.settlement.pay_events import ReceiptChain
from skyops_p2p.core.settlement.receipts import ChainPlace
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages.verification import ResultCommit

WRONG_STRETCH = 3
"""The first stretch of a chain of checkpoints that a wrong training changes."""
AT_TIMES_ONE_IN = 3
"""Of so many jobs one is answered with a wrong result, drawn by the job's id."""
METER_PACE = 1.5
"""Seconds that a false meter counts for one: far beyond what two honest clocks may be apart."""
FORKED_AT = 1
"""Place in a worker's chain of receipts that is signed twice."""

SPOILED_BYTES = 8
"""At the end of a file."""


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a worker behaves.

    Args:
        name: Value of the setting worker.misbehaves; empty: honestly.
    """

    name: MisbehaviourName = ""

    def is_spoiling(self, job_id: bytes, allowed: tuple[str, ...], own: PeerId) -> bool:
        """Tell whether what a program left behind is changed.

        Args:
            job_id: Of the job, at least one byte; a replica has one of its own, so nothing tells them apart.
            allowed: Workers that the job asks for by name.
            own: This worker.
        """
        match self.name:
            case "wrong-result" | "wrong-alike" | "copied-commit" | "wrong-training":
                return True
            case "wrong-at-times":
                return job_id[0] % AT_TIMES_ONE_IN == 0
            case "fake-receipts":  # right for the accomplice, who asks for nobody else
                return tuple(allowed) != (own,)
            case _:
                return False

    def is_spoiling_checkpoint(self, done: int, stride: int | None) -> bool:
        """Tell whether a checkpoint is changed: those of a chain, from WRONG_STRETCH on.

        Args:
            done: Steps of the checkpoint.
            stride: Steps of a stretch; None: checkpoints are no chain, and stay right.
        """
        return self.name == "wrong-training" and stride is not None and done >= WRONG_STRETCH * stride

    def mark(self, own: PeerId) -> bytes:
        """Return what decides how outputs are changed: this worker, or nothing where all have agreed to do it alike."""
        return b"" if self.name == "wrong-alike" else own.encode()

    @property
    def hides_results(self) -> bool:
        """Whether a result is committed to, and never shown."""
        return self.name == "hidden-result"

    def copied(self, own: ResultCommit, other: ResultCommit) -> ResultCommit | None:
        """Return a commitment with another worker's value in it, for what was not computed; None: it is honest."""
        if self.name != "copied-commit":
            return None
        return own.model_copy(update={"commitment": other.commitment})

    @property
    def meter_pace(self) -> float:
        """Seconds that the meter counts for one."""
        return METER_PACE if self.name == "fast-meter" else 1.0

    def chain(self) -> ReceiptChain:
        """Return a new chain for this worker's receipts."""
        return ForkingChain() if self.name == "two-histories" else ReceiptChain()


HONEST = Conduct()


class ForkingChain(ReceiptChain):
    """A chain of receipts that forgets its place FORKED_AT once: the next receipt is signed for the same place."""

    def __init__(self) -> None:
        self._place = ChainPlace()
        self._is_forked = False

    @property
    def place(self) -> ChainPlace:
        """Where it ends, as the next signature takes it."""
        return self._place

    @place.setter
    def place(self, place: ChainPlace) -> None:
        if place.sequence == FORKED_AT and not self._is_forked:
            self._is_forked = True
            return
        self._place = place


def spoil(outputs: Path, mark: bytes) -> None:
    """Change the end of the first file of some outputs, as a worker would that did not compute; blocks for a moment.

    Two workers who do not know of each other change it differently.

    Args:
        outputs: A file or a directory; if it holds no file, nothing happens.
        mark: See `Conduct.mark`: with the same one it is changed alike.
    """
    files = [outputs] if outputs.is_file() else sorted(path for path in outputs.rglob("*") if path.is_file())
    if files and not files[0].is_symlink():
        data = files[0].read_bytes()
        files[0].write_bytes(data[:-SPOILED_BYTES] + sha256(mark + data)[:SPOILED_BYTES])
