"""The client of the control API about jobs, over a real socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from skyops_p2p.errors import ConfigError, ExecutionError, NetworkError
from skyops_p2p.gateway.server import serve_api
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.control_jobs import JobsClient
from skyops_p2p.node.jobs.job_views import JobView, LogLineView
from tests.gateway import fake_jobs as fj
from tests.gateway.conftest import FakeNode
from tests.gateway.row_of_view import job_row
from tests.gateway.test_server import config_in, ignore_stop, in_thread

pytestmark = pytest.mark.net
SPEC = {"name": "train", "image": "python", "secrets": ["TOKEN"]}


@asynccontextmanager
async def client_of(node: FakeNode, data_dir: Path) -> AsyncIterator[JobsClient]:
    with trio.fail_after(60):
        async with serve_api(node, config_in(data_dir), stop=ignore_stop):
            yield ControlClient.of(data_dir).jobs


async def test_client_says_and_sees_what_the_node_does(tmp_path: Path, fake_node: FakeNode) -> None:
    async with client_of(fake_node, tmp_path) as client:
        submit = partial(client.submit, SPEC, base_dir=tmp_path, secrets={"TOKEN": b"\x00\xff"})
        made = await in_thread(submit)
        (taken,) = fake_node.jobs.submitted
        assert (taken[0].name, taken[1], taken[2]) == ("train", tmp_path, (("TOKEN", b"\x00\xff"),))
        (train,) = fake_node.jobs.found
        assert made == await in_thread(client.show, made.job_id[:8]) == train.shown
        assert await in_thread(client.list) == (job_row(train.shown),)
        train.become(fj.job("running", fj.running()))
        assert await in_thread(client.checkpoints, "train") == (fj.checkpoint(),)
        assert (await in_thread(client.cancel, "train")).state == "cancelled"
        assert (await in_thread(client.retry, "train")).state == "matching"
        train.become(fj.job("succeeded", code="succeeded"))
        assert await in_thread(partial(client.list, is_open=True)) == ()
        told: list[tuple[int, int]] = []
        fetch = partial(client.result, "train", tmp_path / "out", told=lambda *one: told.append(one))
        assert (await in_thread(fetch)).files == 1
        assert told[-1] == (4, 4)
        assert await in_thread(client.publish, "train") == fj.published(train.shown.job_id)


async def test_views_and_logs_are_followed_to_the_end_of_the_job(tmp_path: Path, fake_node: FakeNode) -> None:
    train = fj.FakeJob(fj.job("running", fj.running()), [fj.line("one\n")])
    fake_node.jobs.found.append(train)
    views: list[JobView] = []
    lines: list[LogLineView] = []

    async with client_of(fake_node, tmp_path) as client, trio.open_nursery() as nursery:
        nursery.start_soon(in_thread, lambda: views.extend(client.watch("train")))
        nursery.start_soon(in_thread, lambda: lines.extend(client.logs("train", follow=True)))
        while train.open_logs == 0 or not views:
            await trio.lowlevel.checkpoint()
        train.say("two\n")
        train.become(fj.job("succeeded", fj.shard("succeeded", code="succeeded"), code="succeeded"))
    assert [line.text for line in lines] == ["one", "two"]
    assert [view.state for view in (views[0], views[-1])] == ["running", "succeeded"]


async def test_errors_come_back_as_they_were_raised(tmp_path: Path, fake_node: FakeNode) -> None:
    train = fj.FakeJob(fj.job("running", fj.running()))
    fake_node.jobs.found.append(train)
    async with client_of(fake_node, tmp_path) as client:
        with pytest.raises(ExecutionError) as unknown:
            await in_thread(client.show, "nobody")
        assert (unknown.value.code, unknown.value.exit_code) == ("unknown_job", 6)
        with pytest.raises(ExecutionError) as nameless:
            await in_thread(client.show, "")
        assert nameless.value.code == "unknown_job"
        with pytest.raises(ExecutionError) as no_shard:
            await in_thread(lambda: list(client.logs("train", shard=7)))
        assert no_shard.value.code == "no_shard"
        with pytest.raises(ConfigError) as missing:
            await in_thread(partial(client.submit, SPEC, base_dir=tmp_path, secrets={}))
        assert missing.value.code == "secret_missing"


async def test_a_node_that_stops_is_told_from_a_log_that_ends(tmp_path: Path, fake_node: FakeNode) -> None:
    train = fj.FakeJob(fj.job("running", fj.running()), [fj.line("one\n")])
    fake_node.jobs.found.append(train)
    outcomes: list[str] = []

    def follow(client: JobsClient) -> None:
        try:
            list(client.logs("train", follow=True))
        except NetworkError as error:
            outcomes.append(error.code)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, client_of(fake_node, tmp_path) as client:
            nursery.start_soon(in_thread, follow, client)
            while train.open_logs == 0:
                await trio.lowlevel.checkpoint()
    assert outcomes == ["node_not_running"]
