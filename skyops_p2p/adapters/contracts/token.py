"""The contract SkyopsToken: balances, approvals and permits. Its reads serve any ERC-20."""

from skyops_p2p.adapters.contracts.calling import Contract
from skyops_p2p.core.chain.facts import Order
from skyops_p2p.crypto.typed_data import permit_digest, permit_document
from skyops_p2p.crypto.wallet import Wallet, address_from_bytes, address_to_bytes
from skyops_p2p.types import Wei


class Token(Contract):
    """Orders for it, and what it says."""

    def transfer(self, to: bytes, amount: Wei) -> Order:
        """Send tokens."""
        return self.order("transfer(address,uint256)", to, amount)

    def approve(self, spender: bytes, amount: Wei) -> Order:
        """Let an account take up to so much; replaces what was allowed before."""
        return self.order("approve(address,uint256)", spender, amount)

    def faucet(self) -> Order:
        """Ask for tokens, where a test network gives them."""
        return self.order("faucet()")

    async def balance(self, owner: bytes) -> Wei:
        """Return what an account holds."""
        return Wei(await self.number("balanceOf(address)", owner))

    async def allowance(self, owner: bytes, spender: bytes) -> Wei:
        """Return what an account may take of another's."""
        return Wei(await self.number("allowance(address,address)", owner, spender))

    async def supply(self) -> Wei:
        """Return how much there is in all."""
        return Wei(await self.number("totalSupply()"))

    async def sign_permit(
        self, wallet: Wallet, spender: bytes, amount: Wei, *, chain_id: int, deadline_unix_s: int
    ) -> bytes:
        """Sign a permit (EIP-2612), good once.

        Args:
            wallet: The owner's.
            spender: Who may take the tokens.
            amount: Wei.
            chain_id: Of the chain.
            deadline_unix_s: Until when, by the chain's clock.

        Returns:
            r, s and v.
        """
        owner = address_to_bytes(wallet.address)
        digest, _ = await self.permit(
            owner, spender, amount, chain_id=chain_id, deadline_unix_s=deadline_unix_s
        )
        return wallet.sign_digest(digest)

    async def permit(
        self, owner: bytes, spender: bytes, amount: Wei, *, chain_id: int, deadline_unix_s: int
    ) -> tuple[bytes, dict[str, object]]:
        """Return what a permit's owner signs, as `sign_permit` takes it: the digest, and the document that has it.

        Args:
            owner: Whose tokens they are, 20 bytes.
            spender: Who may take them.
            amount: Wei.
            chain_id: Of the chain.
            deadline_unix_s: Until when, by the chain's clock.
        """
        nonce = await self.number("nonces(address)", owner)
        digest = permit_digest(
            chain_id=chain_id,
            contract=self.account,
            owner=owner,
            spender=spender,
            amount=amount,
            nonce=nonce,
            deadline_unix_s=deadline_unix_s,
        )
        message = {
            "owner": address_from_bytes(owner),
            "spender": address_from_bytes(spender),
            "value": str(amount),
            "nonce": str(nonce),
            "deadline": str(deadline_unix_s),
        }
        return digest, permit_document(message, chain_id=chain_id, contract=self.address)
