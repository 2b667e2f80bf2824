"""Calls of contracts as bytes, and their answers as values, by the ABI of Solidity and Vyper through eth-abi."""

from collections.abc import Sequence
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError, ParseError

from skyops_p2p.crypto.hashing import keccak256
from skyops_p2p.errors import ChainError, LocalProtocolError


def selector(signature: str) -> bytes:
    """Return the four bytes that name a function: "transfer(address,uint256)"."""
    return keccak256(signature.encode())[:4]


def topic(signature: str) -> bytes:
    """Return the 32 bytes that name an event: "Transfer(address,address,uint256)"."""
    return keccak256(signature.encode())


def encode_call(signature: str, *values: Any) -> bytes:
    """Return the data of a call.

    Args:
        signature: Name and types without spaces, "transfer(address,uint256)"; a tuple's types stand in parentheses.
        values: One for each type.

    Raises:
        LocalProtocolError: They do not fit the types.
    """
    types = argument_types(signature)
    try:
        return selector(signature) + encode(types, values)
    except (EncodingError, ParseError, ValueError, TypeError) as error:
        raise LocalProtocolError(f"{signature} cannot be called so: {error}") from error


def decode_result(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Return the values that a call returned, or that an event's data hold.

    Raises:
        ChainError: `abi_mismatch`.
    """
    try:
        return tuple(decode(list(types), data))
    except (DecodingError, ParseError, OverflowError, ValueError) as error:
        raise ChainError(
            f"a contract's answer is not ({','.join(types)}): {error}",
            code="abi_mismatch",
            hint="There is no contract at that address on this chain, or it is another one.",
        ) from error


def argument_types(signature: str) -> list[str]:
    """Return the types of a signature, split at its outer commas."""
    inner = signature[signature.index("(") + 1 : -1]
    types: list[str] = []
    depth, start = 0, 0
    for place, letter in enumerate(inner):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            types.append(inner[start:place])
            start = place + 1
    return [*types, inner[start:]] if inner else []
