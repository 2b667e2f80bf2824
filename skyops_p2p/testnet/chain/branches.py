"""What py-evm writes down about which blocks are the chain, and how blocks are taken out of it again.

py-evm only ever goes on to a heavier branch. A branch that is left behind is therefore unwritten key by key; the
blocks themselves stay in the file, where nobody finds them. What is changed here is on disk with the next flush.
Source: eth/db/schema.py of py-evm 0.12; a test takes blocks back and looks through every way to find one.
"""

from collections.abc import Sequence

import rlp  # type: ignore[import-untyped] # it ships no annotations
from eth.db.schema import SchemaV1
from eth.rlp.sedes import chain_gaps
from eth_typing import BlockNumber, Hash32

from skyops_p2p.testnet.chain.disk import ChainDisk

_BRANCH = b"skyops:branch"
"""How often blocks were taken back."""


def forget_block(disk: ChainDisk, number: int, transactions: Sequence[bytes]) -> None:
    """Take the chain's last block out of it, with the places of its transactions."""
    keys = [SchemaV1.make_block_number_to_hash_lookup_key(BlockNumber(number))]
    keys += [SchemaV1.make_transaction_hash_to_block_lookup_key(Hash32(one)) for one in transactions]
    for key in keys:
        del disk[key]


def set_head(disk: ChainDisk, number: int, block_hash: bytes) -> None:
    """Make a block the last one, and what comes after it another branch."""
    disk[SchemaV1.make_canonical_head_hash_lookup_key()] = block_hash
    none_missing_before = rlp.encode(((), number + 1), sedes=chain_gaps)
    disk[SchemaV1.make_chain_gaps_lookup_key()] = none_missing_before
    disk[SchemaV1.make_header_chain_gaps_lookup_key()] = none_missing_before
    disk[_BRANCH] = (_branch(disk) + 1).to_bytes(8, "big")


def branch_mark(disk: ChainDisk) -> bytes:
    """Return what blocks carry so that none equals one that was taken back, made of the same in the same second."""
    branch = _branch(disk)
    return f"skyops branch {branch}".encode() if branch else b""


def _branch(disk: ChainDisk) -> int:
    return int.from_bytes(disk[_BRANCH], "big") if _BRANCH in disk else 0
