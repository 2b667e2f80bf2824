"""The vectors of chapter 05b, by skyops_p2p and by the second implementation that shares no code with it."""

from skyops_p2p.core.content import channel
from skyops_p2p.core.content.bundle import decode_manifest, read_root
from skyops_p2p.crypto.chunks import Place, Purpose, chunk_keys, open_chunk, seal_chunk
from skyops_p2p.wire.cid import RAW, cid_of, decode_cid, parse_cid
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.unixfs import TreeBuilder, raw_leaf
from tests.vectors import second_content as second
from tests.vectors.test_vectors import Case, everything, expect, raw


@everything("chunks")
def test_chunks(case: Case) -> None:  # CON-1, CON-3, CON-4
    where = second.place(case["purpose"], case["index"], case["total"])
    place = Place(Purpose(case["purpose"]), case["index"], case["total"])
    keys = chunk_keys(raw(case, "content_key"))
    expect(
        case,
        case["plaintext"],
        lambda case: open_chunk(keys, raw(case, "block"), place).hex(),
        lambda case: second.open_chunk(raw(case, "content_key"), raw(case, "block"), where).hex(),
    )
    if "code" not in case:
        sealed = second.seal(raw(case, "content_key"), raw(case, "plaintext"), where)
        assert sealed == seal_chunk(keys, raw(case, "plaintext"), place) == raw(case, "block")


@everything("cids")
def test_cids(case: Case) -> None:  # CON-5
    expect(
        case,
        case.get("bytes"),
        lambda case: bytes(parse_cid(case["text"])).hex(),
        lambda case: second.read_cid(case["text"]).hex(),
    )


@everything("trees")
def test_trees(case: Case) -> None:  # CON-6
    leaves = [index.to_bytes(4, "big") for index in range(case["leaves"])]
    builder = TreeBuilder()
    for leaf in leaves:
        builder.add(raw_leaf(cid_of(RAW, leaf), len(leaf)))
    assert str(builder.finish()[0].cid) == second.cid_text(second.tree(leaves)) == case["root"]


@everything("bundles")
def test_bundles(case: Case) -> None:  # CON-7, CON-8, CON-9
    files = {path: bytes.fromhex(data) for path, data in case["files"].items()}
    root = second.bundle(raw(case, "content_key"), files, case["executable"], case["directories"])
    assert root == raw(case, "root")
    blocks = {parse_cid(name): bytes.fromhex(data) for name, data in case["blocks"].items()}
    assert all(cid.names(block) for cid, block in blocks.items())
    ref = BundleRef(root=root, size_bytes=case["size_bytes"], files=len(files), blocks=len(files) + 2)
    keys = chunk_keys(raw(case, "content_key"))
    entries = read_root(blocks[decode_cid(root)])
    listed = open_chunk(keys, blocks[entries.manifest.cid], Place(Purpose.MANIFEST, 0, 1))
    tree = decode_manifest(listed, entries, ref)
    opened = {
        file.path: open_chunk(keys, blocks[file.root], Place(Purpose.FILE, 0, 1)) for file in tree.files
    }
    assert opened == files
    assert list(tree.directories) == case["directories"]
    assert [file.path for file in tree.files if file.is_executable] == case["executable"]


@everything("channels")
def test_channels(case: Case) -> None:  # CON-16, CON-17
    ticket = channel.Ticket(40_000, raw(case, "token"), raw(case, "key"))

    def first(case: Case) -> str:
        token, nonce = channel.read_hello(raw(case, "hello"))
        assert (token, nonce) == (ticket.token, raw(case, "caller_nonce"))
        proof = channel.check_reply(ticket, nonce, raw(case, "reply"))
        channel.check_caller(ticket, nonce, raw(case, "reply")[:32], raw(case, "proof"))
        return proof.hex()

    expect(case, case["proof"], first, second.caller_proof)
