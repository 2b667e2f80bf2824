"""The contract NodeRegistry: nodes and their stake."""

from collections.abc import Sequence

from skyops_p2p.adapters.contracts.calling import Contract, facts
from skyops_p2p.core.chain.facts import Order
from skyops_p2p.core.settlement.contract_facts import NodeStake, StakeState
from skyops_p2p.types import Wei

_NODE = ("(uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,bytes32)",)


class NodeRegistry(Contract):
    """Orders for it, and what it says."""

    def register(self, binding: bytes, metadata_uri: str, amount: Wei) -> Order:
        """Register the sender's node; what it takes of SKYOPS must be approved before.

        Args:
            binding: Digest of the node's Binding, 32 bytes.
            metadata_uri: At most 256 bytes; may be empty.
            amount: The stake, and the registration burn where there is one.
        """
        return self.order("register(bytes32,string,uint256)", binding, metadata_uri, amount)

    def update(self, binding: bytes, metadata_uri: str) -> Order:
        """Change the binding or the metadata."""
        return self.order("update(bytes32,string)", binding, metadata_uri)

    def add_stake(self, amount: Wei) -> Order:
        """Add to the stake; approved before."""
        return self.order("add_stake(uint256)", amount)

    def unstake(self, amount: Wei) -> Order:
        """Take a part of the stake out of the count."""
        return self.order("unstake(uint256)", amount)

    def withdraw_stake(self, to: bytes) -> Order:
        """Pay out what has been unbonding long enough."""
        return self.order("withdraw_stake(address)", to)

    def mark(self, owners: Sequence[bytes]) -> Order:
        """Say that up to 64 nodes are alive."""
        return self.order("mark(address[])", list(owners))

    def mark_missing(self, owner: bytes) -> Order:
        """Make a node INACTIVE that nobody has marked for long."""
        return self.order("mark_missing(address)", owner)

    async def node(self, owner: bytes) -> NodeStake:
        """Return what it has of a wallet; the state is UNKNOWN for a stranger."""
        ((state, *rest),) = await self.ask("nodes(address)", _NODE, owner)
        return facts(NodeStake, [StakeState(state), *rest])

    async def metadata_uri(self, owner: bytes) -> str:
        """Return what a node says of itself."""
        (found,) = await self.ask("metadata_uris(address)", ["string"], owner)
        return str(found)

    async def is_slasher(self, account: bytes) -> bool:
        """Return whether a contract locks and slashes stakes."""
        (found,) = await self.ask("is_slasher(address)", ["bool"], account)
        return bool(found)

    async def is_active(self, owner: bytes) -> bool:
        """Return whether a node is ACTIVE."""
        (found,) = await self.ask("is_active(address)", ["bool"], owner)
        return bool(found)
