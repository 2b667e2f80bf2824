"""The routes about jobs."""

import json

from tests.gateway.conftest import FakeNode
from tests.gateway.test_routes import Api


async def test_a_job_is_previewed(fake_node: FakeNode) -> None:
    answer = await Api(fake_node).ask("POST", "/v1/jobs/preview", json={"image": "x", "command": "true"})
    assert answer.status_code == 200
    assert (answer.json()["workers"], len(answer.json()["spec_digest"])) == (0, 64)


async def test_a_wrong_job_is_refused_with_every_mistake(fake_node: FakeNode) -> None:
    tree = {"image": "x", "shards": 0, "gnag": True, "secrets": [{"name": "A", "value": "hunter2"}]}
    answer = await Api(fake_node).ask("POST", "/v1/jobs/preview", json=tree)
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["kind"]) == (422, "job_invalid", "ConfigError")
    assert all(field in problem["detail"] for field in ("shards: ", "gnag: ", "secrets.0.value: "))
    assert "hunter2" not in json.dumps(problem)


async def test_what_is_no_object_is_refused(fake_node: FakeNode) -> None:
    answer = await Api(fake_node).ask("POST", "/v1/jobs/preview", json=["image"])
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
