"""The client for notebooks, over a real socket."""

from functools import partial
from pathlib import Path

import pytest
import trio

from skyops_p2p import JobSpec, SyncClient
from skyops_p2p.errors import ConfigError, ExecutionError, NetworkError
from skyops_p2p.gateway.server import serve_api
from tests.gateway import fake_jobs as fj
from tests.gateway.conftest import FakeNode
from tests.gateway.test_server import config_in, ignore_stop, in_thread

pytestmark = pytest.mark.net
SPEC = JobSpec.model_validate({"name": "train", "image": "python", "secrets": ["TOKEN"]})


async def test_a_job_from_submission_to_result(tmp_path: Path, fake_node: FakeNode) -> None:
    def work(folder: Path) -> list[str]:
        client = SyncClient.local(tmp_path)
        job = client.submit(SPEC, base_dir=folder, secrets={"TOKEN": "hunter2"})
        assert repr(job) == f"<SyncJob {job.job_id[:12]} train: preparing>"
        assert client.job("train").job_id == job.job_id
        assert [row.name for row in client.jobs(is_open=True)] == ["train"]
        lines = [line.text for line in job.logs()]
        assert job.wait().state == "succeeded"
        assert job.checkpoints() == (fj.checkpoint(),)
        moved: list[tuple[int, int]] = []
        found = job.result(folder / "out", progress=lambda done, total: moved.append((done, total)))
        assert (found.files, moved[-1]) == (1, (4, 4))
        return lines

    async def run_it() -> None:
        while not fake_node.jobs.found:
            await trio.lowlevel.checkpoint()
        (job,) = fake_node.jobs.found
        while not job.open_logs:
            await trio.lowlevel.checkpoint()
        job.say("step 1\nstep")
        job.say(" 2\n")
        job.become(fj.job("succeeded", fj.running(), code="succeeded", job_id=job.shown.job_id))

    lines: list[str] = []
    with trio.fail_after(60):
        async with (
            serve_api(fake_node, config_in(tmp_path), stop=ignore_stop),
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(run_it)
            lines = await in_thread(work, tmp_path / "work")
    assert lines == ["step 1", "step 2"]
    ((_, base_dir, secrets),) = fake_node.jobs.submitted
    assert (base_dir, secrets) == (tmp_path / "work", (("TOKEN", b"hunter2"),))


async def test_a_file_is_submitted_from_where_it_lies(
    tmp_path: Path, fake_node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "from the environment")
    file = tmp_path / "train.toml"
    file.write_text('name = "train"\nimage = "python"\nsecrets = ["TOKEN"]\n')
    with trio.fail_after(60):
        async with serve_api(fake_node, config_in(tmp_path), stop=ignore_stop):
            client = SyncClient.local(tmp_path)
            await in_thread(client.submit, str(file))
            monkeypatch.delenv("TOKEN")
            with pytest.raises(ConfigError) as missing:
                await in_thread(client.submit, file)
    assert missing.value.code == "secret_missing"
    ((_, base_dir, secrets),) = fake_node.jobs.submitted
    assert (base_dir, secrets) == (tmp_path, (("TOKEN", b"from the environment"),))


async def test_waiting_can_end_without_the_job(tmp_path: Path, fake_node: FakeNode) -> None:
    fake_node.jobs.found.append(fj.FakeJob(fj.job("running", fj.running())))
    with trio.fail_after(60):
        async with serve_api(fake_node, config_in(tmp_path), stop=ignore_stop):
            job = await in_thread(SyncClient.local(tmp_path).job, "train")
            with pytest.raises(NetworkError) as waited:
                await in_thread(partial(job.wait, timeout_s=0.0))
            assert (waited.value.code, job.job_id) == ("timeout", fj.TRAIN_ID)
            assert (await in_thread(job.cancel)).state == "cancelled"
            assert (await in_thread(partial(job.wait, timeout_s=60.0))).state == "cancelled"
            assert (await in_thread(job.retry)).state == "matching"
            with pytest.raises(ExecutionError) as unknown:
                await in_thread(SyncClient.local(tmp_path).job, "nobody")
            assert unknown.value.code == "unknown_job"
    assert repr(job).startswith(f"<SyncJob {fj.TRAIN_ID[:12]}: the node at ")


def test_without_a_node_there_is_no_client(tmp_path: Path) -> None:
    with pytest.raises(NetworkError) as caught:
        SyncClient.local(tmp_path)
    assert caught.value.code == "node_not_running"
