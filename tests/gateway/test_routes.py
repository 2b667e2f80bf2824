"""The control API in process: routes, the guard and the shape of errors."""

from collections.abc import Callable

import httpx
import pytest

from skyops_p2p.gateway.app import create_app
from skyops_p2p.limits import API_BODY_BYTES_MAX, API_REQUESTS_BURST
from skyops_p2p.limits import PROOF_MEMORY_MIB_MAX as MEMORY_MIB_MAX
from tests.gateway.conftest import ALICE, BOB, FakeFaults, FakeNode

TOKEN = "correct-horse"
HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Api:
    """The API over a fake node, and a client that may knock as anybody."""

    def __init__(self, node: FakeNode, *, faults: FakeFaults | None = None) -> None:
        self.stops = 0
        self.now_s = 0.0
        self.app = create_app(
            node, token=TOKEN, stop=self._stop, hosts=HOSTS, faults=faults, now=lambda: self.now_s
        )

    def _stop(self) -> None:
        self.stops += 1

    async def ask(
        self,
        method: str,
        path: str,
        *,
        token: str | None = TOKEN,
        host: str = "127.0.0.1:40123",
        **more: object,
    ) -> httpx.Response:
        headers = {"Host": host} | ({} if token is None else {"Authorization": f"Bearer {token}"})
        # An app that fails inside must answer, not raise into the test.
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:40123") as client:
            return await client.request(method, path, headers=headers, **more)


@pytest.fixture
def api(fake_node: FakeNode) -> Api:
    return Api(fake_node)


@pytest.fixture
def make_api(fake_node: FakeNode) -> Callable[..., Api]:
    return lambda **more: Api(fake_node, **more)


async def test_every_view_is_served(api: Api) -> None:
    assert (await api.ask("GET", "/v1/status")).json()["peer_id"] == ALICE
    assert (await api.ask("GET", "/v1/peers")).json()["peers"][0]["peer_id"] == BOB
    assert len((await api.ask("GET", "/v1/map")).json()["nodes"]) == 2
    assert (await api.ask("GET", f"/v1/nodes/{BOB}")).json()["peer_id"] == BOB
    assert (await api.ask("GET", "/v1/nodes/self")).json()["peer_id"] == ALICE
    metrics = await api.ask("GET", "/v1/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "skyops_connections 1.0" in metrics.text


async def test_actions_name_peers_by_prefix(api: Api) -> None:
    pong = (await api.ask("POST", "/v1/peers/12D3KooWBob/ping")).json()
    assert pong == {"peer_id": BOB, "round_trip_ms": pytest.approx(4.2)}
    assert (await api.ask("POST", "/v1/peers/12D3KooWBob/handshake")).json()["peer_id"] == BOB
    joined = await api.ask("POST", "/v1/join", json={"addr": f"/ip4/127.0.0.1/tcp/1/p2p/{BOB}"})
    assert joined.json() == {"peer_id": BOB}


async def test_worker_is_asked_to_prove_itself_within_bounds(api: Api) -> None:
    path = "/v1/peers/12D3KooWBob/prove"
    assert not (await api.ask("POST", path, json={})).json()["is_new"]
    asked = await api.ask("POST", path, json={"again": True, "memory_mib": MEMORY_MIB_MAX})
    assert (asked.json()["is_new"], asked.json()["memory_bytes"]) == (True, MEMORY_MIB_MAX << 20)
    for wrong in ({"memory_mib": MEMORY_MIB_MAX + 1}, {"memory_mib": -1}, {"other": 1}):
        assert (await api.ask("POST", path, json=wrong)).status_code == 422
    refused = await api.ask("POST", "/v1/peers/12D3KooWMal/prove", json={})
    assert (refused.json()["code"], refused.json()["hint"]) == ("proof_spent", "Try again in half an hour.")


async def test_search_asks_the_dht_with_the_same_query(api: Api, fake_node: FakeNode) -> None:
    answer = await api.ask("POST", "/v1/map/search", json={"gpu": "a100", "workers_only": True})
    assert answer.status_code == 200
    assert answer.json() == {"found": 3}
    assert (fake_node.queries[-1].gpu, fake_node.queries[-1].workers_only) == ("a100", True)


async def test_map_query_reaches_the_node(api: Api, fake_node: FakeNode) -> None:
    answer = await api.ask("GET", "/v1/map?gpu=a100&vram_gib=40&states=active&states=suspect&sort=price")
    assert answer.status_code == 200
    query = fake_node.queries[-1]
    assert (query.gpu, query.vram_gib, query.states, query.sort) == (
        "a100",
        40.0,
        ("active", "suspect"),
        "price",
    )


async def test_stop_is_accepted_once_per_request(api: Api) -> None:
    assert (await api.ask("POST", "/v1/stop")).status_code == 202
    assert api.stops == 1


async def test_schema_lists_every_route(api: Api) -> None:
    paths = (await api.ask("GET", "/v1/openapi.json")).json()["paths"]
    assert {"/v1/status", "/v1/map", "/v1/peers/{peer}/handshake", "/v1/events", "/health"} <= set(paths)
    assert "/v1/faults" not in paths


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1]])
async def test_without_the_token_nothing_is_told(api: Api, token: str | None) -> None:
    for path in ("/v1/status", "/v1/metrics", "/v1/openapi.json", "/v1/nothing"):
        answer = await api.ask("GET", path, token=token)
        assert answer.status_code == 401
        assert answer.json()["code"] == "token_wrong"
        assert ALICE not in answer.text


async def test_health_and_readiness_need_no_token(api: Api, fake_node: FakeNode) -> None:
    assert (await api.ask("GET", "/health", token=None)).json()["is_alive"] is True
    assert (await api.ask("GET", "/ready", token=None)).json() == {"is_ready": True}
    fake_node.is_listening = False
    assert (await api.ask("GET", "/ready", token=None)).json() == {"is_ready": False}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:40123", "127.0.0.1.evil.example", ""])
async def test_foreign_host_is_refused_even_with_the_token(api: Api, host: str) -> None:
    answer = await api.ask("GET", "/v1/status", host=host)
    assert (answer.status_code, answer.json()["code"]) == (421, "wrong_host")


@pytest.mark.parametrize("host", ["127.0.0.1", "LOCALHOST:1", "[::1]:40123"])
async def test_loopback_hosts_are_served(api: Api, host: str) -> None:
    assert (await api.ask("GET", "/v1/status", host=host)).status_code == 200


async def test_rate_limit_bites_after_the_burst_and_lets_go(api: Api) -> None:
    for _ in range(API_REQUESTS_BURST):
        assert (await api.ask("GET", "/health")).status_code == 200
    refused = await api.ask("GET", "/health")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["retry-after"] == "1"
    api.now_s += 1.0
    assert (await api.ask("GET", "/health")).status_code == 200


@pytest.mark.parametrize(("extra", "status"), [(-1, 422), (0, 422), (1, 413)])
async def test_body_is_bounded(api: Api, extra: int, status: int) -> None:
    body = b'{"addr": "' + b"x" * (API_BODY_BYTES_MAX + extra - 12) + b'"}'
    assert len(body) == API_BODY_BYTES_MAX + extra
    answer = await api.ask("POST", "/v1/join", content=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_undeclared_large_body_is_cut_off(api: Api) -> None:
    headers = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {TOKEN}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/v1/join", "query_string": b"", "headers": headers}
    handed_out, sent = 0, []

    async def receive() -> dict[str, object]:
        nonlocal handed_out
        handed_out += 1024
        return {"type": "http.request", "body": b"x" * 1024, "more_body": True}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await api.app(scope, receive, send)
    assert sent[0]["status"] == 413
    assert handed_out == API_BODY_BYTES_MAX + 1024


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "kind"),
    [
        ("GET", "/v1/nodes/nobody", 404, "unknown_peer", "NetworkError"),
        ("GET", "/v1/nodes/12D3KooW", 409, "ambiguous_peer", "NetworkError"),
        ("POST", "/v1/peers/12D3KooWMal/ping", 504, "network_timeout", "NetworkError"),
        ("POST", "/v1/peers/12D3KooWMal/handshake", 502, "bad_signature", "RemoteProtocolError"),
        ("GET", "/v1/map?sort=colour", 422, "request_invalid", "ConfigError"),
        ("GET", "/v1/map?colour=red", 422, "request_invalid", "ConfigError"),
        ("POST", "/v1/join", 422, "request_invalid", "ConfigError"),
        ("GET", "/v1/nothing", 404, "no_such_route", "NetworkError"),
        ("DELETE", "/v1/status", 405, "wrong_method", "NetworkError"),
    ],
)
async def test_errors_are_problem_documents(
    api: Api, method: str, path: str, status: int, code: str, kind: str
) -> None:
    answer = await api.ask(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["code"], body["status"], body.get("kind")) == (code, status, kind)
    assert body["detail"]


async def test_refusal_by_a_peer_keeps_rule_and_peer(api: Api) -> None:
    body = (await api.ask("POST", "/v1/peers/12D3KooWMal/handshake")).json()
    assert body["rule"] == "HSK-7"
    assert body["peer"].startswith("12D3KooWMal")


async def test_bug_inside_is_a_problem_too(api: Api, fake_node: FakeNode) -> None:
    fake_node.is_listening = False
    answer = await api.ask("POST", "/v1/peers/12D3KooWBob/ping")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "a bug inside" not in answer.text


async def test_faults_exist_only_with_a_switch(make_api: Callable[..., Api]) -> None:
    assert (await make_api().ask("PUT", "/v1/faults", json={})).status_code == 404
    faults = FakeFaults()
    api = make_api(faults=faults)
    answer = await api.ask("PUT", "/v1/faults", json={"blocked": [BOB]})
    assert answer.json() == {"blocked": [BOB]}
    assert (await api.ask("GET", "/v1/faults")).json() == {"blocked": [BOB]}
    assert faults.applied == {"blocked": [BOB]}


async def test_slow_operation_ends_with_a_code(api: Api, fake_node: FakeNode, autojump_clock: object) -> None:
    import trio

    fake_node.pong_gate = trio.Event()
    answer = await api.ask("POST", "/v1/peers/12D3KooWBob/ping")
    assert (answer.status_code, answer.json()["code"]) == (504, "timed_out")
