"""A synchronous client for notebooks and scripts: jobs on the node that runs on this machine.

    client = SyncClient.local()
    job = client.submit("train.toml")
    for line in job.logs():
        print(line.text)
    job.result("results")

It talks to the running node over its control API; the jobs live there, and go on when this program ends. Everything
blocks; Ctrl-C (or "interrupt" in a notebook) ends the waiting, not the job.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from skyops_p2p.config import find_data_dir
from skyops_p2p.errors import NetworkError
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.control_jobs import JobsClient
from skyops_p2p.node.control_payments import PaymentsClient
from skyops_p2p.node.job_rows import JobRowView
from skyops_p2p.node.jobs.job_views import CheckpointView, JobView, LogLineView, PublishedView, ResultView
from skyops_p2p.node.jobs.verify_views import VerifyView
from skyops_p2p.node.settlement.settlement_views import BillingView, EarningsView, GroupName
from skyops_p2p.node.submission import prepare, prepare_file

if TYPE_CHECKING:
    from skyops_p2p.core.jobs.spec import JobSpec

Secrets = Mapping[str, str | bytes]
"""Name -> value."""
LOOK_S = 0.5
"""Between two looks of a wait that has an end."""


class SyncJob:
    """One job on the node.

    Args:
        jobs: All of them.
        job_id: Which.
    """

    def __init__(self, jobs: JobsClient, job_id: str) -> None:
        self._jobs = jobs
        self.job_id = job_id
        """Hex, 32 digits."""

    def __repr__(self) -> str:
        try:
            view = self.view()
        except NetworkError as error:
            return f"<SyncJob {self.job_id[:12]}: {error.message}>"
        return f"<SyncJob {self.job_id[:12]} {view.name}: {view.state}>"

    def view(self) -> JobView:
        """Return how it stands."""
        return self._jobs.show(self.job_id)

    def watch(self) -> Iterator[JobView]:
        """Yield how it stands, at each change, until it has ended."""
        return self._jobs.watch(self.job_id)

    def wait(self, *, timeout_s: float | None = None) -> JobView:
        """Wait until it has ended, however that is, and return how.

        Args:
            timeout_s: How long; None: as long as it takes.

        Raises:
            NetworkError: `timeout`: it has not ended by then; it goes on.
        """
        view = self.view()
        if timeout_s is None:
            for newer in self.watch():
                view = newer
            return view
        until = time.monotonic() + timeout_s
        while not view.is_over:
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise NetworkError(
                    f"job {self.job_id[:12]} has not ended within {timeout_s:g} s ({view.state})",
                    code="timeout",
                    hint="It goes on: wait for it again.",
                )
            time.sleep(min(LOOK_S, left_s))
            view = self.view()
        return view

    def logs(self, *, follow: bool = True, shard: int | None = None) -> Iterator[LogLineView]:
        """Yield its log line by line: what is there, and with `follow` what comes, until it ends."""
        return self._jobs.logs(self.job_id, follow=follow, shard=shard)

    def result(
        self, into: str | Path, *, progress: Callable[[int, int], None] = lambda _done, _total: None
    ) -> ResultView:
        """Wait for its end and have its outputs decrypted into a directory.

        Args:
            into: Made if it is not there; nothing in it is replaced.
            progress: Told (done, total) bytes.

        Raises:
            ExecutionError: `no_result` (it failed, was cancelled, or has no outputs) or `result_in_the_way`.
        """
        return self._jobs.result(self.job_id, Path(into).absolute(), told=progress)

    def publish(self) -> PublishedView:
        """Wait for its end and have its outputs put out in plain UnixFS: everybody may read them from then on.

        Raises:
            ExecutionError: `no_result` (it failed, was cancelled, or has no outputs).
        """
        return self._jobs.publish(self.job_id)

    def verify(self, *, shard: int | None = None) -> VerifyView:
        """Wait for its end, have it run again on this machine, and compare its outputs with those that came.

        Args:
            shard: Only this one; None: all that have succeeded.

        Raises:
            ExecutionError: `not_deterministic`, `no_result`, `no_shard`, `verify_busy` or `inputs_gone`.
        """
        return self._jobs.verify(self.job_id, shard=shard)

    def checkpoints(self) -> tuple[CheckpointView, ...]:
        """Return its saved checkpoints."""
        return self._jobs.checkpoints(self.job_id)

    def billing(self) -> BillingView:
        """Return what it has cost."""
        return PaymentsClient(self._jobs.link).billing(self.job_id)

    def cancel(self) -> JobView:
        """End it; programs that run get time for a last checkpoint."""
        return self._jobs.cancel(self.job_id)

    def retry(self) -> JobView:
        """Run again what has not succeeded, from its last checkpoints."""
        return self._jobs.retry(self.job_id)


class SyncClient:
    """The node that runs on this machine.

    Args:
        control: The way to it.
    """

    def __init__(self, control: ControlClient) -> None:
        self.control = control
        """Everything else that the node can be asked: `status()`, `map()`, `peers()` and so on."""

    @classmethod
    def local(cls, data_dir: str | Path | None = None) -> "SyncClient":
        """Return a client for the running node.

        Args:
            data_dir: The node's; if left out, that of SKYOPS_DATA_DIR or the user's own.

        Raises:
            NetworkError: `node_not_running`.
        """
        place = Path(data_dir) if data_dir is not None else None
        return cls(ControlClient.of(find_data_dir(place, os.environ)))

    def submit(
        self,
        job: "JobSpec | str | Path",
        *,
        base_dir: str | Path | None = None,
        secrets: Secrets | None = None,
    ) -> SyncJob:
        """Have a job run; it survives the end of this program.

        Args:
            job: A specification, or the path of a job file.
            base_dir: Where relative `file:` URIs begin; if left out, where the file lies, or the working directory.
            secrets: Values by name; those that are not given are fetched from where the job says.

        Raises:
            ConfigError: The job is not valid, or a secret is missing.
            ExecutionError: `too_many_jobs`, or `unknown_job`: it depends on one that is not there.
        """
        values = {
            name: value.encode() if isinstance(value, str) else value
            for name, value in (secrets or {}).items()
        }
        base = Path(base_dir) if base_dir is not None else None
        if isinstance(job, (str, Path)):
            ready = prepare_file(Path(job), base_dir=base, secrets=values)
        else:
            ready = prepare(job, base_dir=base or Path(), secrets=values)
        made = self.control.jobs.submit(ready.tree, base_dir=ready.base_dir, secrets=ready.secrets)
        return SyncJob(self.control.jobs, made.job_id)

    def job(self, name: str) -> SyncJob:
        """Return the job that an id, a unique beginning of one, or a name stands for.

        Raises:
            ExecutionError: `unknown_job` or `ambiguous_job`.
        """
        return SyncJob(self.control.jobs, self.control.jobs.show(name).job_id)

    def earnings(self, *, by: GroupName = "job") -> EarningsView:
        """Return what the node has earned as a worker, by job, day or mode.

        Raises:
            ConfigError: `payment_not_configured`.
        """
        return self.control.payments.earnings(by=by)

    def jobs(self, *, is_open: bool = False) -> tuple[JobRowView, ...]:
        """Return all jobs of the node, or those that have not ended, oldest first."""
        return self.control.jobs.list(is_open=is_open)
