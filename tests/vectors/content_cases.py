"""Vectors of content: sealed chunks, CIDs, trees, bundles, and the beginning of a data channel."""

import hashlib
from typing import Any

from skyops_p2p.core.content import channel
from skyops_p2p.core.content.bundle import BundleFile, BundleTree, encode_manifest
from skyops_p2p.crypto.chunks import Place, Purpose, chunk_keys, seal_chunk
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.wire.cid import DAG_PB, RAW, Cid, cid_of
from skyops_p2p.wire.messages import content
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.model import Message
from skyops_p2p.wire.unixfs import Branch, TreeBuilder, encode_directory, raw_leaf
from tests.vectors.people import ALICE, NOW

Case = dict[str, Any]
CONTENT_KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
KEYS = chunk_keys(CONTENT_KEY)
LOREM = b"step 120, loss 0.31\n"


def content_examples() -> list[Message]:
    """Return one message of every kind of chapter 05b."""
    ref, _ = bundle({"model/w.bin": b"weights", "log.txt": LOREM}, ())
    return [
        content.BlocksRequest(cids=(ref.root, bytes(cid_of(RAW, LOREM)))),
        content.ChannelRequest(),
        content.ChannelOffer(port=40_000, token=bytes(range(16)), key=bytes(range(32))),
        content.KeepRequest(bundle=ref, label="copy/00ff/3", note=b"receipt", until_unix_ms=NOW + 1000),
        content.KeepReply(state="kept", until_unix_ms=NOW + 1000),
        content.CopiesRequest(label="copy/00ff/3"),
        content.CopiesReply(
            copies=(
                content.CopyPart(owner=peer_id_to_bytes(ALICE.node_key.peer_id), bundle=ref, note=b"receipt"),
            )
        ),
        content.ForgetRequest(label="copy/00ff/3"),
    ]


def bundle(
    files: dict[str, bytes], directories: tuple[str, ...], *, key: bytes = CONTENT_KEY
) -> tuple[BundleRef, dict[Cid, bytes]]:
    """Seal a small tree, each file at most one chunk."""
    keys, blocks = chunk_keys(key), {}

    def sealed(data: bytes, purpose: Purpose) -> Branch:
        block = seal_chunk(keys, data, Place(purpose, 0, 1))
        blocks[cid_of(RAW, block)] = block
        return raw_leaf(cid_of(RAW, block), len(block))

    paths = sorted(files, key=str.encode)
    branches = [sealed(files[path], Purpose.FILE) for path in paths]
    rows = [
        BundleFile(path, len(files[path]), is_executable=path.endswith(".sh"), root=branch.cid)
        for path, branch in zip(paths, branches, strict=True)
    ]
    manifest = sealed(encode_manifest(BundleTree(tuple(rows), directories)), Purpose.MANIFEST)
    named = [(str(index), branch) for index, branch in enumerate(branches)]
    root, block = encode_directory([*named, ("m", manifest)])
    blocks[root.cid] = block
    size = sum(map(len, files.values()))
    return BundleRef(root=bytes(root.cid), size_bytes=size, files=len(rows), blocks=len(rows) + 2), blocks


def chunk_cases() -> list[Case]:
    places = {
        "the only chunk": (LOREM, Place(Purpose.FILE, 0, 1)),
        "an empty file": (b"", Place(Purpose.FILE, 0, 1)),
        "the first of three": (LOREM, Place(Purpose.FILE, 0, 3)),
        "the last of three": (LOREM, Place(Purpose.FILE, 2, 3)),
        "a list of files": (LOREM, Place(Purpose.MANIFEST, 0, 1)),
        "far inside": (LOREM, Place(Purpose.FILE, 2**32, 2**33)),
    }
    good = [_chunk(name, plaintext, place) for name, (plaintext, place) in places.items()]
    block = bytes.fromhex(good[0]["block"])
    refused = {
        "a bit of the nonce": bytes([block[0] ^ 1]) + block[1:],
        "a bit of the text": block[:30] + bytes([block[30] ^ 1]) + block[31:],
        "cut short": block[:-1],
        "longer": block + b"\0",
        "another place": bytes.fromhex(good[2]["block"]),
        "a list of files as a file": bytes.fromhex(good[4]["block"]),
        "another job's": seal_chunk(chunk_keys(OTHER_KEY), LOREM, places["the only chunk"][1]),
        "shorter than nonce and tag": block[:39],
    }
    bad = [
        {
            **_chunk(name, LOREM, places["the only chunk"][1]),
            "block": data.hex(),
            "code": "malformed" if len(data) < 40 else "bad_ciphertext",
        }
        for name, data in refused.items()
    ]
    return [*good, *bad]


def _chunk(name: str, plaintext: bytes, place: Place) -> Case:
    return {
        "name": name,
        "content_key": CONTENT_KEY.hex(),
        "purpose": int(place.purpose),
        "index": place.index,
        "total": place.total,
        "plaintext": plaintext.hex(),
        "block": seal_chunk(KEYS, plaintext, place).hex(),
    }


def cid_cases() -> list[Case]:
    cids = {"raw": cid_of(RAW, LOREM), "dag-pb": cid_of(DAG_PB, LOREM), "empty": cid_of(RAW, b"")}
    good = [{"name": name, "text": str(cid), "bytes": bytes(cid).hex()} for name, cid in cids.items()]
    old = "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n"  # the node without a byte
    good.append(
        {
            "name": "version 0",
            "text": old,
            "bytes": "01701220e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        }
    )
    text = str(cids["raw"])
    refused = {
        "another hash": "bafkr4i" + text[7:],
        "another codec": "bafyrei" + text[7:],
        "upper case": text.upper(),
        "base58 of version 1": "zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA",
        "padding": text + "=",
        "cut short": text[:-2],
    }
    return [*good, *({"name": name, "text": text, "code": "bad_cid"} for name, text in refused.items())]


def tree_cases() -> list[Case]:
    """Roots of files whose leaf number i is i in four bytes."""
    return [
        {"name": f"{count} leaves", "leaves": count, "root": _root(count)} for count in (1, 2, 174, 175, 349)
    ] + [{"name": "two levels of nodes", "leaves": 174 * 174 + 1, "root": _root(174 * 174 + 1)}]


def _root(leaves: int) -> str:
    builder = TreeBuilder()
    for index in range(leaves):
        data = index.to_bytes(4, "big")
        builder.add(raw_leaf(cid_of(RAW, data), len(data)))
    return str(builder.finish()[0].cid)


def bundle_cases() -> list[Case]:
    trees: dict[str, tuple[dict[str, bytes], tuple[str, ...]]] = {
        "nothing": ({}, ()),
        "one file": ({"log.txt": LOREM}, ()),
        "a tree": ({"a/b/c.txt": b"c", "run.sh": b"#!/bin/sh\n", "ünï": b""}, ("a/empty",)),
    }
    cases = []
    for name, (files, directories) in trees.items():
        ref, blocks = bundle(files, directories)
        cases.append(
            {
                "name": name,
                "content_key": CONTENT_KEY.hex(),
                "root": ref.root.hex(),
                "size_bytes": ref.size_bytes,
                "files": {path: data.hex() for path, data in files.items()},
                "executable": [path for path in sorted(files) if path.endswith(".sh")],
                "directories": list(directories),
                "blocks": {str(cid): block.hex() for cid, block in sorted(blocks.items())},
            }
        )
    return cases


def channel_cases() -> list[Case]:
    token, key = (hashlib.sha256(word).digest() for word in (b"token", b"key"))
    ticket = channel.Ticket(40_000, token[:16], key)
    caller, listener = (hashlib.sha256(word).digest() for word in (b"caller", b"listener"))
    reply = channel.listener_reply(ticket, caller, listener)
    good = {
        "token": ticket.token.hex(),
        "key": key.hex(),
        "caller_nonce": caller.hex(),
        "hello": channel.hello(ticket.token, caller).hex(),
        "reply": reply.hex(),
        "proof": channel.check_reply(ticket, caller, reply).hex(),
    }
    wrong = {
        "the listener knows another key": {
            "reply": channel.listener_reply(channel.Ticket(1, token[:16], caller), caller, listener).hex()
        },
        "the listener answers another nonce": {
            "reply": channel.listener_reply(ticket, listener, listener).hex()
        },
        "the caller sends the listener's proof back": {"proof": reply[32:].hex()},
    }
    return [
        {"name": "both know the key", **good},
        *({"name": name, **good, **change, "code": "bad_proof"} for name, change in wrong.items()),
    ]


FAMILIES = {
    "chunks": ("05b-content.md, Sealed chunks", chunk_cases),
    "cids": ("05b-content.md, Blocks", cid_cases),
    "trees": ("05b-content.md, Blocks", tree_cases),
    "bundles": ("05b-content.md, Bundle", bundle_cases),
    "channels": ("05b-content.md, Data channel", channel_cases),
}
