"""Bundles: the list of files, held against the root and the reference; no path leads out."""

import pytest

from skyops_p2p.core.content import bundle as bd
from skyops_p2p.core.content.bundle import BundleEntries, BundleFile, BundleTree
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.limits import CONTENT_FILES_MAX
from skyops_p2p.wire import canonical
from skyops_p2p.wire.cid import RAW, Cid, cid_of
from skyops_p2p.wire.dag_pb import Link
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.unixfs import encode_directory, raw_leaf


def root_of(path: str) -> Cid:
    return cid_of(RAW, path.encode())


def file(path: str, size: int = 3) -> BundleFile:
    return BundleFile(path, size, is_executable=False, root=root_of(path))


def tree(*paths: str, directories: tuple[str, ...] = ()) -> BundleTree:
    return BundleTree(tuple(map(file, paths)), directories)


def entries(*paths: str) -> BundleEntries:
    link = Link(cid_of(RAW, b"m"), "m", 1)
    return BundleEntries(link, tuple(Link(root_of(path), str(i), 43) for i, path in enumerate(paths)))


def ref(*paths: str, size: int | None = None) -> BundleRef:
    size_bytes = 3 * len(paths) if size is None else size
    return BundleRef(root=bytes(root_of("root")), size_bytes=size_bytes, files=len(paths), blocks=9)


def code_of(call, *arguments) -> str:
    with pytest.raises((RemoteProtocolError, LocalProtocolError)) as caught:
        call(*arguments)
    return caught.value.code


def test_a_list_leads_back_to_its_tree() -> None:
    known = tree("a/b", "a/c", "z", directories=("a/empty", "q"))
    assert (
        bd.decode_manifest(bd.encode_manifest(known), entries("a/b", "a/c", "z"), ref("a/b", "a/c", "z"))
        == known
    )


BAD_PATHS = [
    "",
    "/etc/passwd",
    "../up",
    "a/../b",
    "a/./b",
    ".",
    "..",
    "a//b",
    "a/",
    "nul\0",
    "line\nend",
    "\x7f",
    "n" * 256,
    "/".join(["part"] * 300),
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_paths_that_lead_out_or_cannot_be_are_refused(path: str) -> None:  # CON-8
    assert code_of(bd.encode_manifest, tree(path)) == "bad_path"
    row = [path, 3, False, bytes(root_of(path))]
    assert (
        code_of(bd.decode_manifest, canonical.encode({1: [row], 2: []}), entries(path), ref(path))
        == "bad_path"
    )
    assert code_of(bd.encode_manifest, tree(directories=(path,))) == "bad_path"


@pytest.mark.parametrize("path", ["a b", "ünï", "...", "..a", "back\\slash", "n" * 255, "\u00a0"])
def test_odd_but_possible_paths_are_taken(path: str) -> None:
    assert bd.encode_manifest(tree(path))


@pytest.mark.parametrize(
    "impossible",
    [
        tree("b", "a"),
        tree("a", "a"),
        tree("a", "a/b"),
        tree("a", directories=("a",)),
        tree("a", directories=("a/b",)),
        tree("a/b", directories=("a",)),
        tree(directories=("b", "a")),
    ],
    ids=[
        "unsorted",
        "twice",
        "file and directory",
        "both",
        "below a file",
        "implied",
        "directories unsorted",
    ],
)
def test_paths_that_cannot_all_be_are_refused(impossible: BundleTree) -> None:  # CON-8
    assert code_of(bd.encode_manifest, impossible) == "bad_path"


def test_a_lone_surrogate_is_no_path() -> None:
    assert code_of(bd.check_path, "\udcff") == "bad_path"


def test_the_list_of_another_bundle_is_refused() -> None:  # CON-9
    listed = bd.encode_manifest(tree("a", "b"))
    assert code_of(bd.decode_manifest, listed, entries("a", "c"), ref("a", "b")) == "bundle_mismatch"
    assert code_of(bd.decode_manifest, listed, entries("a"), ref("a", "b")) == "bundle_mismatch"
    assert code_of(bd.decode_manifest, listed, entries("a", "b"), ref("a")) == "bundle_mismatch"
    assert code_of(bd.decode_manifest, listed, entries("a", "b"), ref("a", "b", size=5)) == "bundle_mismatch"


ROW = ["a", 3, False, bytes(root_of("a"))]
MALFORMED = {
    "no map": [],
    "a field too many": {1: [], 2: [], 3: 0},
    "no directories": {1: []},
    "a row that is short": {1: [ROW[:3]], 2: []},
    "a size below zero": {1: [["a", -1, False, ROW[3]]], 2: []},
    "a size that is a bool": {1: [["a", True, False, ROW[3]]], 2: []},
    "a size past the bound": {1: [["a", 1 << 43, False, ROW[3]]], 2: []},
    "a number as a path": {1: [[1, 3, False, ROW[3]]], 2: []},
    "a number as a directory": {1: [], 2: [1]},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_list_is_malformed(name: str) -> None:  # CON-7
    data = canonical.encode(MALFORMED[name])
    assert code_of(bd.decode_manifest, data, entries("a"), ref("a")) == "malformed"


def test_a_row_with_another_kind_of_cid_is_refused() -> None:
    data = canonical.encode({1: [["a", 3, False, bytes(36)]], 2: []})
    assert code_of(bd.decode_manifest, data, entries("a"), ref("a")) == "bad_cid"


def root_block(*names: str) -> bytes:
    leaf = raw_leaf(cid_of(RAW, b"x"), 1)
    return encode_directory((name, leaf) for name in names)[1]


def test_roots_are_read_in_the_order_of_their_numbers() -> None:
    names = [str(index) for index in range(12)]
    assert [link.name for link in bd.read_root(root_block("m", *names)).files] == names


@pytest.mark.parametrize("names", [(), ("0",), ("m", "1"), ("m", "00"), ("m", "0", "x"), ("m", "0", "-1")])
def test_what_is_no_root_is_malformed(names: tuple[str, ...]) -> None:  # CON-7
    assert code_of(bd.read_root, root_block(*names)) == "malformed"


def test_a_bundle_has_a_bounded_number_of_files() -> None:
    paths = [f"{index:06}" for index in range(CONTENT_FILES_MAX + 1)]
    assert bd.encode_manifest(tree(*paths[:-1]))
    assert code_of(bd.encode_manifest, tree(*paths)) == "malformed"
    assert len(bd.read_root(root_block("m", *map(str, range(CONTENT_FILES_MAX)))).files) == CONTENT_FILES_MAX
