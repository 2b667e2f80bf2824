"""Vectors of the encoding, of frames, and of peer ids and addresses."""

from typing import Any

import base58

from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.crypto.wallet import address_to_bytes
from skyops_p2p.wire import canonical
from skyops_p2p.wire.framing import encode_frame
from tests.vectors.notation import written
from tests.vectors.people import ALICE, BOB

Case = dict[str, Any]

VALUES: list[tuple[str, Any]] = [
    ("false", False),
    ("true", True),
    ("zero", 0),
    ("largest fixint", 127),
    ("smallest uint 8", 128),
    ("largest uint 8", 255),
    ("smallest uint 16", 256),
    ("smallest uint 32", 65_536),
    ("smallest uint 64", 2**32),
    ("largest integer", 2**64 - 1),
    ("minus one", -1),
    ("smallest negative fixint", -32),
    ("largest int 8", -33),
    ("smallest int 8", -128),
    ("largest int 16", -129),
    ("largest int 32", -32_769),
    ("largest int 64", -(2**31) - 1),
    ("smallest integer", -(2**63)),
    ("no bytes", b""),
    ("255 bytes", b"\xff" * 255),
    ("256 bytes", b"\xff" * 256),
    ("empty text", ""),
    ("text of 31 bytes", "a" * 31),
    ("text of 32 bytes", "a" * 32),
    ("text beyond ASCII is not normalised", "e\u0301 \u00e9 \U0001f680"),
    ("empty array", []),
    ("array of 15", [0] * 15),
    ("array of 16", [0] * 16),
    ("empty map", {}),
    ("map of 16", dict.fromkeys(range(16), 0)),
    ("map with large keys", {1: 1, 127: 2, 128: 3, 2**32: 4}),
    ("nested eight deep", [[[[[[[[]]]]]]]]),
    ("a message", {0: 10, 1: b"12345678"}),
]

REFUSED_BYTES: list[tuple[str, str, str]] = [
    ("nothing", "", "malformed"),
    ("array cut short", "9201", "malformed"),
    ("bytes cut short", "c403aabb", "malformed"),
    ("number cut short", "cd01", "malformed"),
    ("a second value behind the first", "0101", "malformed"),
    ("null", "c0", "malformed"),
    ("null in a map", "8100c0", "malformed"),
    ("float 32", "ca3f800000", "malformed"),
    ("float 64", "cb3ff0000000000000", "malformed"),
    ("reserved byte", "c1", "malformed"),
    ("fixext 1", "d40101", "malformed"),
    ("timestamp", "d6ff00000000", "malformed"),
    ("ext 8 without data", "c70001", "malformed"),
    ("text is not UTF-8", "a2c328", "malformed"),
    ("text holds a surrogate", "a3eda080", "malformed"),
    ("overlong UTF-8", "a2c080", "malformed"),
    ("text as a key", "81a16101", "malformed"),
    ("bytes as a key", "81c4016101", "malformed"),
    ("negative key", "81ff01", "malformed"),
    ("bool as a key", "81c301", "malformed"),
    ("nested nine deep", "91" * 9 + "01", "malformed"),
    ("array says 2^32-1 entries", "ddffffffff", "malformed"),
    ("array says 1025 entries", "dc0401" + "01" * 1025, "malformed"),
    ("uint 8 for 1", "cc01", "non_canonical"),
    ("uint 16 for 255", "cd00ff", "non_canonical"),
    ("uint 32 for 65535", "ce0000ffff", "non_canonical"),
    ("uint 64 for 1", "cf0000000000000001", "non_canonical"),
    ("int 8 for 1", "d001", "non_canonical"),
    ("int 8 for -1", "d0ff", "non_canonical"),
    ("int 16 for -128", "d1ff80", "non_canonical"),
    ("int 32 for -129", "d2ffffff7f", "non_canonical"),
    ("int 64 for 1", "d30000000000000001", "non_canonical"),
    ("str 8 for one letter", "d90161", "non_canonical"),
    ("bin 16 for one byte", "c5000161", "non_canonical"),
    ("array 16 for one entry", "dc000101", "non_canonical"),
    ("map 16 for one entry", "de00010001", "non_canonical"),
    ("keys descend", "8202010101", "non_canonical"),
    ("key twice", "8201010102", "non_canonical"),
    ("inner keys descend", "81018202010101", "non_canonical"),
]


def canonical_cases() -> list[Case]:
    valid = [
        {"name": name, "bytes": canonical.encode(value).hex(), "value": written(value)}
        for name, value in VALUES
    ]
    large = canonical.encode(bytes(32)).hex()
    return [
        *valid,
        *({"name": name, "bytes": data, "code": code} for name, data, code in REFUSED_BYTES),
        {"name": "at the caller's limit", "bytes": large, "bytes_max": 34, "value": written(bytes(32))},
        {"name": "above the caller's limit", "bytes": large, "bytes_max": 33, "code": "oversized"},
    ]


def framing_cases() -> list[Case]:
    payloads = [b"", b"a", bytes(127), bytes(128), bytes(300)]
    stream = b"".join(map(encode_frame, payloads))
    whole = [payload.hex() for payload in payloads]
    return [
        {"name": "five frames", "stream": stream.hex(), "bytes_max": 300, "frames": whole, "left": 0},
        {
            "name": "last one unfinished",
            "stream": stream[:-1].hex(),
            "bytes_max": 300,
            "frames": whole[:-1],
            "left": 301,
        },
        {"name": "unfinished length", "stream": "016180", "bytes_max": 300, "frames": ["61"], "left": 1},
        {"name": "one byte too long", "stream": "ad02", "bytes_max": 300, "code": "oversized"},
        {
            "name": "largest length of four bytes",
            "stream": "ffffff7f",
            "bytes_max": 1 << 20,
            "code": "oversized",
        },
        {"name": "length of five bytes", "stream": "8080808001", "bytes_max": 1 << 20, "code": "malformed"},
        {"name": "length not minimal", "stream": "818000", "bytes_max": 300, "code": "non_canonical"},
        {"name": "zero in two bytes", "stream": "8000", "bytes_max": 300, "code": "non_canonical"},
    ]


def identifier_cases() -> list[Case]:
    alice = peer_id_to_bytes(ALICE.node_key.peer_id)
    hashed = bytes.fromhex("1220") + bytes(range(32))
    wallet = address_to_bytes(BOB.wallet.address)
    cases = [
        ("Ed25519 peer id", "peer", alice, ALICE.node_key.peer_id),
        ("hashed peer id", "peer", hashed, base58.b58encode(hashed).decode()),
        ("wallet address", "wallet", wallet, BOB.wallet.address),
        ("address of zeros", "wallet", bytes(20), "0x" + "0" * 40),
        ("address of EIP-55", "wallet", bytes.fromhex("5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"),
         "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
    ]  # fmt: skip
    refused = [
        ("no bytes", "peer", b""),
        ("Ed25519 peer id cut short", "peer", alice[:-1]),
        ("a byte behind", "peer", alice + b"\0"),
        ("secp256k1 peer id", "peer", bytes.fromhex("002508021221") + bytes(33)),
        ("SHA-1 multihash", "peer", bytes.fromhex("1114") + bytes(20)),
        ("address of 19 bytes", "wallet", wallet[:-1]),
        ("address of 21 bytes", "wallet", wallet + b"\0"),
    ]
    valid = [{"name": n, "kind": kind, "bytes": data.hex(), "text": text} for n, kind, data, text in cases]
    return valid + [
        {"name": n, "kind": kind, "bytes": d.hex(), "code": "malformed"} for n, kind, d in refused
    ]
