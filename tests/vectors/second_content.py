"""Second implementation of chapter 05b, sharing no code with skyops_p2p."""

import base64
import hashlib
import hmac

import base58

from tests.vectors import second_crypto as crypto
from tests.vectors import second_wire as wire
from tests.vectors.second_crypto import RefusedError

CHUNK = 262_104


def place(purpose: int, index: int, total: int) -> bytes:
    return b"skyops/chunk/1" + bytes([purpose]) + index.to_bytes(8, "big") + total.to_bytes(8, "big")


def seal(content_key: bytes, plaintext: bytes, where: bytes) -> bytes:
    cipher = crypto.hkdf(content_key, b"", b"skyops/chunk/1", 32)
    nonce_key = crypto.hkdf(content_key, b"", b"skyops/chunk-nonce/1", 32)
    digest = hashlib.blake2b(key=nonce_key, digest_size=24)
    digest.update(where)
    digest.update(hashlib.sha256(plaintext).digest())
    nonce = digest.digest()
    return nonce + crypto.xchacha_seal(cipher, nonce, plaintext, where)


def open_chunk(content_key: bytes, block: bytes, where: bytes) -> bytes:
    if not 40 <= len(block) <= CHUNK + 40:
        raise RefusedError("malformed")
    cipher = crypto.hkdf(content_key, b"", b"skyops/chunk/1", 32)
    return crypto.xchacha_open(cipher, block[:24], block[24:], where)


def cid_bytes(codec: int, block: bytes) -> bytes:
    return b"\x01" + bytes([codec]) + b"\x12\x20" + hashlib.sha256(block).digest()


def cid_text(cid: bytes) -> str:
    return "b" + base64.b32encode(cid).decode().rstrip("=").lower()


def read_cid(text: str) -> bytes:
    if text.startswith("Qm") and len(text) == 46:
        return b"\x01\x70" + base58.b58decode(text)
    cid = b""
    if text.startswith("b") and len(text) == 59 and text == text.lower():
        cid = base64.b32decode(text[1:].upper() + "=" * 6)
    if len(cid) != 36 or cid[:1] != b"\x01" or cid[1] not in (0x55, 0x70) or cid[2:4] != b"\x12\x20":
        raise RefusedError("bad_cid")
    return cid


def _number(tag: int, value: int) -> bytes:
    return bytes([tag]) + wire.write_uvarint(value)


def _bytes(tag: int, value: bytes) -> bytes:
    return bytes([tag]) + wire.write_uvarint(len(value)) + value


def node(links: list[tuple[bytes, bytes, int]], data: bytes) -> bytes:
    """Encode (cid, name, size of all below) and data as dag-pb."""
    coded = (_bytes(0x0A, cid) + _bytes(0x12, name) + _number(0x18, total) for cid, name, total in links)
    return b"".join(_bytes(0x12, link) for link in coded) + _bytes(0x0A, data)


def tree(leaves: list[bytes]) -> bytes:
    """Return the root of a file, layer by layer."""
    layer = [(cid_bytes(0x55, leaf), len(leaf), len(leaf)) for leaf in leaves]
    while len(layer) > 1:
        above = []
        for start in range(0, len(layer), 174):
            part = layer[start : start + 174]
            sizes = [size for _, size, _ in part]
            data = b"\x08\x02" + _number(0x18, sum(sizes)) + b"".join(_number(0x20, size) for size in sizes)
            block = node([(cid, b"", total) for cid, _, total in part], data)
            total = len(block) + sum(total for _, _, total in part)
            above.append((cid_bytes(0x70, block), sum(sizes), total))
        layer = above
    return layer[0][0]


def directory(entries: dict[bytes, bytes]) -> bytes:
    """Return the block of a directory of raw blocks by name."""
    links = [(cid_bytes(0x55, block), name, len(block)) for name, block in sorted(entries.items())]
    return node(links, b"\x08\x01")


def bundle(
    content_key: bytes, files: dict[str, bytes], executable: list[str], directories: list[str]
) -> bytes:
    """Return the root of a bundle of files of one chunk each."""
    paths = sorted(files, key=lambda path: path.encode())
    sealed = [seal(content_key, files[path], place(0, 0, 1)) for path in paths]
    rows = b"".join(
        b"\x94" + _text(path) + _int(len(files[path])) + (b"\xc3" if path in executable else b"\xc2")
        + b"\xc4\x24" + cid_bytes(0x55, block)
        for path, block in zip(paths, sealed, strict=True)
    )  # fmt: skip
    empty = b"".join(map(_text, directories))
    listed = (
        b"\x82\x01" + bytes([0x90 + len(paths)]) + rows + b"\x02" + bytes([0x90 + len(directories)]) + empty
    )
    assert wire.decode(listed), "the list is canonical"
    entries = {str(index).encode(): block for index, block in enumerate(sealed)}
    entries[b"m"] = seal(content_key, listed, place(1, 0, 1))
    return cid_bytes(0x70, directory(entries))


def _text(text: str) -> bytes:
    data = text.encode()
    assert len(data) < 32, "the vectors have short names"
    return bytes([0xA0 + len(data)]) + data


def _int(value: int) -> bytes:
    assert value < 128, "the vectors have short files"
    return bytes([value])


def proof(key: bytes, side: str, token: bytes, nonces: bytes) -> bytes:
    return hmac.new(key, f"skyops/data/{side}\n".encode() + token + nonces, "sha256").digest()


def caller_proof(case: dict[str, str]) -> str:
    """Check the listener as a caller does, then the caller's proof as the listener does; return that proof."""
    token, key, mine, reply = (
        bytes.fromhex(case[name]) for name in ("token", "key", "caller_nonce", "reply")
    )
    theirs = reply[:32]
    is_good = reply[32:] == proof(key, "listener", token, mine + theirs)
    if not is_good or bytes.fromhex(case["proof"]) != proof(key, "caller", token, mine + theirs):
        raise RefusedError("bad_proof")
    return case["proof"]
