"""The control API over a real socket, with the client of the command line."""

import json
import os
import stat
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest
import trio

from skyops_p2p.config import NodeConfig
from skyops_p2p.errors import ConfigError, NetworkError, RemoteProtocolError, StoreError
from skyops_p2p.gateway.server import serve_api
from skyops_p2p.limits import API_EVENT_STREAMS_MAX
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.run_file import read_run_file, run_file_path, running_config, write_run_file
from skyops_p2p.node.views import MapQuery, NodeEventView
from tests.gateway.conftest import ALICE, BOB, FakeFaults, FakeNode

pytestmark = pytest.mark.net


def config_in(data_dir: Path, **api: object) -> NodeConfig:
    return NodeConfig.model_validate({"data_dir": data_dir, "api": api})


def ignore_stop() -> None:
    """The tests end the server by leaving its block."""


in_thread = partial(trio.to_thread.run_sync, abandon_on_cancel=True)


async def test_client_sees_what_the_node_says(tmp_path: Path, fake_node: FakeNode) -> None:
    stopped = trio.Event()
    faults = FakeFaults()
    with trio.fail_after(60):
        async with serve_api(fake_node, config_in(tmp_path), stop=stopped.set, faults=faults):
            client = ControlClient.of(tmp_path)
            assert await in_thread(client.is_ready)
            assert (await in_thread(client.status)).peer_id == ALICE
            assert (await in_thread(client.peers))[0].peer_id == BOB
            query = MapQuery(gpu="a100", states=("active", "suspect"), workers_only=True)
            assert len(await in_thread(client.map, query)) == 2
            assert fake_node.queries[-1] == query
            assert (await in_thread(client.node, "12D3KooWBob")).peer_id == BOB
            assert (await in_thread(client.ping, BOB))[1] == pytest.approx(0.0042)
            assert (await in_thread(client.handshake, BOB)).peer_id == BOB
            assert (await in_thread(partial(client.prove, BOB, memory_mib=2))).memory_bytes == 2 << 20
            assert await in_thread(client.join, f"/ip4/127.0.0.1/tcp/1/p2p/{BOB}") == BOB
            assert "skyops_connections" in await in_thread(client.metrics)
            await in_thread(client.set_faults, {"blocked": [BOB]})
            assert faults.applied == {"blocked": [BOB]}
            await in_thread(client.stop)
            await stopped.wait()


async def test_errors_come_back_as_they_were_raised(tmp_path: Path, fake_node: FakeNode) -> None:
    with trio.fail_after(60):
        async with serve_api(fake_node, config_in(tmp_path), stop=ignore_stop):
            client = ControlClient.of(tmp_path)
            with pytest.raises(NetworkError, match="no node 'nobody'") as unknown:
                await in_thread(client.node, "nobody")
            assert (unknown.value.code, unknown.value.hint) == ("unknown_peer", "Look at it.")
            with pytest.raises(RemoteProtocolError) as refused:
                await in_thread(client.handshake, "12D3KooWMal")
            assert (refused.value.code, refused.value.rule) == ("bad_signature", "HSK-7")
            with pytest.raises(NetworkError) as no_faults:
                await in_thread(client.set_faults, {})
            assert no_faults.value.code == "no_such_route"


async def test_run_file_is_private_and_goes_with_the_server(tmp_path: Path, fake_node: FakeNode) -> None:
    with trio.fail_after(60):
        async with serve_api(fake_node, config_in(tmp_path), stop=ignore_stop) as entry:
            path = run_file_path(tmp_path)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE((tmp_path / "run" / "api.token").stat().st_mode) == 0o600
            assert (tmp_path / "run" / "api.token").read_text() == entry.token
            assert json.loads(path.read_text())["pid"] == os.getpid()
        assert list((tmp_path / "run").iterdir()) == []
        with pytest.raises(NetworkError) as gone:
            ControlClient.of(tmp_path)
        assert gone.value.code == "node_not_running"
        with pytest.raises(NetworkError) as silent:
            await in_thread(ControlClient(tmp_path, entry).status)
        assert silent.value.code == "node_not_running"


def test_stale_run_file_counts_as_not_running_and_is_replaced(tmp_path: Path) -> None:
    entry = write_run_file(config_in(tmp_path), url="http://127.0.0.1:1", token="old")
    path = run_file_path(tmp_path)
    # The same pid with another start time: the number was given to a new program.
    path.write_text(json.dumps({"url": entry.url, "token": "old", "pid": entry.pid, "process_start": "1"}))
    with pytest.raises(NetworkError, match="is gone"):
        read_run_file(tmp_path)
    assert running_config(tmp_path) is None
    config = config_in(tmp_path)
    assert write_run_file(config, url="http://127.0.0.1:2", token="new") == read_run_file(tmp_path)
    assert running_config(tmp_path) == config


def test_settings_of_another_version_are_none(tmp_path: Path) -> None:
    entry = write_run_file(config_in(tmp_path), url="http://127.0.0.1:1", token="x")
    for settings in ({}, {"flux": 1}, {"network": {"name": 7}}):
        run_file_path(tmp_path).write_text(json.dumps(asdict(entry) | {"settings": settings}))
        assert read_run_file(tmp_path).settings == settings
        assert running_config(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"url": 1, "token": "x", "pid": "y"}', "null"])
def test_damaged_run_file_counts_as_not_running(tmp_path: Path, text: str) -> None:
    run_file_path(tmp_path).parent.mkdir()
    run_file_path(tmp_path).write_text(text)
    with pytest.raises(NetworkError) as error:
        read_run_file(tmp_path)
    assert error.value.code == "node_not_running"


async def test_events_flow_and_end_with_the_node(tmp_path: Path, fake_node: FakeNode) -> None:
    event = NodeEventView(kind="node", peer_id=BOB, text="bob is suspect", unix_ms=1)
    seen: list[NodeEventView] = []

    def follow() -> None:
        seen.extend(ControlClient.of(tmp_path).events())

    with trio.fail_after(60):
        async with (
            serve_api(fake_node, config_in(tmp_path), stop=ignore_stop),
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(in_thread, follow)
            while not fake_node.feeds:
                await trio.lowlevel.checkpoint()
            feed = fake_node.feeds[0]
            await feed.send(event)
            await feed.send(event)
            await feed.aclose()
    assert seen == [event, event]


async def test_event_streams_are_bounded_and_freed(tmp_path: Path, fake_node: FakeNode) -> None:
    async def request() -> trio.SocketStream:
        entry = read_run_file(tmp_path)
        stream = await trio.open_tcp_stream("127.0.0.1", int(entry.url.rpartition(":")[2]))
        text = f"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {entry.token}\r\n\r\n"
        await stream.send_all(text.encode())
        return stream

    with trio.fail_after(60):
        async with serve_api(fake_node, config_in(tmp_path), stop=ignore_stop):
            streams = [await request() for _ in range(API_EVENT_STREAMS_MAX)]
            for stream in streams:
                assert (await stream.receive_some(4096)).startswith(b"HTTP/1.1 200")
            late = await request()
            assert (await late.receive_some(4096)).startswith(b"HTTP/1.1 503")
            await streams[0].aclose()
            while len(fake_node.feeds) == API_EVENT_STREAMS_MAX:
                await trio.lowlevel.checkpoint()
            again = await request()
            assert (await again.receive_some(4096)).startswith(b"HTTP/1.1 200")
            for stream in [*streams, late, again]:
                await stream.aclose()


async def test_taken_port_is_named(tmp_path: Path, fake_node: FakeNode) -> None:
    with trio.fail_after(60):
        async with serve_api(fake_node, config_in(tmp_path / "a"), stop=ignore_stop) as entry:
            port = int(entry.url.rpartition(":")[2])
            with pytest.raises(NetworkError, match=str(port)) as error:
                async with serve_api(fake_node, config_in(tmp_path / "b", port=port), stop=ignore_stop):
                    pass
            assert error.value.code == "port_taken"


async def test_reachable_address_needs_leave(tmp_path: Path, fake_node: FakeNode) -> None:
    config = config_in(tmp_path)
    exposed = config.model_copy(update={"api": config.api.model_copy(update={"host": "0.0.0.0"})})
    with pytest.raises(ConfigError) as error:
        async with serve_api(fake_node, exposed, stop=ignore_stop):
            pass
    assert error.value.code == "api_not_loopback"


async def test_unwritable_run_file_is_named(tmp_path: Path, fake_node: FakeNode) -> None:
    (tmp_path / "run").write_text("a file where the directory should be")
    with trio.fail_after(60), pytest.RaisesGroup(StoreError) as group:
        async with serve_api(fake_node, config_in(tmp_path), stop=ignore_stop):
            pass
    assert group.value.exceptions[0].code == "store_unusable"
