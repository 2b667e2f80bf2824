"""Reads answers of JSON-RPC strictly: what has another form is `rpc_garbage`, whoever sent it.

Source: ethereum/execution-apis, schemas of block, receipt and log.
"""

import re
from typing import Any

from skyops_p2p import limits
from skyops_p2p.core.chain.facts import Block, Log, Receipt
from skyops_p2p.crypto.wallet import address_from_bytes
from skyops_p2p.errors import ChainError
from skyops_p2p.types import WalletAddress, Wei

_QUANTITY = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]{0,63})")
_DATA = re.compile(r"0x([0-9a-fA-F]{2})*")
_TOPICS_MAX = 4


def quantity(value: Any) -> int:
    """Return a whole number of at most 256 bits."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise _garbage("a quantity")
    return int(value, 16)


def octets(value: Any, size: int | None = None) -> bytes:
    """Return bytes, of a size if one is given."""
    if not isinstance(value, str) or not _DATA.fullmatch(value):
        raise _garbage("bytes")
    data = bytes.fromhex(value[2:])
    if size is not None and len(data) != size:
        raise _garbage(f"{size} bytes")
    return data


def address(value: Any) -> WalletAddress:
    """Return an account."""
    return address_from_bytes(octets(value, 20))


def block(value: Any) -> Block:
    """Return a header."""
    fields = _fields(value, "a block")
    return Block(
        number=quantity(fields.get("number")),
        hash=octets(fields.get("hash"), 32),
        parent_hash=octets(fields.get("parentHash"), 32),
        timestamp_unix_s=quantity(fields.get("timestamp")),
        base_fee_wei=Wei(quantity(fields.get("baseFeePerGas"))),
    )


def receipt(value: Any) -> Receipt:
    """Return a receipt."""
    fields = _fields(value, "a receipt")
    status, gas_used = quantity(fields.get("status")), quantity(fields.get("gasUsed"))
    if status > 1:
        raise _garbage("a status of 0 or 1")
    created = fields.get("contractAddress")
    return Receipt(
        transaction_hash=octets(fields.get("transactionHash"), 32),
        block_number=quantity(fields.get("blockNumber")),
        block_hash=octets(fields.get("blockHash"), 32),
        is_success=status == 1,
        gas_used=gas_used,
        fee_wei=Wei(gas_used * quantity(fields.get("effectiveGasPrice"))),
        created=None if created is None else address(created),
        logs=logs(fields.get("logs")),
    )


def logs(value: Any) -> tuple[Log, ...]:
    """Return events, at most CHAIN_LOGS_MAX."""
    if not isinstance(value, list) or len(value) > limits.CHAIN_LOGS_MAX:
        raise _garbage("a list of events")
    return tuple(_log(one) for one in value)


def _log(value: Any) -> Log:
    fields = _fields(value, "an event")
    topics = fields.get("topics")
    if not isinstance(topics, list) or len(topics) > _TOPICS_MAX:
        raise _garbage("topics")
    return Log(
        address=address(fields.get("address")),
        topics=tuple(octets(topic, 32) for topic in topics),
        data=octets(fields.get("data")),
        block_number=quantity(fields.get("blockNumber")),
        block_hash=octets(fields.get("blockHash"), 32),
        transaction_hash=octets(fields.get("transactionHash"), 32),
        index=quantity(fields.get("logIndex")),
    )


def _fields(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _garbage(what)
    return value


def _garbage(what: str) -> ChainError:
    return ChainError(f"the endpoint's answer is not {what}", code="rpc_garbage")
