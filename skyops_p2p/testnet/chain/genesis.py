"""The first block of an embedded chain: its rules, and the development accounts, which are rich."""

from typing import Any

from eth import constants
from eth_typing import Address

from skyops_p2p.crypto.wallet import Wallet, address_to_bytes
from skyops_p2p.testnet.chain.development import DEVELOPMENT_BALANCE_WEI, DEVELOPMENT_SECRETS

GAS_LIMIT = 60_000_000
"""Gas of a block."""
BASE_FEE_FIRST_WEI = 10**9


def genesis(timestamp_unix_s: int) -> dict[str, Any]:
    """Return the fields of the first block."""
    return {
        "coinbase": constants.ZERO_ADDRESS,
        "difficulty": 0,
        "extra_data": b"skyops",
        "gas_limit": GAS_LIMIT,
        "mix_hash": constants.ZERO_HASH32,
        "nonce": bytes(8),
        "receipt_root": constants.BLANK_ROOT_HASH,
        "timestamp": timestamp_unix_s,
        "transaction_root": constants.BLANK_ROOT_HASH,
        "base_fee_per_gas": BASE_FEE_FIRST_WEI,
    }


def first_accounts() -> dict[Address, Any]:
    """Return the state after it."""
    accounts = (address_to_bytes(Wallet(secret).address) for secret in DEVELOPMENT_SECRETS)
    return {
        Address(account): {"balance": DEVELOPMENT_BALANCE_WEI, "nonce": 0, "code": b"", "storage": {}}
        for account in accounts
    }
