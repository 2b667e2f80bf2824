"""Lies in identify, peers invented in DHT answers, and random frames to the muxer."""

import random
import struct

import pytest
import trio

from skyops_p2p import limits
from tests.e2e.hostile.conftest import PATIENCE_S

pytestmark = pytest.mark.net

IDENTIFY = "/ipfs/id/1.0.0"


def identify(**fields) -> bytes:
    from libp2p.identity.identify.pb.identify_pb2 import Identify
    from libp2p.utils.varint import encode_varint_prefixed

    return encode_varint_prefixed(Identify(**fields).SerializeToString())


def some_addrs(count):
    from multiaddr import Multiaddr

    return [
        Multiaddr(f"/ip4/10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}/tcp/1").to_bytes() for n in range(count)
    ]


@pytest.mark.parametrize(
    "answer",
    [
        lambda: b"",
        lambda: b"\xff" * 40,
        lambda: b"\xff\xff\xff\xff\x0f",
        identify,
        lambda: identify(protocols=["/ipfs/ping/1.0.0"]),
        lambda: identify(listen_addrs=[b"junk", b"\xff" * 100]),
        lambda: identify(listen_addrs=some_addrs(5_000)),
        lambda: identify(protocols=[f"/p/{n}" for n in range(5_000)]),
        lambda: identify(public_key=b"junk", signedPeerRecord=b"junk", observed_addr=b"junk"),
    ],
    ids=[
        "nothing",
        "ones",
        "endless",
        "empty",
        "no address",
        "junk address",
        "many addresses",
        "many protocols",
        "junk",
    ],
)
async def test_lies_in_identify_are_bounded_and_contained(victim, mallory_for, answer):
    asked = trio.Event()

    async def lie(stream):
        asked.set()
        await stream.write(answer())
        await stream.close()

    async with mallory_for(victim) as mallory:
        mallory.host.set_stream_handler(IDENTIFY, lie)
        await mallory.connect()
        with trio.fail_after(PATIENCE_S):
            await asked.wait()
        await victim.prove_alive()
        store = victim.network._host.get_peerstore()
        known = store.peer_data_map.get(mallory.host.get_id())
        assert known is None or len(known.addrs) <= limits.ADDRS_PER_PEER_MAX
        assert known is None or len(known.get_protocols()) <= 64


async def test_invented_peers_do_not_cost_our_own_key(victim, monkeypatch):
    from libp2p.crypto.ed25519 import create_new_key_pair
    from libp2p.peer.id import ID
    from multiaddr import Multiaddr

    host = victim.network._host
    store = host.get_peerstore()
    monkeypatch.setattr(store, "max_peers", 50)
    for number in range(200):
        invented = ID.from_pubkey(create_new_key_pair(number.to_bytes(32, "big")).public_key)
        store.add_addrs(invented, [Multiaddr("/ip4/10.0.0.1/tcp/1")], 600)
    assert len(store.peer_ids()) <= 50
    assert host.get_private_key() is not None
    await victim.prove_alive()


@pytest.mark.parametrize("seed", range(6))
async def test_random_muxer_frames_end_at_most_their_connection(victim, mallory_for, seed):
    from libp2p.io.exceptions import IOException
    from libp2p.network.connection.exceptions import RawConnError

    dice = random.Random(seed)
    async with mallory_for(victim) as mallory:
        peer = await mallory.connect()
        muxer = mallory.host.get_network().get_connections(peer)[0].muxed_conn
        with trio.move_on_after(10.0):
            try:
                for _ in range(200):
                    body = dice.randbytes(dice.choice([0, 0, 1, 12, 500]))
                    length = (
                        dice.choice([len(body), 0, 1, 2**31, 2**32 - 1]) if dice.random() < 0.3 else len(body)
                    )
                    kind, flags = dice.choice([0, 1, 2, 3, 7]), dice.choice([0, 1, 2, 4, 8, 3, 5, 15])
                    number = dice.choice([0, 1, 2, 3, 5, 2**32 - 1])
                    await muxer.secured_conn.write(
                        struct.pack("!BBHII", dice.choice([0, 0, 9]), kind, flags, number, length)
                    )
                    if body:
                        await muxer.secured_conn.write(body)
            except (IOException, RawConnError):
                # Cut off, as it may be.
                assert victim.network.peer_id
    await victim.prove_alive()


async def test_frames_that_noise_cannot_decrypt_end_their_connection(victim, mallory_for):
    async with mallory_for(victim) as mallory:
        peer = await mallory.connect()
        (stream,) = victim.network._meter.sockets.values()
        assert stream is not None
        muxer = mallory.host.get_network().get_connections(peer)[0].muxed_conn
        raw = muxer.secured_conn.conn.read_writer.read_write_closer
        await raw.write(b"\x00\x20" + bytes(32))
        with trio.fail_after(PATIENCE_S):
            while victim.network.connected_peers():  # noqa: ASYNC110 - the set has no event
                await trio.sleep(0.01)
    await victim.prove_alive()
