"""The verdicts of this node: files that anybody can check without a network, one for each shard that was compared.

Spec: protocol/06-verification.md, "Checking a verdict".
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import trio

from skyops_p2p import limits
from skyops_p2p.core.verification.check import CheckedVerdict, check_verdict
from skyops_p2p.errors import ExecutionError, StoreError

log = logging.getLogger(__name__)

FOLDER, SUFFIX = "verdicts", ".verdict"
VerdictMade = Callable[[CheckedVerdict, bytes], None]
"""Takes a verdict of this node that holds, and its bytes."""


class VerdictFiles:
    """Verdicts below the directory of each job.

    Args:
        folder: Holds a directory for each job.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.made: VerdictMade = _nobody
        """Told of each new one."""

    async def keep(self, data: bytes, job_id: bytes, shard: int) -> CheckedVerdict:
        """Write a verdict down; a newer one of the same shard takes its place, but for this node's own word.

        Where all were wrong the shard is computed anew; what it says of them stays beside the next one's.

        Args:
            data: The enveloped Verdict.
            job_id: 16 bytes.
            shard: Which shard.

        Raises:
            StoreError: Code `store_unusable`: it cannot be written.
        """
        checked = check_verdict(data)
        for finding in checked.findings:
            log.warning("verdict_does_not_hold rule=%s: %s", finding.rule, finding.text)
        try:
            if _is_against_all(checked):
                beside = self._path(job_id, shard, epoch=checked.judged[0].epoch)
                await trio.to_thread.run_sync(_write, beside, data)
            await trio.to_thread.run_sync(_write, self._path(job_id, shard), data)
        except OSError as error:
            raise StoreError(
                f"a verdict cannot be written: {error.strerror}",
                code="store_unusable",
                hint="Make room on the disk of the node's directory.",
            ) from error
        if checked.holds:
            self.made(checked, data)
        return checked

    async def read(self, job_id: bytes, shard: int) -> bytes:
        """Return the newest verdict about a shard.

        Raises:
            ExecutionError: Code `no_verdict`.
        """
        try:
            return await trio.to_thread.run_sync(read_verdict, self._path(job_id, shard))
        except OSError as error:
            raise ExecutionError(
                f"there is no verdict about shard {shard} of job {job_id.hex()[:12]}",
                code="no_verdict",
                hint="There is one once results were compared: verification.redundancy of 2 or more, class exact or "
                "numeric; or for canaries.",
            ) from error

    async def pass_on(self, count_max: int) -> None:
        """Tell `made` of the newest verdicts that there are, as if they were new: after a restart.

        Args:
            count_max: How many at most; what cannot be read is left out.
        """
        for data in await trio.to_thread.run_sync(_newest, self._folder, count_max):
            checked = check_verdict(data)
            if checked.holds:
                self.made(checked, data)
            await trio.lowlevel.checkpoint()

    def _path(self, job_id: bytes, shard: int, *, epoch: int | None = None) -> Path:
        name = f"shard-{shard}" if epoch is None else f"shard-{shard}-{epoch}"
        return self._folder / job_id.hex() / FOLDER / f"{name}{SUFFIX}"


def _is_against_all(checked: CheckedVerdict) -> bool:
    """Tell whether nobody is right, and somebody wrong: only what this node came to itself says so. Rules: VER-30."""
    return checked.winner is None and any(one.fault == "wrong" for one in checked.judged)


def read_verdict(path: Path) -> bytes:
    """Read a file that may hold a verdict, and no more of it than a verdict can have; blocks for a moment.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return file.read(limits.VERDICT_BYTES_MAX + 1)


def _newest(folder: Path, count_max: int) -> list[bytes]:
    found = [(path.stat().st_mtime, path) for path in folder.glob(f"*/{FOLDER}/*{SUFFIX}") if path.is_file()]
    verdicts = []
    for _, path in sorted(found, reverse=True)[:count_max]:
        try:
            verdicts.append(read_verdict(path))
        except OSError as error:
            log.warning("verdict_not_read path=%s: %s", path, error.strerror)
    return verdicts


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _nobody(_checked: CheckedVerdict, _data: bytes) -> None:
    """Take verdicts where nobody wants to know."""
