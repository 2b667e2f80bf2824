"""A js-libp2p node that sends nonsense, over an implementation of libp2p that is not ours."""

import pytest

from skyops_p2p.node.runtime import Node
from tests.interop.conftest import CONVERGE_TIMEOUT_S, NETWORK, Pair
from tests.interop.line_peer import ForeignPeerError, LinePeer

pytestmark = [pytest.mark.interop, pytest.mark.net]

GARBAGE = {
    "nothing": b"",
    "zeros": bytes(64),
    "endless length": b"\xff" * 64,
    "large frame": b"\xff\xff\xff\x7f" + b"x" * 1000,
    "short frame": b"\x05ab",
    "html": b"\x20GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
}
PROTOCOLS = (
    f"/skyops/{NETWORK}/node/1.0.0",
    f"/skyops/{NETWORK}/handshake/1.0.0",
    f"/skyops/{NETWORK}/session/1.0.0",
    f"/skyops/{NETWORK}/kad/1.0.0",
    "/meshsub/1.1.0",
    "/ipfs/id/1.0.0",
    "/ipfs/id/push/1.0.0",
    "/ipfs/ping/1.0.0",
    "/skyops/another-network/node/1.0.0",
)


REJECTED = 'skyops_gossip_messages_total{outcome="rejected"} '


def rejected(node: Node) -> float:
    [line] = [line for line in node.metrics().splitlines() if line.startswith(REJECTED)]
    return float(line.removeprefix(REJECTED))


async def test_garbage_gossip_is_rejected_and_not_forwarded(pair: Pair, joined: LinePeer) -> None:
    published = await joined.call("publish", data=b"not an envelope".hex())
    assert set(published["recipients"]) <= {str(node.peer_id) for node in pair.both()}
    assert published["recipients"]
    for peer in published["recipients"]:
        node = next(node for node in pair.both() if node.peer_id == peer)
        await node.wait_for(lambda n: rejected(n) >= 1, timeout_s=CONVERGE_TIMEOUT_S)
    assert await pair.alice.ping(pair.bob.peer_id) > 0.0


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_node_survives_garbage_on_a_protocol(pair: Pair, foreigner: LinePeer, protocol: str) -> None:
    outcomes = []
    for garbage in GARBAGE.values():
        # A node may have thrown the foreigner out for the last one: it comes again.
        try:
            await foreigner.call("dial", addr=pair.alice.status().listen[0])
            await foreigner.call("throwAt", peer=pair.alice.peer_id, protocol=protocol, data=garbage.hex())
            outcomes.append("thrown")
        except ForeignPeerError as error:
            outcomes.append(str(error))
    is_spoken = "another-network" not in protocol and "/session/" not in protocol
    assert ("thrown" in outcomes) == is_spoken, outcomes
    assert await pair.bob.ping(pair.alice.peer_id) > 0.0
    assert (await pair.bob.open_session(pair.alice.peer_id)).wallet == pair.alice.wallet
