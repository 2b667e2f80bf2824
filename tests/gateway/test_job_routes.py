"""The routes that run jobs, in process."""

import base64
import json
from typing import Any

import pytest
import trio

from skyops_p2p.limits import API_BODY_BYTES_MAX, API_JOB_STREAMS_MAX, API_SUBMIT_BYTES_MAX
from tests.gateway import fake_jobs as fj
from tests.gateway.conftest import FakeNode
from tests.gateway.test_routes import Api

SPEC = {"name": "train", "image": "python", "command": "python train.py", "secrets": ["TOKEN"]}
VALUE = "hunter2-hunter2"


def sealed(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def body(**more: object) -> dict[str, object]:
    return {"spec": SPEC, "base_dir": "/work", "secrets": {"TOKEN": sealed(VALUE)}, **more}


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line]


@pytest.fixture
def api(fake_node: FakeNode) -> Api:
    return Api(fake_node)


@pytest.fixture
def train(fake_node: FakeNode) -> fj.FakeJob:
    one = fj.FakeJob(fj.job("running", fj.running()))
    fake_node.jobs.found.append(one)
    return one


# --- submit -----------------------------------------------------------------------------------------------------
async def test_a_job_is_taken_with_its_secrets_in_its_order(api: Api, fake_node: FakeNode) -> None:
    spec = {**SPEC, "secrets": ["TOKEN", "OTHER"]}
    secrets = {"OTHER": sealed("b"), "TOKEN": sealed(VALUE)}
    answer = await api.ask("POST", "/v1/jobs", json=body(spec=spec, secrets=secrets))
    assert (answer.status_code, answer.json()["state"]) == (201, "preparing")
    (taken,) = fake_node.jobs.submitted
    assert (taken[0].name, str(taken[1])) == ("train", "/work")
    assert taken[2] == (("TOKEN", VALUE.encode()), ("OTHER", b"b"))


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"secrets": {}}, 422, "secret_missing"),
        ({"secrets": {"TOKEN": sealed(VALUE), "EXTRA": sealed(VALUE)}}, 422, "secret_unknown"),
        ({"secrets": {"TOKEN": VALUE}}, 422, "secret_invalid"),
        ({"secrets": {"TOKEN": sealed(VALUE * 2000)}}, 422, "secret_too_long"),
        ({"secrets": {"TOKEN": [VALUE]}}, 422, "request_invalid"),
        ({"base_dir": "work"}, 422, "path_not_absolute"),
        ({"base_dir": ""}, 422, "request_invalid"),
        ({"spec": {**SPEC, "shards": 0}}, 422, "job_invalid"),
        ({"spec": {**SPEC, "name": "crowded"}}, 503, "too_many_jobs"),
        ({"spec": {**SPEC, "depends_on": ["nobody"]}}, 404, "unknown_job"),
        ({"extra": 1}, 422, "request_invalid"),
    ],
)
async def test_what_cannot_be_run_is_refused_without_repeating_a_secret(
    api: Api, fake_node: FakeNode, more: dict[str, object], status: int, code: str
) -> None:
    answer = await api.ask("POST", "/v1/jobs", json=body(**more))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert VALUE not in answer.text
    assert sealed(VALUE) not in answer.text
    assert fake_node.jobs.submitted == []


async def test_a_job_may_be_longer_than_other_requests_and_is_bounded(api: Api) -> None:
    names = [f"TOKEN_{number}" for number in range(4)]
    large = body(spec={**SPEC, "secrets": names}, secrets={name: sealed("x" * 16 * 1024) for name in names})
    assert len(json.dumps(large)) > API_BODY_BYTES_MAX
    assert (await api.ask("POST", "/v1/jobs", json=large)).status_code == 201
    refused = await api.ask("POST", "/v1/jobs", content=b" " * (API_SUBMIT_BYTES_MAX + 1))
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")


async def test_the_schema_shows_no_value_of_a_secret(api: Api) -> None:
    text = (await api.ask("GET", "/v1/openapi.json")).text
    schema = json.loads(text)["components"]["schemas"]["SubmitRequest"]["properties"]["secrets"]
    assert schema["additionalProperties"] == {"type": "string", "format": "password", "writeOnly": True}
    assert "example" not in schema


# --- one job ----------------------------------------------------------------------------------------------------
async def test_jobs_are_listed_in_rows_whatever_their_shards(api: Api, fake_node: FakeNode) -> None:
    shards = [fj.running(0), fj.running(1, worker=fj.CAROL, remaining_s=7.0), fj.shard("matching", 2)]
    fake_node.jobs.found += [
        fj.FakeJob(fj.job("running", *shards)),
        fj.FakeJob(fj.job("succeeded", code="succeeded")),
    ]
    first, second = (await api.ask("GET", "/v1/jobs")).json()["jobs"]
    assert (first["shards"], first["states"]) == (3, {"running": 2, "matching": 1})
    assert (first["done"], first["total"], first["remaining_s"]) == (240, 1000, 95.0)
    assert (first["workers"], first["price_microcredits_per_hour"]) == ([fj.BOB, fj.CAROL], 2_500_000)
    assert second["state"] == "succeeded"
    assert len((await api.ask("GET", "/v1/jobs?is_open=true")).json()["jobs"]) == 1


async def test_a_job_is_shown_by_the_beginning_of_its_id_or_its_name(api: Api, train: fj.FakeJob) -> None:
    for name in (fj.TRAIN_ID, fj.TRAIN_ID[:12], "train"):
        assert (await api.ask("GET", f"/v1/jobs/{name}")).json()["job_id"] == fj.TRAIN_ID
    saved = (await api.ask("GET", "/v1/jobs/train/checkpoints")).json()["checkpoints"]
    assert [one["label"] for one in saved] == ["step-120"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/checkpoints"),
        ("GET", "/watch"),
        ("GET", "/logs"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("POST", "/result"),
        ("POST", "/publish"),
    ],
)
async def test_a_job_that_is_not_there_is_a_problem(api: Api, method: str, path: str) -> None:
    more = {"json": {"into": "/tmp/x"}} if path == "/result" else {}
    answer = await api.ask(method, f"/v1/jobs/nobody{path}", **more)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_job")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_cancel_and_retry_reach_the_job(api: Api, train: fj.FakeJob) -> None:
    refused = await api.ask("POST", "/v1/jobs/train/retry")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_open")
    cancelled = await api.ask("POST", "/v1/jobs/train/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    assert (await api.ask("POST", "/v1/jobs/train/retry")).json()["state"] == "matching"
    assert train.calls == ["cancel", "retry"]


# --- streams ----------------------------------------------------------------------------------------------------
async def test_a_watched_job_is_told_at_each_change_until_its_end(
    api: Api, train: fj.FakeJob, autojump_clock: object
) -> None:
    async with trio.open_nursery() as nursery:

        async def go_on() -> None:
            await trio.sleep(30)
            train.become(fj.job("running", fj.running(done=121)))
            train.become(fj.job("running", fj.running(done=122)))  # nobody sees the one before
            await trio.sleep(30)
            train.become(fj.job("succeeded", fj.shard("succeeded", code="succeeded"), code="succeeded"))

        nursery.start_soon(go_on)
        told = lines_of((await api.ask("GET", "/v1/jobs/train/watch")).text)
    assert [one["job"]["state"] for one in told] == ["running", "running", "succeeded"]
    assert told[1]["job"]["shards"][0]["done"] == 122


async def test_a_silent_stream_shows_that_it_lives(
    api: Api, train: fj.FakeJob, autojump_clock: object
) -> None:
    async with trio.open_nursery() as nursery:

        async def end() -> None:
            await trio.sleep(35)
            train.become(fj.job("failed", code="no_worker"))

        nursery.start_soon(end)
        text = (await api.ask("GET", "/v1/jobs/train/watch")).text
    assert "\n" * 4 in text  # the end of a line, and a sign of life every 10 s


async def test_views_come_at_most_five_times_a_second(
    api: Api, train: fj.FakeJob, autojump_clock: object
) -> None:
    async with trio.open_nursery() as nursery:

        async def hurry() -> None:
            for done in range(1000):
                train.become(fj.job("running", fj.running(done=done)))
                await trio.sleep(0.01)
            train.become(fj.job("succeeded", code="succeeded"))

        nursery.start_soon(hurry)
        told = lines_of((await api.ask("GET", "/v1/jobs/train/watch")).text)
    assert 40 <= len(told) <= 52  # 10 s


async def test_the_log_is_told_and_ends_if_it_is_not_followed(api: Api, train: fj.FakeJob) -> None:
    for number in range(1000):
        train.say(f"step {number}\n")
    told = lines_of((await api.ask("GET", "/v1/jobs/train/logs")).text)
    assert told.pop() == {"end": {"lines": 1000}}
    assert [one["line"]["text"] for one in told] == [f"step {number}" for number in range(1000)]
    assert train.open_logs == 0


async def test_records_are_joined_to_lines_unless_they_are_wanted_raw(api: Api, train: fj.FakeJob) -> None:
    for text in ("on", "e\r\ntwo\nthr", "ee"):
        train.say(text)
    told = lines_of((await api.ask("GET", "/v1/jobs/train/logs")).text)
    assert [one["line"]["text"] for one in told[:-1]] == ["one", "two", "three"]
    raw = lines_of((await api.ask("GET", "/v1/jobs/train/logs?is_raw=true")).text)
    assert [one["line"]["text"] for one in raw[:-1]] == ["on", "e\r\ntwo\nthr", "ee"]


async def test_a_line_without_an_end_is_told_when_the_program_falls_silent(
    api: Api, train: fj.FakeJob, autojump_clock: object
) -> None:
    async def speak() -> None:
        train.say("password")
        await trio.sleep(0.5)
        train.say(": ")
        await trio.sleep(5)
        train.say("given\n")
        train.become(fj.job("succeeded", code="succeeded"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(speak)
        told = lines_of((await api.ask("GET", "/v1/jobs/train/logs?follow=true")).text)
    assert [one["line"]["text"] for one in told[:-1]] == ["password: ", "given"]


async def test_an_empty_log_has_an_end(api: Api, train: fj.FakeJob) -> None:
    answer = await api.ask("GET", "/v1/jobs/train/logs")
    assert (answer.status_code, lines_of(answer.text)) == (200, [{"end": {"lines": 0}}])


async def test_a_shard_that_is_not_there_is_a_problem_and_no_stream(api: Api, train: fj.FakeJob) -> None:
    answer = await api.ask("GET", "/v1/jobs/train/logs?shard=1")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_shard")
    assert (await api.ask("GET", "/v1/jobs/train/logs?shard=-1")).json()["code"] == "request_invalid"


async def test_a_result_is_told_while_it_comes(api: Api, train: fj.FakeJob, tmp_path: Any) -> None:
    train.become(fj.job("succeeded", code="succeeded"))
    answer = await api.ask("POST", "/v1/jobs/train/result", json={"into": str(tmp_path / "out")})
    told = lines_of(answer.text)
    assert told[-2]["progress"] == {"done": 4, "total": 4}
    assert told[-1]["result"]["folder"] == str(tmp_path / "out")
    assert (tmp_path / "out" / "model.bin").read_bytes() == b"done"


async def test_publishing_is_told_while_it_goes_on(api: Api, train: fj.FakeJob) -> None:
    train.become(fj.job("succeeded", code="succeeded"))
    told = lines_of((await api.ask("POST", "/v1/jobs/train/publish")).text)
    assert told[-2]["progress"] == {"done": 4, "total": 4}
    assert told[-1]["published"]["cid"] == "bafycid"
    train.become(fj.job("failed", code="program_failed"))
    answer = await api.ask("POST", "/v1/jobs/train/publish")
    assert (answer.status_code, answer.json()["code"]) == (409, "no_result")


async def test_verifying_is_told_while_it_goes_on(api: Api, train: fj.FakeJob) -> None:
    train.become(fj.job("succeeded", code="succeeded"))
    told = lines_of((await api.ask("POST", "/v1/jobs/train/verify?shard=3")).text)
    assert told[-2]["progress"] == {"done": 1, "total": 1}
    assert (told[-1]["verified"]["is_same"], told[-1]["verified"]["shards"][0]["shard"]) == (True, 3)
    train.become(fj.job("succeeded", code="succeeded").model_copy(update={"runtime": "docker"}))
    answer = await api.ask("POST", "/v1/jobs/train/verify")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_deterministic")
    assert (await api.ask("POST", "/v1/jobs/train/verify?shard=-1")).json()["code"] == "request_invalid"
    train.become(fj.job("succeeded", code="succeeded"))
    assert lines_of((await api.ask("POST", "/v1/jobs/train/verify?shard=3&stretch=true")).text)[-1][
        "verified"
    ]
    assert train.calls == ["verify 3", "verify None", "verify 3 stretch"]


async def test_a_failed_job_has_no_result(api: Api, train: fj.FakeJob, tmp_path: Any) -> None:
    train.become(fj.job("failed", code="program_failed"))
    answer = await api.ask("POST", "/v1/jobs/train/result", json={"into": str(tmp_path / "out")})
    assert (answer.status_code, answer.json()["code"]) == (409, "no_result")
    relative = await api.ask("POST", "/v1/jobs/train/result", json={"into": "out"})
    assert relative.json()["code"] == "path_not_absolute"


async def test_an_error_after_the_first_line_is_a_line(api: Api) -> None:
    answer = await api.ask("POST", "/v1/jobs/match", json={"image": "x", "name": "crowded"})
    step, problem = lines_of(answer.text)
    assert (answer.status_code, step["step"]["step"]) == (200, "asked")
    assert (problem["problem"]["code"], problem["problem"]["kind"]) == ("too_many_matches", "SkyopsError")


async def test_a_client_that_leaves_ends_its_stream_and_nothing_else(api: Api, train: fj.FakeJob) -> None:
    train.say("one\n")
    sent: list[dict[str, Any]] = []
    is_begun, is_gone = trio.Event(), trio.Event()
    requests = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        for one in requests:
            return one
        await is_gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if message.get("body"):
            is_begun.set()

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/jobs/train/logs",
        "query_string": b"follow=true",
        "headers": [(b"host", b"127.0.0.1"), (b"authorization", b"Bearer correct-horse")],
    }
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(api.app, scope, receive, send)
            await is_begun.wait()
            assert train.open_logs == 1
            is_gone.set()
    assert (train.open_logs, train.calls) == (0, [])


async def test_streams_are_bounded_and_freed(api: Api, train: fj.FakeJob) -> None:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(API_JOB_STREAMS_MAX):
                nursery.start_soon(api.ask, "GET", "/v1/jobs/train/logs?follow=true")
            while train.open_logs < API_JOB_STREAMS_MAX:
                await trio.lowlevel.checkpoint()
            late = await api.ask("GET", "/v1/jobs/train/logs")
            assert (late.status_code, late.json()["code"]) == (503, "too_many_streams")
            train.become(fj.job("succeeded", code="succeeded"))
        assert (await api.ask("GET", "/v1/jobs/train/logs")).status_code == 200
