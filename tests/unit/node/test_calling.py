"""Asking peers that are connected, that have to be dialled, and that take too long."""

import pytest
import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.errors import NetworkError
from skyops_p2p.node.calling import Caller
from skyops_p2p.types import PeerId

BOB, CAROL = PeerId("bob"), PeerId("carol")


class Line:
    """A network of two: bob is connected, and everybody else is after a dial of `dial_s`."""

    def __init__(self, dial_s: float = 0.5, answer_s: float = 0.1) -> None:
        self.dial_s, self.answer_s = dial_s, answer_s
        self.connected = {BOB}
        self.dialled: list[PeerId] = []
        self.dialling = self.dialling_most = 0

    def connected_peers(self) -> frozenset[PeerId]:
        return frozenset(self.connected)

    async def connect(self, peer: PeerId, *, timeout_s: float) -> None:
        self.dialled.append(peer)
        self.dialling += 1
        self.dialling_most = max(self.dialling_most, self.dialling)
        try:
            with trio.fail_after(timeout_s):
                await trio.sleep(self.dial_s)
        finally:
            self.dialling -= 1
        self.connected.add(peer)

    async def request(self, peer: PeerId, protocol: str, payload: bytes, *, timeout_s: float) -> bytes:
        assert peer in self.connected
        with trio.move_on_after(timeout_s):
            await trio.sleep(self.answer_s)
            return protocol.encode() + payload
        raise NetworkError("too late", code="request_timeout")

    def caller(self) -> Caller:
        return Caller(self, self.connect, "/auction/")  # type: ignore[arg-type]


async def test_connected_peer_is_asked_at_once(autojump_clock: MockClock) -> None:
    line = Line()
    assert await line.caller().ask(BOB, b"tender", timeout_s=0.2) == b"/auction/tender"
    assert line.dialled == []
    assert trio.current_time() == pytest.approx(0.1)


async def test_unconnected_peer_is_dialled_first_and_once(autojump_clock: MockClock) -> None:
    line = Line()
    caller = line.caller()
    assert await caller.ask(CAROL, b"tender", timeout_s=1.0) == b"/auction/tender"
    assert trio.current_time() == pytest.approx(0.6)
    await caller.ask(CAROL, b"reveal", timeout_s=1.0)
    assert line.dialled == [CAROL]


@pytest.mark.parametrize("timeout_s", [0.4, 0.55])
async def test_one_deadline_holds_for_dial_and_answer(autojump_clock: MockClock, timeout_s: float) -> None:
    with pytest.raises(NetworkError) as caught:
        await Line().caller().ask(CAROL, b"tender", timeout_s=timeout_s)
    assert caught.value.code == "request_timeout"
    assert trio.current_time() == pytest.approx(timeout_s)


async def test_further_dials_wait_for_a_place(autojump_clock: MockClock) -> None:
    line = Line()
    caller = line.caller()
    late: list[str] = []

    async def ask(number: int) -> None:
        try:
            await caller.ask(PeerId(f"worker-{number}"), b"tender", timeout_s=0.8)
        except NetworkError as error:
            late.append(error.code)

    async with trio.open_nursery() as nursery:
        for number in range(limits.AUCTION_DIALS_MAX + 1):
            nursery.start_soon(ask, number)
    assert line.dialling_most == limits.AUCTION_DIALS_MAX
    assert late == ["request_timeout"]  # the one that waited half a second for its place
