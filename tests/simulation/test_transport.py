"""What connections, streams and lost packets cost: exact instants over links whose luck is written down."""

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p.errors import NetworkError
from skyops_p2p.simulation.fabric import SimFabric
from skyops_p2p.simulation.faults import LinkFaults
from skyops_p2p.simulation.latency import LOCAL_MS, Latency
from skyops_p2p.simulation.network import SimNetwork
from skyops_p2p.simulation.transport import (
    CONNECTED,
    RETRANSMIT_FIRST_S,
    RETRANSMIT_MIN_S,
    SHORT,
    UNTAMED_LIBP2P,
    Transport,
)
from tests.simulation.toy import PROTOCOL, addrs, toy_world

ROUND_TRIP_S = 2 * LOCAL_MS / 1000
RTO_S = ROUND_TRIP_S + RETRANSMIT_MIN_S
TICK_S = 0.0001
RETRANSMITTING = Transport(retransmits=True)


def fabric(transport: Transport, *, lost: tuple[int, ...] = ()) -> SimFabric:
    """A local network where the packets of these numbers, counted from 0, are lost."""
    made = SimFabric(
        1, latency=Latency(1, is_wide_area=False), transport=transport, links=ROUGH, tick_s=TICK_S
    )
    packets = iter(range(1_000_000))

    def fate(*_: object, **__: object) -> tuple[float, ...]:
        return () if next(packets) in lost else (0.0,)

    made.faults.fate = fate  # type: ignore[method-assign]
    return made


ROUGH = LinkFaults(loss=0.5)
"""Not calm, so that the fabric asks for each packet's fate."""


async def echo(_peer: object, request: bytes) -> bytes:
    return request


async def timed(action: Callable[[], object]) -> float:
    started = trio.current_time()
    await action()  # type: ignore[misc]
    return trio.current_time() - started


async def ask(alice: SimNetwork, bob: SimNetwork, timeout_s: float = 5.0) -> float:
    return await timed(lambda: alice.request(bob.peer_id, PROTOCOL, b"x", timeout_s=timeout_s))


@pytest.mark.parametrize("transport", [SHORT, RETRANSMITTING, UNTAMED_LIBP2P, CONNECTED])
async def test_dial_takes_its_round_trips(autojump_clock: MockClock, transport: Transport) -> None:
    async with toy_world(2, fabric(transport)) as (alice, bob):
        took_s = await timed(lambda: alice.dial(addrs(bob), timeout_s=5.0))
        assert took_s == pytest.approx(transport.dial_round_trips * ROUND_TRIP_S, abs=5 * TICK_S)


async def test_new_stream_takes_its_round_trips_and_an_idle_one_none(autojump_clock: MockClock) -> None:
    async with toy_world(2, fabric(UNTAMED_LIBP2P)) as (alice, bob):
        bob.serve_requests(PROTOCOL, echo, bytes_max=64)
        await alice.dial(addrs(bob), timeout_s=5.0)
        assert await ask(alice, bob) == pytest.approx(3 * ROUND_TRIP_S, abs=5 * TICK_S)
        assert await ask(alice, bob) == pytest.approx(ROUND_TRIP_S, abs=5 * TICK_S)
        took_s: list[float] = []

        async def ask_beside() -> None:
            took_s.append(await ask(alice, bob))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_beside)
            nursery.start_soon(ask_beside)
        assert took_s == pytest.approx([ROUND_TRIP_S, 3 * ROUND_TRIP_S], abs=5 * TICK_S)


async def test_streams_end_with_their_connection(autojump_clock: MockClock) -> None:
    async with toy_world(2, fabric(UNTAMED_LIBP2P)) as (alice, bob):
        bob.serve_requests(PROTOCOL, echo, bytes_max=64)
        await alice.dial(addrs(bob), timeout_s=5.0)
        await ask(alice, bob)
        await alice.disconnect(bob.peer_id)
        await trio.sleep(1.0)
        await alice.dial(addrs(bob), timeout_s=5.0)
        assert await ask(alice, bob) == pytest.approx(3 * ROUND_TRIP_S, abs=5 * TICK_S)


@pytest.mark.parametrize(("lost", "late_s"), [((6,), RTO_S), ((7,), RTO_S), ((6, 7), 3 * RTO_S)])
async def test_lost_packet_is_sent_again_and_each_time_later(
    autojump_clock: MockClock, lost: tuple[int, ...], late_s: float
) -> None:
    """Packets 0 to 5 are the dial's; 6 is the request, or what is sent again in its place."""
    async with toy_world(2, fabric(RETRANSMITTING, lost=lost)) as (alice, bob):
        bob.serve_requests(PROTOCOL, echo, bytes_max=64)
        await alice.dial(addrs(bob), timeout_s=5.0)
        assert await ask(alice, bob) == pytest.approx(ROUND_TRIP_S + late_s, abs=5 * TICK_S)


async def test_first_packet_of_a_dial_waits_longest(autojump_clock: MockClock) -> None:
    async with toy_world(2, fabric(RETRANSMITTING, lost=(0,))) as (alice, bob):
        took_s = await timed(lambda: alice.dial(addrs(bob), timeout_s=5.0))
        assert took_s == pytest.approx(3 * ROUND_TRIP_S + RETRANSMIT_FIRST_S, abs=5 * TICK_S)


async def test_without_retransmission_a_lost_packet_is_a_time_out(autojump_clock: MockClock) -> None:
    async with toy_world(2, fabric(SHORT, lost=(6,))) as (alice, bob):
        bob.serve_requests(PROTOCOL, echo, bytes_max=64)
        await alice.dial(addrs(bob), timeout_s=5.0)
        with pytest.raises(NetworkError, match="did not answer"):
            await ask(alice, bob, timeout_s=0.5)


async def test_cut_path_is_no_loss_that_sending_again_mends(autojump_clock: MockClock) -> None:
    world = SimFabric(1, transport=RETRANSMITTING)
    async with toy_world(2, world) as (alice, bob):
        bob.serve_requests(PROTOCOL, echo, bytes_max=64)
        await alice.dial(addrs(bob), timeout_s=5.0)
        world.faults.partition([0], [1])
        with pytest.raises(NetworkError, match="did not answer"):
            await ask(alice, bob, timeout_s=2.0)
