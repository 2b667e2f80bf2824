"""How far the outputs of two workers are apart: both are opened to private files, compared, and wiped.

Spec: protocol/06-verification.md, "Tolerance".
"""

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

import trio

from skyops_p2p.core.verification.arrays import compare_files
from skyops_p2p.core.verification.record import Opened
from skyops_p2p.node.content.shelf import no_progress
from skyops_p2p.node.jobs.open_job import OpenJob
from skyops_p2p.wire.messages.verification import ComparisonPart


async def outputs_apart(job: OpenJob, opened: Sequence[Opened], first: int, second: int) -> ComparisonPart:
    """Compare two answers of the class `numeric`.

    Args:
        job: Whose outputs they are.
        opened: All answers; the outputs of those that are compared are in the store.
        first: Place of one.
        second: Place of the other.

    Raises:
        StoreError, RemoteProtocolError: The blocks are not there, or do not open.

    Rules: VER-12, VER-17.
    """
    if opened[first].answer.root == opened[second].answer.root:
        return ComparisonPart(first=first, second=second, is_equal=True, elements=0, within=0)
    passage = job.folder / "compared" / secrets.token_hex(8)
    try:
        for place in (first, second):
            receipt = opened[place].receipt
            assert receipt is not None, "only what was opened is compared"
            target = passage / str(place)
            await trio.to_thread.run_sync(_make, target)
            if receipt.message.outputs is not None:
                key = job.secrets.content_key
                await job.tools.shelf.open_tree(
                    receipt.message.outputs, target, key=key, progress=no_progress
                )
        asked = job.spec.verification.tolerance
        found = await trio.to_thread.run_sync(
            lambda: _compare(passage / str(first), passage / str(second), asked)
        )
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(lambda: shutil.rmtree(passage, ignore_errors=True))
    is_equal, elements, within = found
    return ComparisonPart(first=first, second=second, is_equal=is_equal, elements=elements, within=within)


def _compare(first: Path, second: Path, asked: int) -> tuple[bool, int, int]:
    """Return whether two trees are equal, and how many elements of how many are within the tolerance; blocks."""
    paths = [_paths(first), _paths(second)]
    is_equal, elements, within = paths[0] == paths[1], 0, 0
    for path in sorted(paths[0] & paths[1]):
        distance, is_alike = compare_files(
            path, (first / path).read_bytes(), (second / path).read_bytes(), asked=asked
        )
        is_equal, elements, within = (
            is_equal and is_alike,
            elements + distance.elements,
            within + distance.within,
        )
    return is_equal, elements, within


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True)


def _paths(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
