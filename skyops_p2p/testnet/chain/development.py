"""What everybody knows of a test chain: the keys of its rich accounts, and where contracts will be."""

from skyops_p2p.crypto.hashing import keccak256
from skyops_p2p.crypto.wallet import Wallet, address_to_bytes

DEVELOPMENT_SECRETS = (
    bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"),
    bytes.fromhex("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"),
    bytes.fromhex("5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"),
)
"""Keys that everybody knows, those that anvil and Hardhat fund too: for test networks only."""
DEVELOPMENT_BALANCE_WEI = 10**24
"""Of each of them, on the embedded chain."""
_DIRECTORY_NONCE = 2
"""The Directory is the third contract of a deployment; a test compares."""


def governor() -> Wallet:
    """Return the account that deploys the contracts of test networks, and governs them."""
    return Wallet(DEVELOPMENT_SECRETS[0])


def directory_account() -> bytes:
    """Return where the Directory of a test network will be: it is the first that its chain sees."""
    return created_account(address_to_bytes(governor().address), _DIRECTORY_NONCE)


def created_account(creator: bytes, nonce: int) -> bytes:
    """Return the account of the contract that an account creates with a nonce.

    Source: the yellow paper, section 7: the last 20 bytes of the hash of RLP(creator, nonce).

    Args:
        creator: 20 bytes.
        nonce: Of the transaction, below 2^64.
    """
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    if len(number) != 1 or nonce >= 0x80:
        number = bytes([0x80 + len(number)]) + number
    items = b"\x94" + creator + number
    return keccak256(bytes([0xC0 + len(items)]) + items)[12:]
