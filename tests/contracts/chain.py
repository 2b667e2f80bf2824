"""Contracts on a chain in memory, people with keys, and signatures written apart from the contracts' own code.

The EIP-712 digests here are made by eth-account from the published types, so that a wrong type in a contract shows.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boa
from boa.contracts.vyper.vyper_contract import VyperContract, VyperDeployer
from eth_account import Account
from eth_account.messages import encode_typed_data

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "contracts" / "src"
TEST_SOURCES = Path(__file__).parent / "sources"
ETH = "0x" + "00" * 20
UNIT = 10**18
HOUR = 3600
DAY = 86_400


_CACHE = TemporaryDirectory(prefix="skyops-contracts-")
boa.interpret.set_cache_dir(_CACHE.name)  # processes share no files, and nothing is left behind


def _plain_repr(contract: VyperContract) -> str:
    return f"<{contract.contract_name} at {contract.address}>"


# titanoboa prints a contract's whole storage at every revert; for nested maps that fails, and it takes long.
VyperContract.__repr__ = _plain_repr


@dataclass(frozen=True)
class Person:
    """An account whose key the test holds."""

    name: str
    secret: bytes
    address: str

    def sign(self, domain: Mapping[str, Any], fields: Sequence[tuple[str, str]], **message: Any) -> Any:
        """Sign an EIP-712 message whose type is named `_type`; return eth-account's signature."""
        name = message.pop("_type")
        types = {name: [{"type": kind, "name": field} for field, kind in fields]}
        signable = encode_typed_data(domain_data=dict(domain), message_types=types, message_data=message)
        return Account.sign_message(signable, self.secret)

    def sign_compact(
        self, domain: Mapping[str, Any], fields: Sequence[tuple[str, str]], **message: Any
    ) -> tuple[bytes, bytes]:
        """Return (r, vs) as in EIP-2098."""
        signed = self.sign(domain, fields, **message)
        top = (signed.v - 27) << 255
        return signed.r.to_bytes(32, "big"), (signed.s | top).to_bytes(32, "big")


@cache
def person(name: str) -> Person:
    """Return the person of that name, always with the same key."""
    secret = hashlib.sha256(f"contracts {name}".encode()).digest()
    return Person(name, secret, Account.from_key(secret).address)


def domain_of(name: str, contract: VyperContract) -> dict[str, Any]:
    """Return the EIP-712 domain of a contract."""
    chain_id = boa.env.evm.chain.chain_id
    return {"name": name, "version": "1", "chainId": chain_id, "verifyingContract": contract.address}


@cache
def compiled(name: str, folder: Path = SOURCES) -> VyperDeployer:
    """Compile a contract once a process."""
    return boa.load_partial(str(folder / f"{name}.vy"))


def deploy(name: str, *args: Any, folder: Path = SOURCES, **options: Any) -> VyperContract:
    """Deploy a contract of contracts/src, or of another folder."""
    return compiled(name, folder).deploy(*args, **options)


def events(contract: VyperContract) -> list[tuple[str, dict[str, Any]]]:
    """Return (name, fields) of what the contract itself logged in its last call, in order."""
    found = []
    for log in contract.get_logs():
        if hasattr(log, "_asdict") and log.address == contract.address:
            fields = {
                key: str(item) if isinstance(item, str) else item for key, item in log._asdict().items()
            }
            fields.pop("address")
            found.append((type(log).__name__, fields))
    return found


def sha256(data: bytes) -> bytes:
    """Hash."""
    return hashlib.sha256(data).digest()
