"""EIP-712 digests of the few statements that wallets sign, written out by hand for these fixed types.

Statements about nodes have the domain name "Skyops", version "1" and the chain id; what a contract checks has that
contract's name and address as well. Spec: protocol/01-identity.md, "Typed data"; protocol/07-settlement.md, "Vouchers"
and "Receipts". Source: EIP-712.
"""

from functools import lru_cache
from typing import Literal

from skyops_p2p.crypto.hashing import keccak256
from skyops_p2p.crypto.wallet import ADDRESS_BYTES, address_to_bytes
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.types import WalletAddress

DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId)"
BINDING_TYPE = (
    "Binding(address wallet,bytes peerId,bytes32 x25519,string network,"
    "uint64 issuedUnixMs,uint64 expiresUnixMs)"
)
SESSION_TYPE = "Session(bytes32 transcript,string role,string network)"
CONTRACT_DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
VOUCHER_TYPE = (
    "Voucher(address worker,address token,uint96 cumulative,uint16 holdbackBps,bytes32 receiptsRoot)"
)
STATEMENT_TYPE = "Statement(bytes32 lane,uint64 sequence,bytes32 content)"
PERMIT_TYPE = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
OFFER_TYPE = (
    "Offer(address worker,address token,uint256 rate,uint256 hoursLeast,uint256 hoursMost,"
    "uint256 expiresAt,bytes32 salt)"
)
USAGE_TYPE = "Usage(bytes32 reservation,uint256 usedS)"
SETTLEMENT_NAME = "Skyops Settlement"
DISPUTES_NAME = "Skyops Disputes"
RESERVATIONS_NAME = "Skyops Reservations"
DOMAIN_NAME = "Skyops"
DOMAIN_VERSION = "1"

Role = Literal["initiator", "responder"]

_BINDING_HASH = keccak256(BINDING_TYPE.encode())
_SESSION_HASH = keccak256(SESSION_TYPE.encode())
_VOUCHER_HASH = keccak256(VOUCHER_TYPE.encode())
_STATEMENT_HASH = keccak256(STATEMENT_TYPE.encode())
_PERMIT_HASH = keccak256(PERMIT_TYPE.encode())
_OFFER_HASH = keccak256(OFFER_TYPE.encode())
_USAGE_HASH = keccak256(USAGE_TYPE.encode())


def binding_digest(
    *,
    wallet: WalletAddress | bytes,
    peer_id: bytes,
    x25519: bytes,
    network: str,
    chain_id: int,
    issued_unix_ms: int,
    expires_unix_ms: int,
) -> bytes:
    """Return the 32 bytes that a wallet signs to vouch for a node key.

    Args:
        wallet: The account that signs, as text or as its 20 bytes.
        peer_id: Binary peer id of the node.
        x25519: The node's static encryption key, 32 bytes.
        network: Network name.
        chain_id: EIP-155 chain.
        issued_unix_ms: Unix ms.
        expires_unix_ms: Unix ms.

    Raises:
        LocalProtocolError: A number or the key is out of its type's range.
        RemoteProtocolError: Code `malformed`: `wallet` is no address, or not 20 bytes.

    Rules: IDN-7.
    """
    return _digest(
        chain_id,
        _BINDING_HASH,
        _address_word(wallet),
        keccak256(peer_id),
        _bytes32(x25519),
        _text_hash(network),
        _unsigned(issued_unix_ms, 64),
        _unsigned(expires_unix_ms, 64),
    )


def session_digest(*, transcript: bytes, role: Role, network: str, chain_id: int) -> bytes:
    """Return the 32 bytes that a wallet signs in a handshake.

    Args:
        transcript: SHA-256 of the transcript, 32 bytes.
        role: Which side signs.
        network: Network name.
        chain_id: EIP-155 chain.

    Raises:
        LocalProtocolError: A number or the transcript is out of its type's range.

    Rules: HSK-8.
    """
    return _digest(chain_id, _SESSION_HASH, _bytes32(transcript), _text_hash(role), _text_hash(network))


def voucher_digest(
    *,
    chain_id: int,
    contract: bytes,
    worker: bytes,
    token: bytes,
    cumulative: int,
    holdback_bps: int,
    receipts_root: bytes,
) -> bytes:
    """Return the 32 bytes that a requester's wallet signs to pay a worker.

    Args:
        chain_id: EIP-155 chain.
        contract: Account of Settlement, 20 bytes.
        worker: Account that is paid, 20 bytes.
        token: Account of the token, 20 bytes; zero for ETH.
        cumulative: All that the pair's jobs have cost, wei, below 2^96.
        holdback_bps: Part that waits for the challenge window, hundredths of a per cent.
        receipts_root: Root of the tree of the pair's receipts, 32 bytes.

    Raises:
        LocalProtocolError: A number or the root is out of its type's range.
        RemoteProtocolError: Code `malformed`: an account has not 20 bytes.

    Rules: SET-9.
    """
    words = (
        _VOUCHER_HASH,
        _address_word(worker),
        _address_word(token),
        _unsigned(cumulative, 96),
        _unsigned(holdback_bps, 16),
        _bytes32(receipts_root),
    )
    separator = _contract_separator(SETTLEMENT_NAME, chain_id, contract)
    return keccak256(b"\x19\x01" + separator + keccak256(b"".join(words)))


def statement_digest(*, chain_id: int, contract: bytes, lane: bytes, sequence: int, content: bytes) -> bytes:
    """Return the 32 bytes that a wallet signs for one place in one of its chains.

    Args:
        chain_id: EIP-155 chain.
        contract: Account of Disputes, 20 bytes: it slashes who signs two contents for one place.
        lane: Name of the chain, 32 bytes.
        sequence: Place in it, below 2^64.
        content: What stands there, 32 bytes.

    Raises:
        LocalProtocolError: A number, `lane` or `content` is out of its type's range.
        RemoteProtocolError: Code `malformed`: `contract` has not 20 bytes.

    Rules: SET-15.
    """
    words = (_STATEMENT_HASH, _bytes32(lane), _unsigned(sequence, 64), _bytes32(content))
    separator = _contract_separator(DISPUTES_NAME, chain_id, contract)
    return keccak256(b"\x19\x01" + separator + keccak256(b"".join(words)))


def permit_digest(
    *,
    chain_id: int,
    contract: bytes,
    owner: bytes,
    spender: bytes,
    amount: int,
    nonce: int,
    deadline_unix_s: int,
) -> bytes:
    """Return the 32 bytes that the owner of SKYOPS signs to let an account take some, once (EIP-2612).

    Args:
        chain_id: EIP-155 chain.
        contract: Account of the token, 20 bytes.
        owner: Wallet that signs, 20 bytes.
        spender: Account that may take them, 20 bytes.
        amount: Wei.
        nonce: Of the owner's permits, as the token says.
        deadline_unix_s: Unix s, by the chain's clock.

    Raises:
        LocalProtocolError: A number is out of its type's range.
        RemoteProtocolError: Code `malformed`: an account has not 20 bytes.
    """
    words = (
        _PERMIT_HASH,
        _address_word(owner),
        _address_word(spender),
        _unsigned(amount, 256),
        _unsigned(nonce, 256),
        _unsigned(deadline_unix_s, 256),
    )
    separator = _contract_separator(DOMAIN_NAME, chain_id, contract)
    return keccak256(b"\x19\x01" + separator + keccak256(b"".join(words)))


def offer_digest(
    *,
    chain_id: int,
    contract: bytes,
    worker: bytes,
    token: bytes,
    rate: int,
    hours: tuple[int, int],
    expires_unix_s: int,
    salt: bytes,
) -> bytes:
    """Return the 32 bytes that a worker's wallet signs to offer a reservation.

    Args:
        chain_id: EIP-155 chain.
        contract: Account of Reservations, 20 bytes.
        worker: Wallet that signs, 20 bytes.
        token: What is paid with, 20 bytes; zero for ETH.
        rate: Wei an hour, before the discount.
        hours: Shortest and longest term.
        expires_unix_s: Unix s, by the chain's clock.
        salt: 32 bytes; an offer is taken once.

    Raises:
        LocalProtocolError: A number or the salt is out of its type's range.
        RemoteProtocolError: Code `malformed`: an account has not 20 bytes.
    """
    words = (
        _OFFER_HASH,
        _address_word(worker),
        _address_word(token),
        _unsigned(rate, 256),
        _unsigned(hours[0], 256),
        _unsigned(hours[1], 256),
        _unsigned(expires_unix_s, 256),
        _bytes32(salt),
    )
    separator = _contract_separator(RESERVATIONS_NAME, chain_id, contract)
    return keccak256(b"\x19\x01" + separator + keccak256(b"".join(words)))


def usage_digest(*, chain_id: int, contract: bytes, reservation: bytes, used_s: int) -> bytes:
    """Return the 32 bytes that a requester's wallet signs to say how long it has used a reservation.

    Args:
        chain_id: EIP-155 chain.
        contract: Account of Reservations, 20 bytes.
        reservation: Its id, 32 bytes.
        used_s: Seconds so far.

    Raises:
        LocalProtocolError: `used_s` or `reservation` is out of its type's range.
    """
    words = (_USAGE_HASH, _bytes32(reservation), _unsigned(used_s, 256))
    separator = _contract_separator(RESERVATIONS_NAME, chain_id, contract)
    return keccak256(b"\x19\x01" + separator + keccak256(b"".join(words)))


def permit_document(message: dict[str, str], *, chain_id: int, contract: WalletAddress) -> dict[str, object]:
    """Return the JSON of a permit, for signers that make the digest by themselves (eth_signTypedData_v4).

    Args:
        message: Owner and spender as addresses; value, nonce and deadline as decimal numbers.
        chain_id: EIP-155 chain.
        contract: The token.
    """
    return {
        "types": {
            "EIP712Domain": _fields_of(CONTRACT_DOMAIN_TYPE),
            "Permit": _fields_of(PERMIT_TYPE),
        },
        "primaryType": "Permit",
        "domain": {
            "name": DOMAIN_NAME,
            "version": DOMAIN_VERSION,
            "chainId": chain_id,
            "verifyingContract": contract,
        },
        "message": message,
    }


def _fields_of(kind: str) -> list[dict[str, str]]:
    """Return the fields of a type as eth_signTypedData_v4 wants them."""
    pairs = (field.split(" ") for field in kind.partition("(")[2].rstrip(")").split(","))
    return [{"name": name, "type": type_name} for type_name, name in pairs]


def _digest(chain_id: int, *words: bytes) -> bytes:
    return keccak256(b"\x19\x01" + _domain_separator(chain_id) + keccak256(b"".join(words)))


@lru_cache(maxsize=64)
def _contract_separator(name: str, chain_id: int, contract: bytes) -> bytes:
    return keccak256(
        keccak256(CONTRACT_DOMAIN_TYPE.encode())
        + keccak256(name.encode())
        + keccak256(DOMAIN_VERSION.encode())
        + _unsigned(chain_id, 256)
        + _address_word(contract)
    )


@lru_cache(maxsize=16)
def _domain_separator(chain_id: int) -> bytes:
    return keccak256(
        keccak256(DOMAIN_TYPE.encode())
        + keccak256(DOMAIN_NAME.encode())
        + keccak256(DOMAIN_VERSION.encode())
        + _unsigned(chain_id, 256)
    )


@lru_cache(maxsize=64)
def _text_hash(text: str) -> bytes:
    """Hash a role or a network's name: few, and needed for every binding."""
    return keccak256(text.encode())


def _address_word(wallet: WalletAddress | bytes) -> bytes:
    account = wallet if isinstance(wallet, bytes) else address_to_bytes(wallet)
    if len(account) != ADDRESS_BYTES:
        raise RemoteProtocolError("an address has 20 bytes", code="malformed", rule="CNV-11")
    return account.rjust(32, b"\0")


def _unsigned(value: int, bits: int) -> bytes:
    if not 0 <= value < 1 << bits:
        raise LocalProtocolError(f"{value} is no uint{bits}")
    return value.to_bytes(32, "big")


def _bytes32(value: bytes) -> bytes:
    if len(value) != 32:
        raise LocalProtocolError("a bytes32 has 32 bytes")
    return value
