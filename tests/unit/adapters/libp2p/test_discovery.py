"""Multicast DNS on loopback, and what strangers put into their answers."""

import hashlib
import threading

import pytest
import trio
from zeroconf import ServiceInfo

from skyops_p2p.adapters.libp2p.discovery import parse_answer, service_type
from skyops_p2p.adapters.libp2p.network import Libp2pNetwork
from skyops_p2p.ports import PeerDiscovered

pytestmark = pytest.mark.net

ALICE = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5"


class NoRules:
    def validate(self, key, value):
        return None

    def select(self, key, values):
        return 0


def make(name, network="local"):
    return Libp2pNetwork(
        seed=hashlib.sha256(name.encode()).digest(),
        network=network,
        listen=["/ip4/127.0.0.1/tcp/0"],
        dht_rules=NoRules(),
        mdns=True,
    )


async def next_discovery(network):
    with trio.fail_after(60.0):
        while True:
            event = await network.events().receive()
            if isinstance(event, PeerDiscovered) and event.source == "mdns":
                return event


async def test_peers_of_one_network_find_each_other_and_others_stay_unseen():
    async with make("eve", network="elsewhere") as eve, make("alice") as alice, make("bob") as bob:
        seen_by_alice, seen_by_bob = await next_discovery(alice), await next_discovery(bob)
        assert (seen_by_alice.peer, seen_by_alice.addrs) == (bob.peer_id, bob.listen_addrs())
        assert (seen_by_bob.peer, seen_by_bob.addrs) == (alice.peer_id, alice.listen_addrs())
        assert eve.events().statistics().current_buffer_used == 0


async def test_stop_leaves_no_threads_of_the_discovery():
    def threads():
        return [thread.name for thread in threading.enumerate() if "zeroconf" in thread.name.lower()]

    async with make("alice") as alice, make("bob"):
        await next_discovery(alice)
        assert threads()
    with trio.fail_after(60.0):
        while threads():  # noqa: ASYNC110 - a foreign thread's end has no trio event
            await trio.sleep(0.01)


def test_service_types_fit_a_label_and_differ_by_network():
    names = [service_type(name) for name in ("skyops", "testnet-4f2a", "x" * 24)]
    assert len(set(names)) == 3
    assert all(len(name.split(".")[0]) <= 16 for name in names)


def answer(properties, port=4711, addresses=("127.0.0.1",)):
    kind = service_type("local")
    return ServiceInfo(kind, f"x.{kind}", port=port, properties=properties, parsed_addresses=list(addresses))


def test_answer_with_a_peer_and_addresses_is_taken():
    found = parse_answer(answer({"p": ALICE}, addresses=("127.0.0.1", "fd00::1")))
    assert found is not None
    assert found.peer == ALICE
    assert set(found.addrs) == {"/ip4/127.0.0.1/tcp/4711", "/ip6/fd00::1/tcp/4711"}


def test_answer_with_many_addresses_is_cut():
    found = parse_answer(answer({"p": ALICE}, addresses=[f"10.0.0.{number}" for number in range(1, 50)]))
    assert found is not None
    assert len(found.addrs) == 8


@pytest.mark.parametrize(
    "info",
    [
        answer({}),
        answer({"p": ""}),
        answer({"p": "not a peer id"}),
        answer({"p": b"\xff\xfe"}),
        answer({"p": ALICE}, port=0),
        answer({"p": ALICE}, addresses=()),
    ],
    ids=["nothing", "empty", "junk", "bytes", "no port", "no address"],
)
def test_malformed_answers_are_no_peers(info):
    assert parse_answer(info) is None
