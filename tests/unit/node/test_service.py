"""PER-17 to PER-19: what a node answers over the `node` protocol, and what it refuses."""

import pytest

from skyops_p2p import limits
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import NetworkError, RemoteProtocolError
from skyops_p2p.node.service import NodeService
from skyops_p2p.simulation.clock import SimClock
from skyops_p2p.simulation.entropy import SeededEntropy
from skyops_p2p.types import MonotonicS, PeerId
from skyops_p2p.wire.messages.peering import (
    MapSyncReply,
    MapSyncRequest,
    PeersReply,
    PeersRequest,
    Ping,
    Pong,
    ProbeReply,
    ProbeRequest,
    RecordReply,
    RecordRequest,
)
from skyops_p2p.wire.model import AnyMessage, Message, decode_message, encode_message
from tests.unit.core.desk import Desk
from tests.unit.core.people import ALICE, BOB, CAROL, MALLORY, START

NONCE = b"12345678"


class Counter:
    """Alice's answers; `reached` are the peers that she can ping."""

    def __init__(self) -> None:
        self.desk = Desk().ready()
        self.desk.connect(BOB)
        self.desk.activate(BOB)
        self.reached: set[PeerId] = set()
        self.pinged: list[PeerId] = []
        self.service = NodeService(
            self.desk.core, self.reach, wall_clock=SimClock(), entropy=SeededEntropy(1, "alice")
        )

    async def reach(self, peer: PeerId) -> float:
        self.pinged.append(peer)
        if peer not in self.reached:
            raise NetworkError("silence", code="timeout")
        return 0.01

    async def ask(
        self, question: Message, kind: type[AnyMessage], *, peer: PeerId = CAROL.peer
    ) -> AnyMessage:
        return decode_message(kind, await self.answer(encode_message(question), peer=peer))

    async def answer(self, request: bytes, *, peer: PeerId = CAROL.peer, now: MonotonicS = START) -> bytes:
        return await self.service.answer(peer, request, now)


@pytest.fixture
def counter() -> Counter:
    return Counter()


async def test_ping_comes_back_with_its_nonce_and_our_record(counter: Counter) -> None:
    pong = await counter.ask(Ping(nonce=NONCE), Pong)
    entry = counter.desk.core.nodes.get(ALICE.peer)
    assert entry is not None
    assert entry.record is not None
    assert (pong.nonce, pong.record_sequence) == (NONCE, entry.record.sequence)


async def test_record_and_heartbeat_of_a_node_of_the_map(counter: Counter) -> None:
    reply = await counter.ask(RecordRequest(peer=peer_id_to_bytes(BOB.peer)), RecordReply)
    assert reply.record == BOB.record()
    assert reply.presence is not None
    nobody = await counter.ask(RecordRequest(peer=peer_id_to_bytes(MALLORY.peer)), RecordReply)
    assert nobody == RecordReply()


async def test_difference_of_two_maps(counter: Counter) -> None:
    reply = await counter.ask(MapSyncRequest(digests=bytes(512), after=b""), MapSyncReply)
    assert reply.is_complete
    assert set(reply.records) == {BOB.record(), counter.desk.core.own_record}


async def test_peers_are_the_connected_ones_without_the_asker(counter: Counter) -> None:
    reply = await counter.ask(PeersRequest(count_max=32), PeersReply)
    assert [part.peer for part in reply.peers] == [peer_id_to_bytes(BOB.peer)]
    assert (await counter.ask(PeersRequest(count_max=32), PeersReply, peer=BOB.peer)).peers == ()


@pytest.mark.parametrize("is_alive", [True, False])
async def test_witness_tells_what_it_found(counter: Counter, is_alive: bool) -> None:
    counter.reached = {BOB.peer} if is_alive else set()
    reply = await counter.ask(ProbeRequest(target=peer_id_to_bytes(BOB.peer)), ProbeReply)
    assert reply.is_alive is is_alive
    assert counter.pinged == [BOB.peer]


@pytest.mark.parametrize("target", [MALLORY.peer, ALICE.peer, CAROL.peer], ids=["stranger", "us", "asker"])
async def test_nobody_else_is_probed(counter: Counter, target: PeerId) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        await counter.ask(ProbeRequest(target=peer_id_to_bytes(target)), ProbeReply)
    assert (caught.value.code, caught.value.rule) == ("unknown_peer", "PER-19")
    assert counter.pinged == []


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (b"", "malformed"),
        (b"\xc1", "malformed"),
        (encode_message(Pong(nonce=NONCE, record_sequence=0, unix_ms=0)), "wrong_type"),
        (b"\x81\x00\xcd\xff\xff", "wrong_type"),
        (encode_message(Ping(nonce=NONCE)) + b"\x00", "malformed"),
        (encode_message(RecordRequest(peer=b"x" * 38)), "malformed"),
        (bytes(limits.MESSAGE_BYTES_MAX + 1), "oversized"),
    ],
)
async def test_what_is_no_request_is_refused(counter: Counter, request_bytes: bytes, code: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        await counter.answer(request_bytes)
    assert caught.value.code == code  # PER-17


async def test_flood_of_one_peer_is_refused_and_others_are_served(counter: Counter) -> None:
    ping = encode_message(Ping(nonce=NONCE))
    for _ in range(int(limits.REQUEST_BURST)):
        await counter.answer(ping, peer=MALLORY.peer)
    with pytest.raises(RemoteProtocolError) as caught:
        await counter.answer(ping, peer=MALLORY.peer)
    assert (caught.value.code, caught.value.rule) == ("flood", "PER-18")
    await counter.answer(ping)
    await counter.answer(ping, peer=MALLORY.peer, now=MonotonicS(START + 1))
