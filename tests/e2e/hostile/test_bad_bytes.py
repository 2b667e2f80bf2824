"""Malformed bytes on every protocol: the victim stays, the attacker at most loses its stream or connection.

With libp2p as it comes, several of these end the whole node.
"""

import os

import pytest
import trio

from tests.e2e.hostile.conftest import PATIENCE_S

pytestmark = pytest.mark.net

TOPIC = "/skyops/hostile/presence/1"
MESHSUB = "/meshsub/1.1.0"
KAD = "/skyops/hostile/kad/1.0.0"
REQUESTS = "/skyops/hostile/node/1.0.0"
STREAMS = "/skyops/hostile/session/1.0.0"
RESET = "reset"


def prefixed(body: bytes) -> bytes:
    from libp2p.utils.varint import encode_varint_prefixed

    return encode_varint_prefixed(body)


def rpc(**fields) -> bytes:
    from libp2p.pubsub.pb import rpc_pb2

    return prefixed(rpc_pb2.RPC(**fields).SerializeToString())


def message(**fields) -> bytes:
    from libp2p.pubsub.pb import rpc_pb2

    return rpc(publish=[rpc_pb2.Message(topicIDs=fields.pop("topics", [TOPIC]), **fields)])


def control(**fields) -> bytes:
    from libp2p.pubsub.pb import rpc_pb2

    return rpc(control=rpc_pb2.ControlMessage(**fields))


def gossip_probes() -> dict[str, bytes]:
    from libp2p.pubsub.pb import rpc_pb2 as pb

    rsa_like = bytes.fromhex("1220") + os.urandom(32)
    subscriptions = [pb.RPC.SubOpts(subscribe=True, topicid=f"/skyops/hostile/{n}") for n in range(5000)]
    return {
        "garbage protobuf": prefixed(b"\xff" * 40),
        "endless length": b"\xff" * 12,
        "huge length": b"\xff\xff\xff\xff\x0f" + b"x" * 100,
        "no signature": message(data=b"x", from_id=b"\x00", seqno=b"1"),
        "bad key, hashed author": message(
            data=b"x", from_id=rsa_like, seqno=b"1", signature=b"s", key=b"\xff\xff"
        ),
        "unknown key type": message(
            data=b"x", from_id=rsa_like, seqno=b"1", signature=b"s", key=b"\x08\x07\x12\x01a"
        ),
        "empty author": message(data=b"x", from_id=b"", seqno=b"1", signature=b"s", key=b"k"),
        "garbage author": message(
            data=b"x", from_id=b"\x00\x24\x08\x01\x12\x20", seqno=b"1", signature=b"s" * 64
        ),
        "short inline key": message(
            data=b"x", from_id=b"\x00\x04\x08\x01\x12\x00", seqno=b"1", signature=b"s" * 64
        ),
        "no topic": message(topics=[], data=b"x", from_id=rsa_like, seqno=b"1", signature=b"s"),
        "many topics": message(topics=[TOPIC] * 200, data=b"x", from_id=rsa_like, seqno=b"1", signature=b"s"),
        "junk ihave": control(ihave=[pb.ControlIHave(topicID=TOPIC, messageIDs=[b"\xff\xfe", b"zz", b""])]),
        "junk iwant": control(iwant=[pb.ControlIWant(messageIDs=[b"\xff\xfe", b"zz"])]),
        "many ihave": control(
            ihave=[pb.ControlIHave(topicID=TOPIC, messageIDs=[os.urandom(8) for _ in range(9000)])]
        ),
        "graft of a stranger's topic": control(graft=[pb.ControlGraft(topicID="nope")]),
        "prune with junk peers": control(
            prune=[
                pb.ControlPrune(
                    topicID=TOPIC, peers=[pb.PeerInfo(peerID=b"j", signedPeerRecord=b"j")], backoff=2**60
                )
            ]
        ),
        "prune with huge backoff": control(prune=[pb.ControlPrune(topicID=TOPIC, backoff=2**63)]),
        "junk sender record": rpc(senderRecord=b"junk"),
        "many subscriptions": rpc(subscriptions=subscriptions),
        "reset at once": RESET,
    }


def dht_probes() -> dict[str, bytes]:
    from libp2p.kad_dht.pb.kademlia_pb2 import Message

    junk_key, provider, evil, empty = Message(), Message(), Message(), Message()
    junk_key.type = Message.MessageType.PUT_VALUE
    junk_key.key = junk_key.record.key = b"\xff\xfe"
    junk_key.record.value = b"v"
    provider.type = Message.MessageType.ADD_PROVIDER
    provider.key = b"k"
    entry = provider.providerPeers.add()
    entry.id = b"junk"
    entry.addrs.append(b"junk")
    evil.type = Message.MessageType.PUT_VALUE
    evil.key = evil.record.key = b"/skyops/n/00"
    evil.record.value = b"evil"
    empty.type = Message.MessageType.FIND_NODE
    return {
        "garbage protobuf": prefixed(b"\xff" * 40),
        "endless length": b"\xff" * 12,
        "huge length": b"\xff\xff\xff\xff\x0f" + b"x" * 100,
        "put with a junk key": prefixed(junk_key.SerializeToString()),
        "put against the rules": prefixed(evil.SerializeToString()),
        "junk provider": prefixed(provider.SerializeToString()),
        "find nothing": prefixed(empty.SerializeToString()),
        "reset at once": RESET,
    }


OTHER_PROBES = {
    ("/ipfs/id/push/1.0.0", "garbage"): b"\xff" * 40,
    ("/ipfs/id/push/1.0.0", "framed garbage"): b"\x28" + b"\xff" * 40,
    ("/ipfs/ping/1.0.0", "short ping"): b"abc",
    (REQUESTS, "endless length"): b"\xff" * 12,
    (REQUESTS, "overlong length"): b"\x81\x80\x00",
    (REQUESTS, "huge length"): b"\xff\xff\xff\x7f",
    (REQUESTS, "half a frame"): b"\x10abc",
    (REQUESTS, "empty frame"): b"\x00",
    (REQUESTS, "nothing"): b"",
    (REQUESTS, "reset at once"): RESET,
    (STREAMS, "endless length"): b"\xff" * 12,
    (STREAMS, "huge length"): b"\xff\xff\xff\x7f",
    (STREAMS, "half a frame"): b"\x10abc",
    (STREAMS, "reset at once"): RESET,
}


async def send_probe(mallory, protocol, probe, *, within_s=5.0):
    """Write a probe and close; how the victim reacts is its own business."""
    from libp2p.exceptions import BaseLibp2pError

    with trio.move_on_after(within_s):
        try:
            stream = await mallory.open(protocol)
            if probe == RESET:
                await stream.reset()
                return
            await stream.write(probe)
            with trio.move_on_after(0.2):
                await stream.read(4096)
            await stream.close()
        except BaseLibp2pError:
            # The victim cut us off: that is its right.
            return


async def run_probes(victim, mallory_for, probes):
    for protocol, name, probe in probes:
        async with mallory_for(victim) as mallory:
            await send_probe(mallory, protocol, probe)
        assert victim.network.peer_id, name
    await victim.prove_alive()


async def test_victim_survives_every_gossip_probe(victim, mallory_for):
    await run_probes(victim, mallory_for, [(MESHSUB, name, probe) for name, probe in gossip_probes().items()])
    assert victim.network.statistics().gossip_delivered == 0


async def test_victim_survives_every_dht_probe(victim, mallory_for):
    await run_probes(victim, mallory_for, [(KAD, name, probe) for name, probe in dht_probes().items()])
    assert await victim.network.get_record("/skyops/n/00", timeout_s=2.0) is None


async def test_victim_survives_probes_of_its_other_protocols(victim, mallory_for):
    await run_probes(victim, mallory_for, [(key[0], key[1], probe) for key, probe in OTHER_PROBES.items()])


async def test_all_probes_over_one_connection(victim, mallory_for):
    async with mallory_for(victim) as mallory:
        for probe in gossip_probes().values():
            await send_probe(mallory, MESHSUB, probe)
        for probe in dht_probes().values():
            await send_probe(mallory, KAD, probe)
        for (protocol, _), probe in OTHER_PROBES.items():
            await send_probe(mallory, protocol, probe)
    await victim.prove_alive()


async def test_peer_of_malformed_gossip_is_disconnected(victim, mallory_for):
    async with mallory_for(victim) as mallory:
        peer = mallory.host.get_id().to_base58()
        await mallory.connect()
        for _ in range(3):
            await send_probe(mallory, MESHSUB, prefixed(b"\xff" * 40), within_s=PATIENCE_S)
        with trio.fail_after(PATIENCE_S):
            while peer in victim.network.connected_peers():  # noqa: ASYNC110 - the set has no event
                await trio.sleep(0.01)
    assert victim.network.statistics().contained_errors >= 3
    await victim.prove_alive()


async def test_stock_dht_protocol_is_not_served(victim, mallory_for):
    from libp2p.host.exceptions import StreamFailure

    async with mallory_for(victim) as mallory:
        with pytest.raises(StreamFailure):
            await mallory.open("/ipfs/kad/1.0.0")
