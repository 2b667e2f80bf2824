"""From whom replicas are drawn: the workers of the map that could take the job, with their weight, by wallet.

Spec: protocol/06-verification.md, "Draw".
"""

from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.verification.draw import candidates_of, weight_of
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.crypto.wallet import address_to_bytes
from skyops_p2p.node.candidates import screen_map
from skyops_p2p.node.standing import StandingSource
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages.verification import CandidatePart

_CREDIT_MICRO = 1_000_000


class DrawPool:
    """The workers that this node knows.

    Args:
        core: Read for the map.
        standing: How they stand.
    """

    def __init__(self, core: NodeCore, standing: StandingSource) -> None:
        self._core = core
        self._standing = standing

    def candidates(self, spec: JobSpec) -> tuple[CandidatePart, ...]:
        """Return those who can be drawn for a job. Rules: VER-10."""
        own = self._core.peer_id
        bidders, _ = screen_map(spec, self._core.nodes, own=own, standing=self._standing, lot=bytes(16))
        return candidates_of(
            CandidatePart(
                peer=peer_id_to_bytes(one.peer),
                wallet=address_to_bytes(one.record.binding.wallet),
                weight=weight_of(one.stake_weight * _CREDIT_MICRO, one.reputation),
            )
            for one in bidders
            if one.record is not None
        )

    def binding(self, peer: PeerId) -> bytes | None:
        """Return a node's enveloped Binding; None: no record of it is known."""
        entry = self._core.nodes.get(peer)
        return None if entry is None or entry.verified is None else entry.verified.record.binding

    def wallet(self, peer: PeerId) -> bytes | None:
        """Return whose node it is, 20 bytes; None: nobody knows."""
        entry = self._core.nodes.get(peer)
        return None if entry is None or entry.wallet is None else address_to_bytes(entry.wallet)

    def kin(self, peer: PeerId) -> tuple[PeerId, ...]:
        """Return the nodes of a node's wallet, itself first: none of them may compute the same once more."""
        wallet = self.wallet(peer)
        nodes = (entry.peer for entry in self._core.nodes if entry.peer != peer)
        return (peer, *(one for one in nodes if wallet is not None and self.wallet(one) == wallet))
