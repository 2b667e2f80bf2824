"""Signs by a program elsewhere that speaks JSON-RPC, in the manner of web3signer and clef; it is not believed.

What comes back must be the very transaction that was ordered, signed by the wallet's key; nothing else goes out. A
person may have to nod first, so that an answer may take SIGNER_TIMEOUT_S. Source: ethereum/execution-apis,
eth_signTransaction; EIP-712, eth_signTypedData_v4; EIP-1559.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from skyops_p2p import limits
from skyops_p2p.adapters.chain.endpoint import Endpoint
from skyops_p2p.core.chain.facts import Fees, Order
from skyops_p2p.crypto.hashing import keccak256
from skyops_p2p.crypto.wallet import recover_address
from skyops_p2p.errors import ChainError, ChainRefusal, RemoteProtocolError
from skyops_p2p.types import WalletAddress

_RAW_BYTES_MAX = limits.CHAIN_DATA_BYTES_MAX + 1024
_SIGNATURE_BYTES = 65
_TYPE = b"\x02"
"""First byte of a transaction of EIP-1559."""
_NO_ACCESS_LIST = b"\xc0"


@asynccontextmanager
async def open_remote_signer(
    url: str, account: WalletAddress, *, timeout_s: float = limits.SIGNER_TIMEOUT_S
) -> AsyncIterator["RemoteSigner"]:
    """Open a signer; nothing is asked yet.

    Args:
        url: Its JSON-RPC; the path is never shown.
        account: Whose key it has.
        timeout_s: For one answer.
    """
    endpoint = Endpoint(url, timeout_s=timeout_s)
    try:
        yield RemoteSigner(endpoint, account)
    finally:
        await endpoint.aclose()


class RemoteSigner:
    """The port Signer. Opened by `open_remote_signer`.

    Args:
        endpoint: Of the signer.
        account: Whose key it has.
    """

    def __init__(self, endpoint: Endpoint, account: WalletAddress) -> None:
        self._endpoint = endpoint
        self._account = account

    @property
    def account(self) -> WalletAddress:
        """Whose transactions it signs."""
        return self._account

    async def sign(
        self, order: Order, *, chain_id: int, nonce: int, gas: int, fees: Fees
    ) -> tuple[bytes, bytes]:
        """Return a signed transaction and its hash.

        Raises:
            ChainError: `signer_unavailable`, `signer_lied`.
            ChainRefusal: `signer_refused`.
        """
        asked = {
            "from": self._account,
            "gas": hex(gas),
            "maxFeePerGas": hex(fees.max_fee_wei),
            "maxPriorityFeePerGas": hex(fees.tip_wei),
            "value": hex(order.value_wei),
            "nonce": hex(nonce),
            "data": "0x" + order.data.hex(),
            "chainId": hex(chain_id),
            "type": "0x2",
        }
        if order.to is not None:
            asked["to"] = order.to
        answer = await self._ask("eth_signTransaction", asked)
        # clef and geth answer with an object, web3signer with the bytes alone.
        raw = self._bytes(answer.get("raw") if isinstance(answer, dict) else answer, _RAW_BYTES_MAX)
        numbers = (chain_id, nonce, fees.tip_wei, fees.max_fee_wei, gas)
        to = b"" if order.to is None else bytes.fromhex(order.to[2:])
        fields = (*map(_packed, numbers), to, _packed(order.value_wei), order.data)
        self._check_transaction(raw, b"".join(map(_rlp_text, fields)) + _NO_ACCESS_LIST)
        return raw, keccak256(raw)

    async def sign_typed(self, digest: bytes, document: Mapping[str, object]) -> bytes:
        """Return the account's signature over a typed document; see the port.

        Raises:
            ChainError: `signer_unavailable`, `signer_lied`.
            ChainRefusal: `signer_refused`.
        """
        answer = await self._ask("eth_signTypedData_v4", self._account, json.dumps(document))
        signature = self._bytes(answer, _SIGNATURE_BYTES)
        if len(signature) == _SIGNATURE_BYTES and signature[64] < 27:
            signature = signature[:64] + bytes([signature[64] + 27])  # some say 0 and 1
        self._check_signer(digest, signature)
        return signature

    async def _ask(self, method: str, *parameters: Any) -> Any:
        try:
            return await self._endpoint.ask(method, *parameters)
        except ChainRefusal as refusal:
            raise ChainRefusal(
                f"the signer refuses {method}: {refusal.message}",
                code="signer_refused",
                hint=f"Does {self._endpoint.name} have the key of {self._account}, and do its rules allow this?",
            ) from refusal
        except ChainError as error:
            raise ChainError(
                f"the signer cannot be asked: {error.message}",
                code="signer_unavailable",
                hint="Start it, or correct chain.signer; what was not signed was not sent.",
            ) from error

    def _check_transaction(self, raw: bytes, fields: bytes) -> None:
        """See that a signed transaction is the wanted one, byte for byte, with the account's signature behind.

        Raises:
            ChainError: `signer_lied`.
        """
        behind_header = 2 + max(raw[1] - 0xF7, 0) if len(raw) > 1 else 0
        content = raw[behind_header:]
        if not content.startswith(fields) or raw != _TYPE + _rlp_header(0xC0, len(content)) + content:
            raise self._lied("it is another transaction")
        parts, rest = [], content[len(fields) :]
        for _ in ("parity", "r", "s"):
            size = rest[0] - 0x80 if rest and rest[0] >= 0x80 else 0
            part = rest[1 : 1 + size] if size or rest[:1] == b"\x80" else rest[:1]
            parts.append(part)
            rest = rest[len(_rlp_text(part)) :]
        parity, r, s = parts
        if rest or len(parity) > 1 or max(len(r), len(s)) > 32:
            raise self._lied("there is no signature")
        digest = keccak256(_TYPE + _rlp_header(0xC0, len(fields)) + fields)
        v = bytes([27 + (int.from_bytes(parity, "big") & 1)])
        self._check_signer(digest, r.rjust(32, b"\0") + s.rjust(32, b"\0") + v)

    def _check_signer(self, digest: bytes, signature: bytes) -> None:
        try:
            signer = recover_address(digest, signature)
        except RemoteProtocolError as error:
            raise self._lied(error.message) from error
        if signer != self._account:
            raise self._lied("it signed with another key")

    def _bytes(self, answer: Any, bytes_max: int) -> bytes:
        if not isinstance(answer, str) or not answer.startswith("0x") or len(answer) > 2 + 2 * bytes_max:
            raise self._lied("its answer is no text of bytes")
        try:
            return bytes.fromhex(answer[2:])
        except ValueError as error:
            raise self._lied("its answer is no text of bytes") from error

    def _lied(self, what: str) -> ChainError:
        return ChainError(
            f"the signer {self._endpoint.name} did not sign what it was asked to: {what}",
            code="signer_lied",
            hint="Nothing was sent. Look at that program before you use it again.",
        )


def _packed(number: int) -> bytes:
    """Return an integer as RLP has it: without zeros in front."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _rlp_text(data: bytes) -> bytes:
    if len(data) == 1 and data[0] < 0x80:
        return data
    return _rlp_header(0x80, len(data)) + data


def _rlp_header(kind: int, size: int) -> bytes:
    """Return what stands before a text (0x80) or a list (0xC0). Source: the yellow paper, appendix B."""
    if size < 56:
        return bytes([kind + size])
    length = _packed(size)
    return bytes([kind + 55 + len(length)]) + length
