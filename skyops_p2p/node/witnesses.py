"""Ask others whether they reach a peer, and choose who keeps copies: what one node alone should not decide."""

from collections.abc import Collection

import trio

from skyops_p2p import limits
from skyops_p2p.core.node_core import NodeCore
from skyops_p2p.core.presence import NodeState
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.questions import Questions
from skyops_p2p.ports import Network
from skyops_p2p.types import PeerId
from skyops_p2p.wire.messages.execution import HolderPart

WITNESSES = 3
"""Peers that are asked at once, as for a suspect of the map (SWIM's k)."""
KEEPERS = 2
"""Peers that keep copies of a job's checkpoints."""


class Witnesses:
    """Asks the neighbours of one node.

    Args:
        core: Its map.
        network: Its connections.
    """

    def __init__(self, core: NodeCore, network: Network) -> None:
        self._core = core
        self._network = network
        self._questions = Questions(network, core.rules)

    async def reach(self, target: PeerId) -> bool | None:
        """Return whether others reach a peer: True if one does, False if all that answered do not.

        None: nobody could say. Where no other node is known at all there is nobody to wait for, and a peer that this
        node does not reach either counts as gone.

        Rules: EXE-7.
        """
        others = [peer for peer in self._network.connected_peers() if peer != target]
        if not others:
            return False if self._is_alone_with(target) else None
        answers: list[bool] = []
        order = sorted(others, key=lambda peer: sha256(f"{target}{peer}".encode()))
        async with trio.open_nursery() as nursery:
            for witness in order[:WITNESSES]:
                nursery.start_soon(self._ask, witness, target, answers)
        if not answers:
            return None
        return any(answers)

    def _is_alone_with(self, target: PeerId) -> bool:
        """Whether nobody else was ever heard of; a node that has just started knows at least whom to join."""
        known = {entry.peer for entry in self._core.nodes} | {link.peer for link in self._core.book.links()}
        return known <= {self._core.peer_id, target} and target not in self._network.connected_peers()

    async def _ask(self, witness: PeerId, target: PeerId, answers: list[bool]) -> None:
        timeout_s = 1.4 * self._core.settings.times.probe_timeout_s
        try:
            answers.append(await self._questions.probe(witness, target, timeout_s=timeout_s))
        except SkyopsError:
            return  # a witness that does not answer says nothing

    def keepers(self, worker: PeerId) -> tuple[HolderPart, ...]:
        """Choose who keeps copies of what a worker computes: KEEPERS active nodes, others for each worker."""
        return tuple(self._ranked(worker, (NodeState.ACTIVE,))[:KEEPERS])

    def likely_keepers(self, worker: PeerId) -> tuple[HolderPart, ...]:
        """Return who may have such copies: the map may have been another when they were chosen."""
        states = [state for state in NodeState if state is not NodeState.SLASHED]
        return tuple(self._ranked(worker, states)[: limits.HOLDERS_MAX])

    def _ranked(self, worker: PeerId, states: Collection[NodeState]) -> list[HolderPart]:
        own = self._core.peer_id
        candidates = [
            entry
            for entry in self._core.nodes
            if entry.peer not in (own, worker) and entry.record is not None and entry.presence.state in states
        ]
        candidates.sort(key=lambda entry: sha256(f"{worker}{entry.peer}".encode()))
        return [
            HolderPart(
                peer=peer_id_to_bytes(entry.peer),
                addrs=entry.record.addrs[: limits.ADDRS_PER_PEER_MAX] if entry.record else (),
            )
            for entry in candidates
        ]
