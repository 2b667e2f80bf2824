"""The chain over JSON-RPC on HTTP: the node's one way to an EVM chain, embedded, anvil or public.

`endpoint` asks one server, `pool` several, `parsing` reads answers strictly, `client` is the port Chain, `signing` and
`journal` serve `sender`, `follower` hands out events, `abi` encodes calls. Foreign exceptions end here. docs/chain.md.
"""

from skyops_p2p.adapters.chain.client import JsonRpcChain, open_chain
from skyops_p2p.adapters.chain.follower import LogFollower
from skyops_p2p.adapters.chain.remote_signer import open_remote_signer
from skyops_p2p.adapters.chain.sender import JournalledSender, open_sender
from skyops_p2p.adapters.chain.signing import KeySigner

__all__ = [
    "JournalledSender",
    "JsonRpcChain",
    "KeySigner",
    "LogFollower",
    "open_chain",
    "open_remote_signer",
    "open_sender",
]
