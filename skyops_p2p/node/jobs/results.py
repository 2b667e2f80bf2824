"""Open what came of a job: outputs are decrypted on this machine only, into a directory that the person names."""

import secrets
import shutil
from pathlib import Path

import trio

from skyops_p2p.errors import ExecutionError, SkyopsError
from skyops_p2p.node.content.shelf import Progress, no_progress
from skyops_p2p.node.jobs.job_task import JobTask
from skyops_p2p.node.jobs.job_views import ResultView
from skyops_p2p.wire.envelope import peek
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.messages.execution import ResultReceipt


def outputs_of(task: JobTask) -> list[tuple[int, BundleRef]]:
    """Return (shard, sealed outputs) of all shards that have some."""
    found = []
    for shard in task.shards:
        result = peek(shard.record.result, ResultReceipt) if shard.record.result else None
        if result is not None and result.outputs is not None:
            found.append((shard.index, result.outputs))
    return found


def no_result(task: JobTask) -> ExecutionError:
    """Return the error for a job without outputs."""
    view = task.view()
    return ExecutionError(
        f"job {task.job.short} has no outputs ({view.state})",
        code="no_result",
        hint="`skyops logs` shows what the program said; outputs are what the job file lists under them."
        if view.is_over
        else "Wait for it with `skyops status --watch`.",
    )


async def open_result(task: JobTask, into: Path, *, progress: Progress) -> ResultView:
    """Decrypt a job's outputs into a directory, as their paths say; shards of an array each into "shard-N".

    Args:
        task: The job.
        into: Made if it is not there; files in the way refuse the whole.
        progress: Told (done, total) bytes.

    Raises:
        ExecutionError: `no_result` (it has not succeeded, or has no outputs), `result_in_the_way`.
        StoreError, RemoteProtocolError: The blocks are not there, or do not open.
    """
    bundles = outputs_of(task)
    if not bundles:
        raise no_result(task)
    draft = into.with_name(f".{into.name}.{secrets.token_hex(4)}")
    try:
        for shard, bundle in bundles:
            target = draft / f"shard-{shard}" if task.job.spec.shards > 1 else draft
            await trio.to_thread.run_sync(_make, target)
            await task.job.tools.shelf.open_tree(
                bundle, target, key=task.job.secrets.content_key, progress=progress
            )
        await trio.to_thread.run_sync(_merge, draft, into)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(lambda: shutil.rmtree(draft, ignore_errors=True))
    return ResultView(
        job_id=task.job_id.hex(),
        folder=str(into),
        files=sum(bundle.files for _, bundle in bundles),
        size_bytes=sum(bundle.size_bytes for _, bundle in bundles),
    )


async def put_outputs(task: JobTask) -> None:
    """Put a successful job's outputs where its `file:` URIs say; what is in the way stays, and is told.

    Whatever happens here, the outputs stay in the store, and `open_result` gives them.
    """
    wanted = [item for item in task.job.spec.outputs if item.uri and item.uri.startswith("file:")]
    if not wanted or task.view().state != "succeeded":
        return
    passage = task.job.tools.folder / "passage" / secrets.token_hex(8)
    try:
        await open_result(task, passage, progress=no_progress)
        for item in wanted:
            target = task.base_dir / str(item.uri).removeprefix("file:").removeprefix("//")
            await trio.to_thread.run_sync(_put, passage, item.path[1:], target, task.job.spec.shards)
    except (SkyopsError, OSError) as error:
        task.text = f"succeeded, but its outputs could not be put out: {error}"
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(lambda: shutil.rmtree(passage, ignore_errors=True))


def _put(passage: Path, inner: str, target: Path, shards: int) -> None:
    """Move one output to its target; of an array each shard's into "shard-N" below it.

    Raises:
        ExecutionError: Code `result_in_the_way`.
    """
    pairs = [(passage / inner, target)]
    if shards > 1:
        pairs = [
            (passage / f"shard-{shard}" / inner, target / f"shard-{shard}" / Path(inner).name)
            for shard in range(shards)
        ]
    for source, place in pairs:
        if not source.exists():
            continue  # it was not required
        if place.exists():
            raise ExecutionError(
                f"{place} is there already", code="result_in_the_way", hint="Move it away, then fetch it."
            )
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, place)


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)


def _merge(draft: Path, into: Path) -> None:
    """Move everything below `draft` to its place below `into`; nothing that is there is replaced.

    Raises:
        ExecutionError: Code `result_in_the_way`; nothing was moved.
    """
    files = [path for path in sorted(draft.rglob("*")) if not path.is_dir()]
    taken = [path for path in files if (into / path.relative_to(draft)).exists()]
    if taken:
        raise ExecutionError(
            f"{into / taken[0].relative_to(draft)} is there already",
            code="result_in_the_way",
            hint="Name another directory with -o, or move it away.",
        )
    into.mkdir(parents=True, exist_ok=True)
    for folder in sorted(path for path in draft.rglob("*") if path.is_dir()):
        (into / folder.relative_to(draft)).mkdir(exist_ok=True)
    for path in files:
        path.replace(into / path.relative_to(draft))
