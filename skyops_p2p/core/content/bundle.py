"""A bundle: an encrypted directory tree under one CID.

Each file is sealed in chunks, and its blocks are a UnixFS file of ciphertext. The list of files is sealed the same way.
The bundle's root is a UnixFS directory that names the list "m" and the files "0", "1", …: whoever has the CID can
fetch, check, pin and serve all of it, an IPFS node included, and learns sizes and how many files there are, not more.
Spec: protocol/05b-content.md, "Bundle".
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from skyops_p2p.crypto.chunks import chunk_count
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.limits import (
    CONTENT_FILES_MAX,
    CONTENT_MANIFEST_BYTES_MAX,
    CONTENT_OBJECT_BYTES_MAX,
    CONTENT_PATH_BYTES_MAX,
)
from skyops_p2p.wire import canonical
from skyops_p2p.wire.cid import Cid, decode_cid
from skyops_p2p.wire.dag_pb import Link
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.unixfs import decode_directory

MANIFEST_NAME = "m"
NAME_BYTES_MAX = 255
"""One component of a path, as file systems have it."""


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One file as the sealed list has it."""

    path: str
    """Relative, with "/" between its parts."""
    size_bytes: int
    """Of the plaintext."""
    is_executable: bool
    root: Cid
    """The UnixFS file of its ciphertext."""

    @property
    def chunks(self) -> int:
        """How many sealed chunks it has."""
        return chunk_count(self.size_bytes)


@dataclass(frozen=True, slots=True)
class BundleTree:
    """What the sealed list says."""

    files: tuple[BundleFile, ...]
    """Sorted by the bytes of their paths."""
    directories: tuple[str, ...]
    """Directories that hold nothing, sorted; all others follow from the files."""


@dataclass(frozen=True, slots=True)
class BundleEntries:
    """What a bundle's root says without a key."""

    manifest: Link
    files: tuple[Link, ...]


def encode_manifest(tree: BundleTree) -> bytes:
    """Encode the list of files, which must be sorted.

    Raises:
        LocalProtocolError: Too many or too long, an impossible path (`bad_path`), or two that cannot both be.

    Rules: CON-7, CON-8.
    """
    try:
        _check_paths(tree)
    except RemoteProtocolError as error:
        raise LocalProtocolError(error.message, code=error.code) from error
    rows = [[file.path, file.size_bytes, file.is_executable, bytes(file.root)] for file in tree.files]
    return canonical.encode({1: rows, 2: list(tree.directories)}, items_max=CONTENT_FILES_MAX)


def decode_manifest(data: bytes, entries: BundleEntries, ref: BundleRef) -> BundleTree:
    """Decode the list of files and hold it against the bundle's root and reference.

    Raises:
        RemoteProtocolError: `malformed`, `bad_path` (absolute, "..", doubled, a file where a directory must be), or
            `bundle_mismatch`: it is not the list of this bundle.

    Rules: CON-7, CON-8, CON-9.
    """
    value = canonical.decode(data, bytes_max=CONTENT_MANIFEST_BYTES_MAX, items_max=CONTENT_FILES_MAX)
    match value:
        case {1: list(rows), 2: list(directories)} if len(value) == 2:
            if not all(type(path) is str for path in directories):
                raise _malformed()
        case _:
            raise _malformed()
    tree = BundleTree(tuple([_file(row) for row in rows]), tuple(directories))
    _check_paths(tree)
    is_same = len(tree.files) == len(entries.files) == ref.files
    is_same = is_same and sum(file.size_bytes for file in tree.files) == ref.size_bytes
    pairs = zip(entries.files, tree.files, strict=False)
    if not is_same or any(link.cid != file.root for link, file in pairs):  # CON-9
        raise RemoteProtocolError(
            "the list of files is another bundle's", code="bundle_mismatch", rule="CON-9"
        )
    return tree


def entry_name(index: int) -> str:
    """Return the name of a file in the bundle's root."""
    return str(index)


def read_root(block: bytes) -> BundleEntries:
    """Read the root of a bundle.

    Raises:
        RemoteProtocolError: `malformed`: no directory of "m" and "0" to "n-1".

    Rules: CON-7.
    """
    entries = decode_directory(block)
    manifest = entries.pop(MANIFEST_NAME, None)
    files = [entries.get(entry_name(index)) for index in range(len(entries))]
    found = tuple(link for link in files if link is not None)
    if manifest is None or len(found) != len(entries) or len(found) > CONTENT_FILES_MAX:
        raise RemoteProtocolError("not the root of a bundle", code="malformed", rule="CON-7")
    return BundleEntries(manifest, found)


def check_path(path: str) -> None:
    """Check one path of a bundle.

    Raises:
        RemoteProtocolError: Code `bad_path`: absolute, empty, too long, with ".", ".." or an empty part, or with a
            control character.

    Rules: CON-8.
    """
    try:
        parts = path.encode().split(b"/")
    except UnicodeEncodeError as error:
        raise _bad_path() from error
    is_long = len(path.encode()) > CONTENT_PATH_BYTES_MAX or any(len(part) > NAME_BYTES_MAX for part in parts)
    is_odd = any(part in (b"", b".", b"..") for part in parts) or any(
        char < " " or char == "\x7f" for char in path
    )
    if is_long or is_odd:
        raise _bad_path()


def _check_paths(tree: BundleTree) -> None:
    """Check all paths, their order, and that none is twice there or both a file and a directory. Rules: CON-8."""
    if len(tree.files) > CONTENT_FILES_MAX or len(tree.directories) > CONTENT_FILES_MAX:
        raise RemoteProtocolError("too many files for a bundle", code="malformed", rule="CON-7")
    files, directories = [file.path for file in tree.files], list(tree.directories)
    above: set[str] = set()
    for path in (*files, *directories):
        check_path(path)
        parts = path.split("/")
        above.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    taken = {*files, *directories}
    is_sorted = _is_ascending(files) and _is_ascending(directories)
    if not is_sorted or len(taken) != len(files) + len(directories) or taken & above:
        raise _bad_path()


def _is_ascending(paths: Sequence[str]) -> bool:
    keys = [path.encode() for path in paths]
    return all(first < second for first, second in itertools.pairwise(keys))


def _file(row: object) -> BundleFile:
    match row:
        case [str(path), int(size), bool(is_executable), bytes(cid)] if type(size) is int:
            if 0 <= size <= CONTENT_OBJECT_BYTES_MAX:
                return BundleFile(path, size, is_executable, decode_cid(cid))
    raise _malformed()


def _malformed() -> RemoteProtocolError:
    return RemoteProtocolError("not a list of files", code="malformed", rule="CON-7")


def _bad_path() -> RemoteProtocolError:
    return RemoteProtocolError("a path that no bundle may have", code="bad_path", rule="CON-8")
