"""What the exchanges by digest and pull share at a node: full queues, full disks, peers that die in an answer."""

from typing import cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from skyops_p2p.adapters.memory.store import MemoryDisk, open_memory_store
from skyops_p2p.core import pull_events as pull
from skyops_p2p.core.machine import Effect, Event
from skyops_p2p.errors import NetworkError, RemoteProtocolError, SkyopsError
from skyops_p2p.node.pulling import PullCalls, PullJournal, PullLoop
from skyops_p2p.ports import Network
from skyops_p2p.types import MonotonicS, PeerId, UnixMs
from skyops_p2p.wire.messages.evidence import (
    ReceiptsReply,
    ReceiptsRequest,
    ReceiptSyncReply,
    VerdictsReply,
    VerdictsRequest,
)
from skyops_p2p.wire.model import encode_message

NOW = UnixMs(1_800_000_000_000)
BOB, CAROL = PeerId("bob"), PeerId("carol")
NAME = bytes(range(32))
REQUEST = ReceiptsRequest(names=(NAME,))


class Wire:
    """A network of two neighbours whose answers are set by the test."""

    def __init__(self) -> None:
        self.answer: bytes | SkyopsError = b""
        self.asked: list[tuple[PeerId, str]] = []

    def connected_peers(self) -> frozenset[PeerId]:
        return frozenset({CAROL, BOB})

    async def request(self, peer: PeerId, protocol: str, _payload: bytes, *, timeout_s: float) -> bytes:
        await trio.lowlevel.checkpoint()
        self.asked.append((peer, protocol))
        if isinstance(self.answer, SkyopsError):
            raise self.answer
        return self.answer

    async def publish(self, _topic: str, _payload: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if isinstance(self.answer, SkyopsError):
            raise self.answer


def calls(wire: Wire) -> PullCalls:
    return PullCalls(
        cast("Network", wire), protocol="p/1", topic="t", answer_s=10.0, rest_s=600.0, now_ms=lambda: NOW
    )


class Listed:
    """An exchange that writes down what it is told, and is due once."""

    def __init__(self, due: float | None = None) -> None:
        self.heard: list[Event] = []
        self._due = due

    def handle(self, event: Event, _now: MonotonicS) -> list[Effect]:
        self.heard.append(event)
        if isinstance(event, pull.TimeCame):
            self._due = None
        return [pull.Gossip(b"told")]

    def next_deadline(self) -> MonotonicS | None:
        return None if self._due is None else MonotonicS(self._due)


def loop_of(machine: Listed, done: list[Effect], *, events_max: int = 1) -> PullLoop:
    async def perform(effect: Effect, _nursery: trio.Nursery) -> None:
        await trio.lowlevel.checkpoint()
        done.append(effect)

    return PullLoop(
        "things",
        machine,
        perform,
        neighbours=lambda: (BOB,),
        now_ms=lambda: NOW,
        events_max=events_max,
    )


# --- the loop -----------------------------------------------------------------------------------------------------
async def test_a_full_queue_drops_what_comes_again_and_waits_for_what_does_not() -> None:
    machine, done = Listed(), list[Effect]()
    loop = loop_of(machine, done)
    first, lost, own = pull.AskFailed(BOB), pull.AskFailed(CAROL), pull.Restored((b"own",), NOW)
    loop.post(first)
    loop.post(lost)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(loop.send, own)
        await wait_all_tasks_blocked()
        assert machine.heard == []
        nursery.start_soon(loop.run, nursery)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert machine.heard == [first, own]
    assert done == [pull.Gossip(b"told")] * 2


async def test_it_is_told_when_its_time_has_come(autojump_clock: MockClock) -> None:
    machine = Listed(due=trio.current_time() + 30)
    loop = loop_of(machine, [])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(loop.run, nursery)
        await trio.sleep(29)
        loop.post(pull.AskFailed(BOB))
        await trio.sleep(2)
        nursery.cancel_scope.cancel()
    assert machine.heard == [pull.AskFailed(BOB), pull.TimeCame((BOB,), NOW)]


# --- the journal --------------------------------------------------------------------------------------------------
async def test_what_is_kept_is_the_newest_of_each_key() -> None:
    disk = MemoryDisk()
    async with open_memory_store(disk) as store:
        journal = PullJournal(store, "things", lost="lost")
        for key, data in (("a", b"1"), ("b", b"2"), ("a", b"3"), ("b", None)):
            assert await journal.write(key, data)
    async with open_memory_store(disk) as store:
        assert await PullJournal(store, "things", lost="lost").kept() == (b"3",)
    assert len(disk.journal) == 1


async def test_a_full_disk_is_told_until_something_is_written_again() -> None:
    disk = MemoryDisk()
    async with open_memory_store(disk) as store:
        journal = PullJournal(store, "things", lost="things are not written down")
        assert await journal.write("a", b"1")
        disk.free_bytes = 0
        assert not await journal.write("a", b"2")
        assert journal.trouble.startswith("things are not written down: ")
        assert await journal.write("b", None)
        assert journal.trouble, "a deletion has made nothing durable"
        assert await journal.kept() == (b"1",)
        disk.free_bytes = None
        assert await journal.write("a", b"2")
        assert journal.trouble == ""
        assert await journal.kept() == (b"2",)


# --- calls --------------------------------------------------------------------------------------------------------
async def test_an_answer_is_an_event() -> None:
    wire = Wire()
    asks = calls(wire)
    wire.answer = encode_message(ReceiptSyncReply(names=(NAME,), is_complete=False))
    assert await asks.ask(BOB, REQUEST, ReceiptSyncReply) == pull.NamesAnswered(BOB, (NAME,), False)
    wire.answer = encode_message(VerdictsReply(items=(b"verdict",)))
    found = await asks.ask(BOB, VerdictsRequest(names=(NAME,)), VerdictsReply)
    assert found == pull.ItemsAnswered(BOB, (b"verdict",), NOW)
    assert wire.asked == [(BOB, "p/1")] * 2


@pytest.mark.parametrize(
    "answer",
    [
        NetworkError("it died in the answer", code="stream_closed"),
        RemoteProtocolError("too many questions", code="flood"),
        encode_message(ReceiptsReply(items=(b"receipt",)))[:-3],
        encode_message(VerdictsReply(items=(b"verdict",))),
        b"",
    ],
    ids=["dead", "refused", "torn", "other_kind", "empty"],
)
async def test_who_dies_in_an_answer_or_answers_nonsense_has_not_answered(
    answer: bytes | SkyopsError,
) -> None:
    wire = Wire()
    wire.answer = answer
    asks = calls(wire)
    assert await asks.ask(BOB, REQUEST, ReceiptsReply) == pull.AskFailed(BOB)
    assert asks.neighbours() == (BOB, CAROL)


async def test_who_does_not_speak_the_protocol_is_left_out_for_a_while(autojump_clock: MockClock) -> None:
    wire = Wire()
    wire.answer = NetworkError("what is that?", code="protocol_unsupported")
    asks = calls(wire)
    assert await asks.ask(CAROL, VerdictsRequest(names=(NAME,)), VerdictsReply) == pull.AskFailed(CAROL)
    assert asks.neighbours() == (BOB,)
    await trio.sleep(599)
    assert asks.neighbours() == (BOB,)
    await trio.sleep(1)
    assert asks.neighbours() == (BOB, CAROL)


async def test_gossip_that_cannot_be_told_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    wire = Wire()
    wire.answer = NetworkError("cut off", code="not_connected")
    with caplog.at_level("INFO"):
        await calls(wire).publish(b"names")
    assert "gossip_not_told topic=t code=not_connected" in caplog.text
