"""What the node needs from the world, as small Protocols; one module for each part of the world.

An adapter implements one of them over a foreign thing; the simulator implements the same ones in memory, and
both pass the same suite under tests/ports. All foreign exceptions are mapped to the tree of errors.py inside
the adapter. Every awaiting call has a deadline, either its own argument or the one named in limits.
"""

from skyops_p2p.ports.ambient import Entropy, WallClock
from skyops_p2p.ports.chain import Chain, Follower, Sender, Signer, StakeCheck
from skyops_p2p.ports.hardware import Benchmark, Gpu, Hardware, HardwareProbe, Runtime
from skyops_p2p.ports.money import Money
from skyops_p2p.ports.network import (
    DhtRules,
    FrameStream,
    GossipReceived,
    Network,
    NetworkEvent,
    NetworkStatistics,
    PeerAddrs,
    PeerConnected,
    PeerDisconnected,
    PeerDiscovered,
    RequestServer,
    StreamServer,
    Validator,
    Verdict,
)
from skyops_p2p.ports.prover import Prover, ProverSpeed
from skyops_p2p.ports.sandbox import (
    ExitKind,
    Limit,
    Mount,
    OutputChunk,
    Progress,
    RunningSandbox,
    Sandbox,
    SandboxExit,
    SandboxLimits,
    SandboxSpec,
    Usage,
    Workspace,
)
from skyops_p2p.ports.store import JournalEntry, OpenStore, Store, StoredNode

__all__ = [
    "Benchmark",
    "Chain",
    "DhtRules",
    "Entropy",
    "ExitKind",
    "Follower",
    "FrameStream",
    "GossipReceived",
    "Gpu",
    "Hardware",
    "HardwareProbe",
    "JournalEntry",
    "Limit",
    "Money",
    "Mount",
    "Network",
    "NetworkEvent",
    "NetworkStatistics",
    "OpenStore",
    "OutputChunk",
    "PeerAddrs",
    "PeerConnected",
    "PeerDisconnected",
    "PeerDiscovered",
    "Progress",
    "Prover",
    "ProverSpeed",
    "RequestServer",
    "RunningSandbox",
    "Runtime",
    "Sandbox",
    "SandboxExit",
    "SandboxLimits",
    "SandboxSpec",
    "Sender",
    "Signer",
    "StakeCheck",
    "Store",
    "StoredNode",
    "StreamServer",
    "Usage",
    "Validator",
    "Verdict",
    "WallClock",
    "Workspace",
]
