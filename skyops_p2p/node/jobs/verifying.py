"""Run a job again on this machine and compare its outputs with those that came: for results that must be exact.

Where a stretch has decided between two results, it alone can be run again, from the state that was kept.

Only wasm jobs of the class `exact` make the same bytes wherever they run (docs/wasm-jobs.md, "Determinism"); of a
native one that pins all that matters a stretch may. A shard
is run as its worker was to: same inputs, same variables, same limits, from the beginning; what it makes is sealed
under the job's key. Sealing is deterministic, so files are alike exactly if their sealed roots are.
"""

from collections.abc import Callable, Mapping, Sequence

import trio

from skyops_p2p import limits
from skyops_p2p.core.content.bundle import BundleFile
from skyops_p2p.core.verification.check import check_verdict
from skyops_p2p.crypto.node_key import peer_id_from_bytes
from skyops_p2p.errors import ExecutionError
from skyops_p2p.node.execution.stage import RunStage
from skyops_p2p.node.jobs.job_task import JobTask
from skyops_p2p.node.jobs.results import no_result
from skyops_p2p.node.jobs.stretch_run import Stretch, run_stretch, work_here
from skyops_p2p.node.jobs.verify_views import FileDifferenceView, ShardCheckView, VerifyView
from skyops_p2p.ports import ExitKind, RunningSandbox, Sandbox, SandboxExit, Usage
from skyops_p2p.wire.envelope import peek
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.messages.execution import CheckpointReceipt, ResultReceipt
from skyops_p2p.wire.messages.verification import StretchPart

Told = Callable[[int, int], None]
"""(shards compared, shards in all)."""


async def verify_job(task: JobTask, *, shard: int | None, told: Told, is_stretch: bool = False) -> VerifyView:
    """Run what has succeeded of a job again, one shard after the other, and compare.

    Args:
        task: The job; it must have ended.
        shard: Only this one; None: all that have succeeded.
        told: Told before each shard, and at the end.
        is_stretch: Of shards that one stretch has decided, run that one again, and nothing else.

    Raises:
        ExecutionError: `not_deterministic`, `no_result`, `no_stretch`, `verify_busy`, `inputs_gone`,
            `runtime_unavailable`, or what starting a sandbox raises.
        StoreError: The result's blocks are not there, or the store is full.

    Rules: VER-26.
    """
    if not is_stretch:  # what a stretch came to was the same twice already
        check_verifiable(task)
    tools = task.job.tools
    found = [one for one in _results(task) if shard in (None, one.shard)]
    if not found:
        raise no_result(task)
    stretches = await _stretches(task, found) if is_stretch else {}
    if is_stretch:
        found = [one for one in found if one.shard in stretches]
    try:
        tools.verify_turn.acquire_nowait()
    except trio.WouldBlock as error:
        raise ExecutionError(
            "this node verifies another job, or computes a canary of one",
            code="verify_busy",
            hint="Wait until it is done.",
        ) from error
    checks: list[ShardCheckView] = []
    try:
        await tools.workspace.reap()
        async with tools.open_own_runtime(task.job.spec.runtime) as sandboxes:
            for number, result in enumerate(found):
                told(number, len(found))
                if is_stretch:
                    checks.append(await _verify_stretch(task, result, stretches[result.shard]))
                else:
                    checks.append(await _verify_shard(task, result, sandboxes))
        told(len(found), len(found))
    finally:
        tools.verify_turn.release()
    return VerifyView(
        job_id=task.job_id.hex(),
        name=task.job.spec.name,
        is_same=all(check.code == "same" for check in checks),
        shards=tuple(checks),
    )


def check_verifiable(task: JobTask) -> None:
    """Refuse a job whose outputs need not be the same each time.

    Raises:
        ExecutionError: Code `not_deterministic`.
    """
    spec = task.job.spec
    if spec.gang:
        reason = "it is a gang: what its members say to each other comes in any order"
    elif spec.runtime != "wasm":
        reason = f"its runtime is {spec.runtime}, where clocks and random bytes are real"
    elif spec.verification.kind != "exact":
        reason = f"its verification class is {spec.verification.kind}"
    else:
        return
    raise ExecutionError(
        f"job {task.job.short} cannot be verified by running it again: {reason}",
        code="not_deterministic",
        hint='Only wasm jobs of the class `exact` make the same bytes each time: docs/jobs.md, "Verify".',
    )


async def _stretches(task: JobTask, found: Sequence[ResultReceipt]) -> dict[int, StretchPart]:
    """Return {shard: stretch} of the verdicts that one has decided.

    Raises:
        ExecutionError: Code `no_stretch`.
    """
    stretches: dict[int, StretchPart] = {}
    for result in found:
        try:
            data = await task.job.tools.verdicts.read(task.job_id, result.shard)
        except ExecutionError:
            continue  # a shard without a verdict has no stretch either
        verdict = check_verdict(data).verdict
        if verdict is not None and verdict.stretch is not None:
            stretches[result.shard] = verdict.stretch
    if not stretches:
        raise ExecutionError(
            f"no result of job {task.job.short} was decided by a stretch",
            code="no_stretch",
            hint="`skyops verdict JOB` shows what it was decided by; without --stretch, verify runs all of it again.",
        )
    return stretches


async def _verify_stretch(task: JobTask, result: ResultReceipt, part: StretchPart) -> ShardCheckView:
    """Run the stretch of a verdict again, from the state that was kept. Rules: VER-26."""
    began = trio.current_time()
    before = None if part.first_before is None else peek(part.first_before, CheckpointReceipt).bundle
    stretch = Stretch(result.shard, part.stride, part.number, before, ())
    try:
        root = await run_stretch(task.job, stretch)
    except ExecutionError as error:
        if error.code not in ("checkpoint_unavailable", "input_unavailable"):
            raise
        raise _gone(error) from error
    is_same = root == part.executed
    code = "same" if is_same else "ended_otherwise" if root is None else "differs"
    word = "what the verdict says" if is_same else "another state than the verdict says"
    return ShardCheckView(
        shard=result.shard,
        worker=peer_id_from_bytes(result.worker),
        code=code,
        text=f"steps {stretch.first} to {stretch.last} come to {word}",
        files=0 if before is None else before.files,
        size_bytes=0 if before is None else before.size_bytes,
        took_s=trio.current_time() - began,
        fuel=None,
    )


def _results(task: JobTask) -> list[ResultReceipt]:
    """Return the receipts that count, of shards that have outputs."""
    receipts = [peek(shard.record.result, ResultReceipt) for shard in task.shards if shard.record.result]
    return [receipt for receipt in receipts if receipt.outputs is not None]


async def _verify_shard(
    task: JobTask, result: ResultReceipt, sandboxes: Mapping[str, Sandbox]
) -> ShardCheckView:
    job, began = task.job, trio.current_time()
    assert result.outputs is not None, "only shards with outputs are verified"
    name = f"verify-{job.short}-{result.shard}"
    owner = f"verify/{job.job_id.hex()}/{result.shard}"
    async with job.tools.workspace.open(name, bytes_max=job.spec.resources.disk) as root:
        stage = RunStage(
            work_here(job, result.shard, epoch=result.epoch),
            job.tools.shelf,
            sandboxes,
            name=name,
            owner=owner,
            root=root,
            progress=_ignore,
        )
        try:
            ended, usage = await _run(stage)
            differences = await _compare(task, stage, result.outputs) if _is_well(ended) else []
        finally:
            with trio.CancelScope(shield=True):
                for part in ("inputs", "outputs"):
                    await job.tools.shelf.release(f"{owner}/{part}")
    code = "ended_otherwise" if not _is_well(ended) else "differs" if differences else "same"
    return ShardCheckView(
        shard=result.shard,
        worker=peer_id_from_bytes(result.worker),
        code=code,
        text=_sentence(ended, len(differences)),
        files=result.outputs.files,
        size_bytes=result.outputs.size_bytes,
        took_s=trio.current_time() - began,
        fuel=usage.fuel,
        differences=tuple(differences[: limits.VERIFY_DIFFERENCES_MAX]),
        differences_left_out=max(0, len(differences) - limits.VERIFY_DIFFERENCES_MAX),
    )


async def _run(stage: RunStage) -> tuple[SandboxExit, Usage]:
    """Run the program to its end; what it prints is not kept.

    Raises:
        ExecutionError: `inputs_gone`, or what its sandbox raises.
    """
    try:
        await stage.bring_inputs(())
    except ExecutionError as error:
        if error.code != "input_unavailable":
            raise
        raise _gone(error) from error
    await stage.put_secrets()
    await stage.prepare()
    async with stage.sandbox.start(stage.sandbox_spec()) as running, trio.open_nursery() as nursery:
        nursery.start_soon(_drain, running)
        ended = await running.wait()
        usage = await running.usage()
    return ended, usage


def _gone(error: ExecutionError) -> ExecutionError:
    return ExecutionError(
        f"the inputs of the job are not on this machine any more: {error.message}",
        code="inputs_gone",
        hint="Submit the job again to have them sealed again, and verify that one.",
    )


async def _drain(running: RunningSandbox) -> None:
    async for _chunk in running.output:
        continue


async def _compare(task: JobTask, stage: RunStage, came: BundleRef) -> list[FileDifferenceView]:
    """Seal what the run here made, and compare it file by file with what came."""
    try:
        made = await stage.seal_outputs()
    except ExecutionError as error:
        if error.code != "output_missing":
            raise
        made = None
    if made is not None and made.root == came.root:
        return []
    shelf, key = task.job.tools.shelf, task.job.secrets.content_key
    theirs = {file.path: file for file in (await shelf.read_tree(came, key=key)).files}
    ours = {file.path: file for file in (await shelf.read_tree(made, key=key)).files} if made else {}
    paths = sorted(theirs.keys() | ours.keys())
    return [
        _difference(path, theirs.get(path), ours.get(path)) for path in paths if _differ(path, theirs, ours)
    ]


def _differ(path: str, theirs: Mapping[str, BundleFile], ours: Mapping[str, BundleFile]) -> bool:
    a, b = theirs.get(path), ours.get(path)
    return a is None or b is None or (a.root, a.is_executable) != (b.root, b.is_executable)


def _difference(path: str, came: BundleFile | None, here: BundleFile | None) -> FileDifferenceView:
    return FileDifferenceView(
        path=path,
        kind="missing" if here is None else "added" if came is None else "differs",
        came_bytes=None if came is None else came.size_bytes,
        here_bytes=None if here is None else here.size_bytes,
    )


def _is_well(ended: SandboxExit) -> bool:
    return ended.kind is ExitKind.EXITED and ended.exit_code == 0


def _sentence(ended: SandboxExit, differences: int) -> str:
    if not _is_well(ended):
        return f"the program {ended.text} here"
    return f"{differences} files differ" if differences else "the same bytes"


def _ignore(_done: int, _total: int) -> None:
    """Of single bytes nothing is told."""
