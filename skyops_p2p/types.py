"""Identifiers, money and the two clocks. Pure names: no behaviour, no I/O.

A monotonic instant drives this node's own timers; a Unix instant is what goes on the wire. They are
different types so that mypy refuses to mix them.
"""

from typing import NewType

PeerId = NewType("PeerId", str)
"""A libp2p peer id as base58btc text: for Ed25519 the identity multihash of the public key ("12D3KooW…")."""

WalletAddress = NewType("WalletAddress", str)
"""An EVM account with its EIP-55 checksum ("0xAb58…"). On the wire: the 20 raw bytes."""

Multiaddr = NewType("Multiaddr", str)
"""A libp2p address as text, e.g. "/ip4/127.0.0.1/tcp/4001"; with "/p2p/<peer id>" where that is said."""

NetworkName = NewType("NetworkName", str)
"""Which market this is ("skyops", "testnet-4f2a"): part of every protocol id, topic, DHT key and signature."""

MonotonicS = NewType("MonotonicS", float)
"""Seconds on this process's monotonic clock (trio.current_time). Never leaves the process."""

UnixMs = NewType("UnixMs", int)
"""Milliseconds since 1970-01-01 UTC. The only kind of time that goes on the wire."""

MicroCredits = NewType("MicroCredits", int)
"""A price in millionths of one credit (1e-6 SKYOPS)."""

Wei = NewType("Wei", int)
"""An amount of a token in its smallest unit; 32 bytes big-endian on the wire (msgpack ends at 2^64-1)."""

SessionId = NewType("SessionId", bytes)
"""16 bytes derived from the handshake transcript; the same on both ends."""

Sequence = NewType("Sequence", int)
"""A counter that one signer only ever raises, 0 to 2^63-1."""
