"""Find the peer that a person means: by its whole id, or by a unique beginning or end of one on the map."""

from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import LocalProtocolError, NetworkError, RemoteProtocolError
from skyops_p2p.types import PeerId


def find_peer(core: NodeCore, text: str) -> PeerId:
    """Return the peer that a whole id, a unique beginning or end of one on the map, or "self" names.

    Raises:
        NetworkError: `unknown_peer` or `ambiguous_peer`.
    """
    if text == "self":
        return core.peer_id
    if core.nodes.get(PeerId(text)) is not None:
        return PeerId(text)
    peers = [
        entry.peer
        for entry in core.nodes
        if text and (entry.peer.startswith(text) or entry.peer.endswith(text))
    ]
    if len(peers) > 1:
        raise NetworkError(
            f"{text!r} names {len(peers)} nodes",
            code="ambiguous_peer",
            hint="Give more characters; the last eight are usually enough.",
        )
    return peers[0] if peers else _whole_peer_id(text)


def _whole_peer_id(text: str) -> PeerId:
    """Return a whole peer id that is not on the map: the DHT may know it.

    Raises:
        NetworkError: `unknown_peer`: it is not even a peer id.
    """
    try:
        peer_id_to_bytes(PeerId(text))
    except (RemoteProtocolError, LocalProtocolError) as error:
        raise unknown_peer(text) from error
    return PeerId(text)


def unknown_peer(text: str) -> NetworkError:
    """Return the error for a name that fits no node of the map."""
    return NetworkError(
        f"no node on the map is called {text!r}",
        code="unknown_peer",
        hint="`skyops map` lists the nodes that are known.",
    )
