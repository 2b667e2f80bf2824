"""Names of blocks: written and read as IPFS does, in one spelling only."""

import base58
import pytest

from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.cid import DAG_PB, RAW, Cid, cid_of, decode_cid, parse_cid

EMPTY = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
"""`ipfs add --cid-version=1` of an empty file."""


def refused(text: str) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        parse_cid(text)
    return caught.value.code


def test_the_empty_file_has_the_name_that_ipfs_gives_it() -> None:
    assert str(cid_of(RAW, b"")) == EMPTY
    assert parse_cid(EMPTY) == cid_of(RAW, b"")


def test_binary_and_text_lead_back() -> None:
    for codec in (RAW, DAG_PB):
        cid = cid_of(codec, b"weights")
        assert decode_cid(bytes(cid)) == parse_cid(str(cid)) == cid


def test_version_0_is_read_as_the_same_node() -> None:
    node = cid_of(DAG_PB, b"node")
    old = bytes([0x12, 32]) + node.digest
    assert decode_cid(old) == node
    assert parse_cid(base58.b58encode(old).decode()) == node


def test_only_its_bytes_have_the_name() -> None:  # CON-5
    assert cid_of(RAW, b"weights").names(b"weights")
    assert not cid_of(RAW, b"weights").names(b"weightz")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        "Qm",
        EMPTY[:-1],
        EMPTY + "a",
        EMPTY.upper(),
        EMPTY[:-1] + "v",
        "z" + EMPTY[1:],
        "Qm" + "1" * 44,
        "bé",
        "b" * 65,
        "12D3KooWQYV9dGMFoRzNStwpXztXaBUjtPqi6aU76ZgUriHhKust",
    ],
)
def test_what_is_no_cid_is_refused(text: str) -> None:
    assert refused(text) == "bad_cid"


@pytest.mark.parametrize(
    "change",
    [(0, 2), (1, 0x71), (2, 0x13), (3, 31)],
    ids=["version", "codec", "hash function", "length"],
)
def test_other_kinds_of_cid_are_refused(change: tuple[int, int]) -> None:
    data = bytearray(bytes(cid_of(RAW, b"weights")))
    data[change[0]] = change[1]
    with pytest.raises(RemoteProtocolError) as caught:
        decode_cid(bytes(data))
    assert caught.value.code == "bad_cid"


def test_cids_sort_and_hash_by_value() -> None:
    assert sorted({Cid(DAG_PB, bytes(32)), Cid(RAW, bytes(32)), Cid(RAW, bytes(32))}) == [
        Cid(RAW, bytes(32)),
        Cid(DAG_PB, bytes(32)),
    ]
