"""Second implementation of the protocol's cryptography, sharing no code with skyops_p2p.

Ed25519, X25519 and ChaCha20-Poly1305 come from the `cryptography` package (skyops_p2p uses libsodium); Keccak-256,
secp256k1 recovery, HChaCha20, HKDF, base58 and EIP-712 are written out here from their specifications.
"""

import hashlib
import hmac
import struct

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
P = 2**256 - 2**32 - 977
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
Point = tuple[int, int] | None
Q = 2**255 - 19
ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
"""y of the points of order 8 on edwards25519, and its negative."""
SMALL_ORDER = {0, 1, ORDER_8, Q - ORDER_8, Q - 1, Q, Q + 1}
"""y of all points whose order divides 8, in every encoding that 255 bits have for them."""


class RefusedError(Exception):
    """The specification refuses this input; `code` is its refusal code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


# --- hashes -----------------------------------------------------------------------------------------------------
def keccak256(data: bytes) -> bytes:
    rate, lanes = 136, [0] * 25
    padded = data + b"\x01" + bytes(-(len(data) + 1) % rate)
    padded = padded[:-1] + bytes([padded[-1] | 0x80])
    for start in range(0, len(padded), rate):
        for index, word in enumerate(struct.unpack("<17Q", padded[start : start + rate])):
            lanes[index] ^= word
        lanes = _keccak_f(lanes)
    return struct.pack("<4Q", *lanes[:4])


def _keccak_f(a: list[int]) -> list[int]:
    lfsr = 1
    for _ in range(24):
        c = [a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20] for x in range(5)]
        d = [c[(x - 1) % 5] ^ _rotl(c[(x + 1) % 5], 1, 64) for x in range(5)]
        a = [a[i] ^ d[i % 5] for i in range(25)]
        x, y, current = 1, 0, a[1]
        for step in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            current, a[x + 5 * y] = a[x + 5 * y], _rotl(current, (step + 1) * (step + 2) // 2 % 64, 64)
        a = [a[i] ^ (~a[i - i % 5 + (i + 1) % 5] & a[i - i % 5 + (i + 2) % 5]) for i in range(25)]
        for bit in range(7):
            if lfsr & 1:
                a[0] ^= 1 << ((1 << bit) - 1)
            lfsr = (lfsr << 1) ^ (0x171 if lfsr & 0x80 else 0)
    return a


def _rotl(value: int, count: int, width: int) -> int:
    return (value << count | value >> (width - count)) & ((1 << width) - 1)


def hkdf(secret: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    key = hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()
    blocks = [b""]
    while sum(map(len, blocks)) < size:
        blocks.append(hmac.new(key, blocks[-1] + info + bytes([len(blocks)]), hashlib.sha256).digest())
    return b"".join(blocks)[:size]


# --- node key ---------------------------------------------------------------------------------------------------
def ed25519_public(seed: bytes) -> bytes:
    key = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def ed25519_sign(seed: bytes, data: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).sign(data)


def ed25519_verify(public: bytes, data: bytes, signature: bytes) -> None:
    if int.from_bytes(public, "little") & (1 << 255) - 1 in SMALL_ORDER:
        raise RefusedError("bad_signature")  # KEY-1; OpenSSL would take it
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError) as error:
        raise RefusedError("bad_signature") from error


def x25519_public(secret: bytes) -> bytes:
    key = X25519PrivateKey.from_private_bytes(secret)
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def x25519_static(seed: bytes) -> bytes:
    """Return the static secret of a node. KEY-2."""
    return hkdf(seed, b"", b"skyops/x25519/1", 32)


def x25519_agree(secret: bytes, public: bytes) -> bytes:
    try:
        key = X25519PrivateKey.from_private_bytes(secret)
        assert key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()) == secret
        return key.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:  # wrong length, or an all-zero result
        raise RefusedError("bad_key") from error


def peer_id_bytes(public: bytes) -> bytes:
    return bytes.fromhex("002408011220") + public


def peer_id_text(data: bytes) -> str:
    """Return the base58 text of a binary peer id. CNV-10."""
    is_known = (len(data) == 38 and data[:6].hex() == "002408011220") or (
        len(data) == 34 and data[:2].hex() == "1220"
    )
    if not is_known:
        raise RefusedError("malformed")
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


# --- wallet -----------------------------------------------------------------------------------------------------
def _add(a: Point, b: Point) -> Point:
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % P == 0:
        return None
    rise, run = (3 * a[0] * a[0], 2 * a[1]) if a == b else (b[1] - a[1], b[0] - a[0])
    slope = rise * pow(run, -1, P) % P
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def _multiply(factor: int, point: Point) -> Point:
    result: Point = None
    while factor:
        if factor & 1:
            result = _add(result, point)
        point = _add(point, point)
        factor >>= 1
    return result


def address(secret: bytes) -> bytes:
    return _address_of(_multiply(int.from_bytes(secret, "big"), G))


def _address_of(point: Point) -> bytes:
    assert point is not None
    return keccak256(point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big"))[12:]


def address_text(data: bytes) -> str:
    """Return the EIP-55 text of an address. CNV-11."""
    if len(data) != 20:
        raise RefusedError("malformed")
    digest = keccak256(data.hex().encode()).hex()
    return "0x" + "".join(c.upper() if digest[i] in "89abcdef" else c for i, c in enumerate(data.hex()))


def recover(digest: bytes, signature: bytes) -> bytes:
    """Return the address that signed. KEY-4, SEC 1 section 4.1.6."""
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise RefusedError("bad_signature")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    if not 0 < r < ORDER or not 0 < s <= ORDER // 2:
        raise RefusedError("bad_signature")
    y_squared = (pow(r, 3, P) + 7) % P
    y = pow(y_squared, (P + 1) // 4, P)
    if y * y % P != y_squared:
        raise RefusedError("bad_signature")
    if y % 2 != signature[64] - 27:
        y = P - y
    inverse = pow(r, -1, ORDER)
    hashed = int.from_bytes(digest, "big")
    point = _add(_multiply(s * inverse % ORDER, (r, y)), _multiply(-hashed * inverse % ORDER, G))
    if point is None:
        raise RefusedError("bad_signature")
    return _address_of(point)


def typed_digest(
    chain_id: int, type_text: str, words: list[bytes], *, name: bytes = b"Skyops", contract: bytes = b""
) -> bytes:
    """Return an EIP-712 digest; `words` are the encoded members, 32 bytes each; `contract` is who checks it."""
    assert all(len(word) == 32 for word in words)
    members = b"string name,string version,uint256 chainId" + (
        b",address verifyingContract" if contract else b""
    )
    domain = [keccak256(b"EIP712Domain(" + members + b")"), keccak256(name), keccak256(b"1")]
    domain += [chain_id.to_bytes(32, "big"), *([contract.rjust(32, b"\0")] if contract else [])]
    struct_hash = keccak256(b"".join([keccak256(type_text.encode()), *words]))
    return keccak256(b"\x19\x01" + keccak256(b"".join(domain)) + struct_hash)


# --- XChaCha20-Poly1305 -----------------------------------------------------------------------------------------
def xchacha_seal(key: bytes, nonce: bytes, text: bytes, aad: bytes) -> bytes:
    return ChaCha20Poly1305(_hchacha20(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], text, aad)


def xchacha_open(key: bytes, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
    try:
        return ChaCha20Poly1305(_hchacha20(key, nonce[:16])).decrypt(bytes(4) + nonce[16:], sealed, aad)
    except InvalidTag as error:
        raise RefusedError("bad_ciphertext") from error


def _hchacha20(key: bytes, nonce: bytes) -> bytes:
    state = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))
    columns = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)]
    diagonals = [(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]
    for a, b, c, d in (columns + diagonals) * 10:
        for shift_d, shift_b in ((16, 12), (8, 7)):
            state[a] = (state[a] + state[b]) & 0xFFFFFFFF
            state[d] = _rotl(state[d] ^ state[a], shift_d, 32)
            state[c] = (state[c] + state[d]) & 0xFFFFFFFF
            state[b] = _rotl(state[b] ^ state[c], shift_b, 32)
    return struct.pack("<8I", *state[:4], *state[12:])
