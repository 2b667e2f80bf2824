"""A js-libp2p node joins a network of ours: it is on the map, and the DHT and the requests work with it.

Its messages are made by an implementation of protocol/00 to 03 in JavaScript that shares nothing with ours, so
this is also the proof that the specification says enough.
"""

import pytest

from skyops_p2p.adapters.system import SystemClock
from skyops_p2p.core.records import check_record
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.crypto.wallet import checksum
from skyops_p2p.node.runtime import Node
from skyops_p2p.types import Multiaddr, NetworkName, PeerId
from skyops_p2p.wire.messages.peering import Ping, Pong, RecordReply, RecordRequest
from skyops_p2p.wire.model import decode_message, encode_message
from tests.interop.conftest import CONVERGE_TIMEOUT_S, NETWORK, Pair
from tests.interop.line_peer import LinePeer

pytestmark = [pytest.mark.interop, pytest.mark.net]

RULES = NetworkRules(NetworkName(NETWORK), 31337, is_testnet=True)
DHT_PROTOCOL = f"/skyops/{NETWORK}/kad/1.0.0"
STATUS_OK, STATUS_REFUSED = b"\x00", b"\x01"


def state_of(node: Node, peer: str) -> str:
    return next((view.state for view in node.map() if view.peer_id == peer), "unknown")


async def test_js_connects_over_tcp_noise_and_yamux_and_is_told_our_protocols(
    pair: Pair, foreigner: LinePeer
) -> None:
    connection = await foreigner.call("dial", addr=pair.alice.status().listen[0])
    assert connection["peer"] == pair.alice.peer_id
    assert (connection["encryption"], connection["muxer"]) == ("/noise", "/yamux/1.0.0")
    expected = {RULES.protocol_id("node"), RULES.protocol_id("handshake"), DHT_PROTOCOL, "/meshsub/1.1.0"}
    await foreigner.poll(
        "known", lambda answer: expected <= set(answer["protocols"]), peer=pair.alice.peer_id
    )
    assert (await foreigner.call("libp2pPing", peer=pair.alice.peer_id))["ms"] >= 0


async def test_our_nodes_dial_a_js_node(pair: Pair, foreigner: LinePeer) -> None:
    assert await pair.alice.join(Multiaddr(foreigner.addrs[0])) == foreigner.peer_id


async def test_js_verifies_our_records_and_heartbeats_from_gossip(pair: Pair, joined: LinePeer) -> None:
    for node in pair.both():
        beat = await joined.wait_event(
            lambda event, node=node: (
                event["event"] == "gossip"  # type: ignore[misc] # bound for the loop
                and event["from"] == node.peer_id
                and event["kind"] == "presence"
            )
        )
        assert beat["isOwn"]
    assert [event for event in joined.events if event.get("kind") == "bad"] == []


async def test_js_node_becomes_active_on_our_maps_and_inactive_when_it_says_goodbye(
    pair: Pair, joined: LinePeer
) -> None:
    await joined.call("announce")
    await joined.call("beat", intervalMs=60_000)
    for node in pair.both():
        await node.wait_for(lambda n: state_of(n, joined.peer_id) == "active", timeout_s=CONVERGE_TIMEOUT_S)
        view = node.node(joined.peer_id)
        assert (view.agent, view.region, view.runtimes) == ("skyops-js/0", "js", ("wasm",))
        assert view.wallet == checksum(joined.wallet)
    assert await pair.bob.ping(PeerId(joined.peer_id)) > 0.0

    await joined.call("beat", intervalMs=60_000, isLeaving=True)
    for node in pair.both():
        await node.wait_for(lambda n: state_of(n, joined.peer_id) == "inactive", timeout_s=CONVERGE_TIMEOUT_S)


async def test_js_sends_requests_on_one_long_lived_stream(pair: Pair, joined: LinePeer) -> None:
    ask_record = RecordRequest(peer=peer_id_to_bytes(pair.bob.peer_id))
    frames = [encode_message(message).hex() for message in (Ping(nonce=b"12345678"), ask_record)]
    answers = (await joined.call("request", peer=pair.alice.peer_id, frames=frames))["answers"]
    pong, record = (bytes.fromhex(answer) for answer in answers)
    assert pong[:1] == record[:1] == STATUS_OK
    assert decode_message(Pong, pong[1:]).nonce == b"12345678"
    assert decode_message(RecordReply, record[1:]).record is not None


async def test_js_request_that_is_no_message_is_refused_with_a_code(pair: Pair, joined: LinePeer) -> None:
    answers = (await joined.call("request", peer=pair.alice.peer_id, frames=["c1"]))["answers"]
    assert bytes.fromhex(answers[0]) == STATUS_REFUSED + b"malformed"
    assert await pair.alice.ping(pair.bob.peer_id) > 0.0


async def test_js_finds_our_record_by_its_key_and_our_nodes_by_capability(
    pair: Pair, joined: LinePeer
) -> None:
    key = RULES.record_key(pair.alice.peer_id)
    assert (await joined.call("recordKey", peer=pair.alice.peer_id))["key"] == key
    # Alice puts her record some seconds after her start. Who holds it is the DHT's affair; js itself may.
    values = (await joined.poll("dhtGet", lambda answer: bool(answer["values"]), key=key))["values"]
    held = [bytes.fromhex(value) for _holder, value in values]
    assert {check_record(value, RULES, now=SystemClock().now_ms()).peer for value in held} == {
        pair.alice.peer_id
    }

    expected = {str(node.peer_id) for node in pair.both()}
    await joined.poll("dhtProviders", lambda answer: expected <= set(answer["found"]), key="gpu:a100")


async def test_record_that_js_puts_is_stored_if_it_is_its_own_and_refused_if_not(
    pair: Pair, joined: LinePeer
) -> None:
    ours = {str(node.peer_id) for node in pair.both()}
    record = (await joined.call("announce"))["record"]
    own_key = RULES.record_key(PeerId(joined.peer_id))
    await joined.poll("table", lambda answer: answer["size"] >= len(ours))
    assert set((await joined.call("dhtPut", key=own_key, value=record))["taken"]) == ours

    alices_key = RULES.record_key(pair.alice.peer_id)
    for key, value in ((alices_key, record), (own_key, b"not a record".hex()), ("/skyops/x/1", record)):
        assert (await joined.call("dhtPut", key=key, value=value))["taken"] == []
    assert await pair.alice.ping(pair.bob.peer_id) > 0.0
