"""Requests and responses: round trips, refusals, bounds."""

import pytest
import trio

from skyops_p2p import limits
from skyops_p2p.errors import NetworkError, RemoteProtocolError
from tests.ports.network.conftest import PATIENCE_S

pytestmark = pytest.mark.net


async def shout(peer, payload):
    return payload.upper()


async def test_request_round_trip_carries_the_remote_peer(world, talk):
    seen = []

    async def serve(peer, payload):
        seen.append(peer)
        return b"re:" + payload

    async with world.open("alice") as alice, world.open("bob") as bob:
        bob.serve_requests(talk.requests, serve, bytes_max=1024)
        await talk.connect(alice, bob)
        assert await alice.request(bob.peer_id, talk.requests, b"ask", timeout_s=PATIENCE_S) == b"re:ask"
        assert seen == [alice.peer_id]
        assert (alice.statistics().requests_sent, bob.statistics().requests_served) == (1, 1)


async def test_both_ends_can_ask_over_one_connection(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        alice.serve_requests(talk.requests, shout, bytes_max=64)
        bob.serve_requests(talk.requests, shout, bytes_max=64)
        await talk.connect(alice, bob)
        assert await alice.request(bob.peer_id, talk.requests, b"a", timeout_s=PATIENCE_S) == b"A"
        assert await bob.request(alice.peer_id, talk.requests, b"b", timeout_s=PATIENCE_S) == b"B"


@pytest.mark.parametrize("size", [0, 1, 127, 128, 64 * 1024])
async def test_request_of_any_permitted_size_is_answered(world, talk, size):
    async with world.open("alice") as alice, world.open("bob") as bob:
        bob.serve_requests(talk.requests, shout, bytes_max=64 * 1024)
        await talk.connect(alice, bob)
        assert (
            await alice.request(bob.peer_id, talk.requests, b"x" * size, timeout_s=PATIENCE_S) == b"X" * size
        )


async def test_request_above_the_servers_bound_is_refused(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        bob.serve_requests(talk.requests, shout, bytes_max=100)
        await talk.connect(alice, bob)
        assert await alice.request(bob.peer_id, talk.requests, b"x" * 100, timeout_s=PATIENCE_S) == b"X" * 100
        with pytest.raises((RemoteProtocolError, NetworkError)):
            await alice.request(bob.peer_id, talk.requests, b"x" * 101, timeout_s=PATIENCE_S)
        assert await alice.request(bob.peer_id, talk.requests, b"ok", timeout_s=PATIENCE_S) == b"OK"
        assert bob.statistics().requests_refused == 1


async def test_request_longer_than_a_frame_does_not_leave(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        bob.serve_requests(talk.requests, shout, bytes_max=64)
        await talk.connect(alice, bob)
        with pytest.raises(NetworkError) as caught:
            await alice.request(
                bob.peer_id, talk.requests, bytes(limits.FRAME_BYTES_MAX + 1), timeout_s=PATIENCE_S
            )
        assert caught.value.code == "payload_too_large"


async def test_response_longer_than_a_frame_is_refused_by_its_server(world, talk):
    async def flood(peer, payload):
        return bytes(limits.FRAME_BYTES_MAX + 1)

    async with world.open("alice") as alice, world.open("bob") as bob:
        bob.serve_requests(talk.requests, flood, bytes_max=64)
        await talk.connect(alice, bob)
        with pytest.raises(RemoteProtocolError) as caught:
            await alice.request(bob.peer_id, talk.requests, b"x", timeout_s=PATIENCE_S)
        assert caught.value.code == "internal"


async def test_refusal_of_the_server_arrives_with_its_code(world, talk):
    async def refuse(peer, payload):
        raise RemoteProtocolError("stale", code="stale_sequence")

    async with world.open("alice") as alice, world.open("bob") as bob:
        bob.serve_requests(talk.requests, refuse, bytes_max=64)
        await talk.connect(alice, bob)
        with pytest.raises(RemoteProtocolError) as caught:
            await alice.request(bob.peer_id, talk.requests, b"x", timeout_s=PATIENCE_S)
        assert caught.value.code == "stale_sequence"


async def test_failing_server_is_contained_and_counted(world, talk):
    async def fail(peer, payload):
        raise ZeroDivisionError

    async with world.open("alice") as alice, world.open("bob") as bob:
        bob.serve_requests(talk.requests, fail, bytes_max=64)
        await talk.connect(alice, bob)
        with pytest.raises(RemoteProtocolError) as caught:
            await alice.request(bob.peer_id, talk.requests, b"x", timeout_s=PATIENCE_S)
        assert caught.value.code == "internal"
        assert bob.statistics().contained_errors == 1
        bob.serve_requests(talk.streams, shout, bytes_max=64)
        assert await alice.request(bob.peer_id, talk.streams, b"y", timeout_s=PATIENCE_S) == b"Y"


async def test_silent_server_times_out_and_others_are_served(world, talk):
    async def sleep_on_zero(peer, payload):
        if payload == b"0":
            await trio.sleep_forever()
        return payload

    async with world.open("alice") as alice, world.open("bob") as bob:
        bob.serve_requests(talk.requests, sleep_on_zero, bytes_max=64)
        await talk.connect(alice, bob)
        with pytest.raises(NetworkError) as caught:
            await alice.request(bob.peer_id, talk.requests, b"0", timeout_s=0.3)
        assert caught.value.code == "request_timeout"
        assert await alice.request(bob.peer_id, talk.requests, b"1", timeout_s=PATIENCE_S) == b"1"


async def test_concurrent_requests_get_their_own_answers(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        bob.serve_requests(talk.requests, shout, bytes_max=64)
        await talk.connect(alice, bob)
        answers = {}

        async def ask(number):
            question = f"q{number}".encode()
            answers[number] = await alice.request(bob.peer_id, talk.requests, question, timeout_s=PATIENCE_S)

        async with trio.open_nursery() as nursery:
            for number in range(60):
                nursery.start_soon(ask, number)
        assert answers == {number: f"Q{number}".encode() for number in range(60)}


async def test_slow_request_does_not_hold_up_others(world, talk):
    release = trio.Event()

    async def wait_on_zero(peer, payload):
        if payload == b"0":
            await release.wait()
        return payload

    async with world.open("alice") as alice, world.open("bob") as bob, trio.open_nursery() as nursery:
        bob.serve_requests(talk.requests, wait_on_zero, bytes_max=64)
        await talk.connect(alice, bob)
        answers = []

        async def ask(payload):
            answers.append(await alice.request(bob.peer_id, talk.requests, payload, timeout_s=PATIENCE_S))

        nursery.start_soon(ask, b"0")
        await trio.testing.wait_all_tasks_blocked(0.05)
        await ask(b"1")
        assert answers == [b"1"]
        release.set()
        await talk.wait(lambda: len(answers) == 2)


async def test_request_to_a_stranger_fails(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        with pytest.raises(NetworkError) as caught:
            await alice.request(bob.peer_id, talk.requests, b"x", timeout_s=1.0)
        assert caught.value.code == "not_connected"


async def test_unserved_protocol_fails(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        await talk.connect(alice, bob)
        with pytest.raises(NetworkError) as caught:
            await alice.request(bob.peer_id, talk.requests, b"x", timeout_s=PATIENCE_S)
        assert caught.value.code == "protocol_unsupported"


async def test_requests_work_after_a_reconnect(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        bob.serve_requests(talk.requests, shout, bytes_max=64)
        await talk.connect(alice, bob)
        await alice.request(bob.peer_id, talk.requests, b"x", timeout_s=PATIENCE_S)
        await bob.disconnect(alice.peer_id)
        await talk.wait(lambda: not alice.connected_peers())
        await talk.connect(alice, bob)
        assert await alice.request(bob.peer_id, talk.requests, b"x", timeout_s=PATIENCE_S) == b"X"


async def test_cancelled_request_leaves_the_next_one_its_own_answer(world, talk):
    async with world.open("alice") as alice, world.open("bob") as bob:
        bob.serve_requests(talk.requests, shout, bytes_max=64)
        await talk.connect(alice, bob)
        await alice.request(bob.peer_id, talk.requests, b"warm", timeout_s=PATIENCE_S)
        for steps in range(12):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(
                        lambda: alice.request(bob.peer_id, talk.requests, b"lost", timeout_s=PATIENCE_S)
                    )
                    for _ in range(steps):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
            question = f"q{steps}".encode()
            assert (
                await alice.request(bob.peer_id, talk.requests, question, timeout_s=PATIENCE_S)
                == question.upper()
            )


async def test_requests_above_the_servers_bound_are_told_busy(world, talk):
    release = trio.Event()

    async def wait(peer, payload):
        await release.wait()
        return b"done"

    outcomes = []
    async with world.open("bob") as bob, trio.open_nursery() as nursery:
        bob.serve_requests(talk.requests, wait, bytes_max=64)
        bob.serve_requests(talk.streams, wait, bytes_max=64)

        async def ask(network, protocol):
            try:
                outcomes.append(await network.request(bob.peer_id, protocol, b"x", timeout_s=PATIENCE_S))
            except RemoteProtocolError as error:
                outcomes.append(error.code)

        names = [f"asker{number}" for number in range(limits.REQUESTS_INBOUND_MAX // 16 + 1)]
        askers = [await nursery.start(hold_open, world, name) for name in names]
        for asker in askers:
            await talk.connect(asker, bob)
        for asker in askers:  # only now: a request that is served has some seconds
            for _ in range(limits.REQUESTS_INBOUND_PER_PEER_MAX):
                nursery.start_soon(ask, asker, talk.requests)
        await talk.wait(lambda: len(outcomes) == limits.REQUESTS_INBOUND_PER_PEER_MAX)
        assert set(outcomes) == {"busy"}
        release.set()
        await talk.wait(lambda: len(outcomes) == limits.REQUESTS_INBOUND_PER_PEER_MAX * len(names))
        assert outcomes.count(b"done") == limits.REQUESTS_INBOUND_MAX
        nursery.cancel_scope.cancel()


async def hold_open(world, name, task_status):
    async with world.open(name) as network:
        task_status.started(network)
        await trio.sleep_forever()
