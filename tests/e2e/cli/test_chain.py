"""`skyops chain`: the embedded chain by command, its death, and an endpoint that is none."""

import json
import os
import signal
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.conftest import Ran, wait_until

pytestmark = [pytest.mark.process, pytest.mark.net]
Skyops = Callable[..., Ran]


@pytest.fixture
def started(skyops: Skyops) -> Iterator[dict[str, object]]:
    ran = skyops("chain", "start", "--json")
    assert ran.code == 0, ran.err
    yield json.loads(ran.out)
    skyops("chain", "stop")


def block_of(skyops: Skyops) -> tuple[str, int]:
    ran = skyops("chain", "status", "--json")
    (row,) = json.loads(ran.out)["endpoints"]
    assert (ran.code, row["state"]) == (0, "ok"), ran.out
    return row["endpoint"], row["block"]


def test_a_chain_is_started_looked_at_and_stopped(skyops: Skyops, started: dict[str, object]) -> None:
    assert block_of(skyops) == (started["url"], 0)
    assert str(started["url"]) in skyops("chain", "status").out
    again = skyops("chain", "start")
    assert (again.code, "error[chain_running]" in again.err) == (7, True)
    assert skyops("chain", "stop").code == 0
    for command, exit_code, code in (("stop", 7, "chain_not_running"), ("status", 2, "chain_not_configured")):
        ran = skyops("chain", command)
        assert (ran.code, f"error[{code}]" in ran.err, "-> " in ran.err) == (exit_code, True, True)


def test_a_chain_that_was_killed_is_noticed_and_starts_again(
    skyops: Skyops, started: dict[str, object]
) -> None:
    os.kill(int(str(started["pid"])), signal.SIGKILL)
    wait_until(lambda: "chain_not_configured" in skyops("chain", "status").err, what="the chain is gone")
    assert skyops("chain", "start").code == 0
    assert block_of(skyops)[1] == 0


def test_an_endpoint_that_does_not_answer_is_a_row_and_an_exit_code(skyops: Skyops) -> None:
    ran = skyops("chain", "status", "--json", "--endpoint", "http://127.0.0.1:1/secret")
    (row,) = json.loads(ran.out)["endpoints"]
    assert (ran.code, row["state"], row["error"]) == (7, "fail", "rpc_unreachable")
    assert "secret" not in ran.out + ran.err
    assert ran.err == ""
