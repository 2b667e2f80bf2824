"""A tree that mallory's job wrote is read without leaving it, or refused with a code."""

import os
import socket
from pathlib import Path, PurePosixPath

import pytest

from skyops_p2p import limits
from skyops_p2p.adapters.workspace import TreeNote, open_in_tree, walk_tree
from skyops_p2p.errors import ExecutionError

ROOM = {"files_max": 100, "bytes_max": 1000}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("of the host")
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def refusal(root: Path, **room: int) -> str:
    with pytest.raises(ExecutionError) as caught:
        walk_tree(root, **(ROOM | room))
    return caught.value.code


def test_files_and_directories_come_in_order_with_their_sizes(root):
    (root / "b").mkdir()
    (root / "b" / "model.bin").write_bytes(b"12345")
    (root / "b" / "empty").mkdir()
    (root / "a.sh").write_text("x")
    (root / "a.sh").chmod(0o755)
    found = [(str(f.path), f.is_directory, f.size_bytes, f.is_executable) for f in walk_tree(root, **ROOM)]
    assert found == [
        ("a.sh", False, 1, True),
        ("b", True, 0, True),
        ("b/empty", True, 0, True),
        ("b/model.bin", False, 5, False),
    ]


def test_an_empty_directory_yields_nothing(root):
    assert list(walk_tree(root, **ROOM)) == []


def symlink_to_secret(root):
    (root / "x").symlink_to(root.parent / "secret")


def symlink_upwards(root):
    (root / "x").symlink_to("..")


def pipe(root):
    os.mkfifo(root / "x")


def unix_socket(root):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "x"))


def device(root):
    if os.geteuid() != 0:
        pytest.skip("only root can make a device node")
    os.mknod(root / "x", 0o20666, os.makedev(1, 3))


def hard_link_out(root):
    (root / "x").hardlink_to(root.parent / "secret")


TRICKS = [symlink_to_secret, symlink_upwards, pipe, unix_socket, device, hard_link_out]


@pytest.mark.parametrize("trick", TRICKS)
def test_what_is_no_file_of_the_tree_refuses_it(root, trick):
    trick(root)
    (root / "good").write_text("y")
    assert refusal(root) == "output_unsafe"


@pytest.mark.parametrize("trick", TRICKS)
def test_what_is_no_file_of_the_tree_is_left_out_with_a_note_on_request(root, trick):
    trick(root)
    (root / "good").write_text("y")
    notes: list[TreeNote] = []
    assert [str(f.path) for f in walk_tree(root, **ROOM, skipped=notes)] == ["good"]
    assert [note.path for note in notes] == ["x"]


def test_hard_links_within_the_tree_are_files(root):
    (root / "one").write_text("same")
    (root / "two").hardlink_to(root / "one")
    assert [f.size_bytes for f in walk_tree(root, **ROOM)] == [4, 4]


def test_a_name_that_is_not_text_refuses_the_tree_and_is_shown_escaped(root):
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\x1b[2J")).write_text("x")
    with pytest.raises(ExecutionError, match=r"\\xff\\x1b\[2J") as caught:
        walk_tree(root, **ROOM)
    assert caught.value.code == "output_unsafe"


def test_names_of_any_language_are_fine(root):
    (root / "Ergebnis größer 结果").write_text("x")
    assert [str(f.path) for f in walk_tree(root, **ROOM)] == ["Ergebnis größer 结果"]


@pytest.mark.parametrize(("count", "is_taken"), [(4, True), (5, True), (6, False)])
def test_entries_are_counted(root, count, is_taken):
    for number in range(count):
        (root / str(number)).mkdir()
    if is_taken:
        assert len(list(walk_tree(root, files_max=5, bytes_max=0))) == count
    else:
        assert refusal(root, files_max=5) == "output_too_many"


@pytest.mark.parametrize(("size", "is_taken"), [(9, True), (10, True), (11, False)])
def test_bytes_are_counted_holes_included(root, size, is_taken):
    with (root / "sparse").open("wb") as file:
        file.truncate(size)
    if is_taken:
        assert [f.size_bytes for f in walk_tree(root, files_max=5, bytes_max=10)] == [size]
    else:
        assert refusal(root, bytes_max=10) == "output_too_large"


@pytest.mark.parametrize(("depth", "is_taken"), [(-2, True), (-1, True), (0, False)])
def test_depth_is_bounded(root, depth, is_taken):
    levels = limits.TREE_DEPTH_MAX + depth
    (root / "/".join("d" * levels)).mkdir(parents=True)
    if is_taken:
        assert len(list(walk_tree(root, **ROOM))) == levels
    else:
        assert refusal(root) == "output_unsafe"


def test_a_root_that_is_a_link_is_refused(root):
    link = root.parent / "link"
    link.symlink_to(root)
    assert refusal(link) == "output_unsafe"


def test_a_root_that_is_gone_is_told_apart(root):
    assert refusal(root / "nothing") == "output_changed"


def test_a_file_is_opened_by_its_path(root):
    (root / "a").mkdir()
    (root / "a" / "b").write_text("text")
    with open_in_tree(root, PurePosixPath("a/b")) as file:
        assert file.read() == b"text"


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "", "a/../../secret"])
def test_paths_that_lead_out_are_not_opened(root, path):
    with pytest.raises(ExecutionError) as caught:
        open_in_tree(root, PurePosixPath(path))
    assert caught.value.code == "output_unsafe"


def test_a_file_swapped_for_a_link_after_the_look_is_not_opened(root):
    (root / "x").write_text("harmless")
    [file] = walk_tree(root, **ROOM)
    (root / "x").unlink()
    symlink_to_secret(root)
    with pytest.raises(ExecutionError) as caught:
        open_in_tree(root, file.path)
    assert caught.value.code == "output_unsafe"


def test_a_directory_swapped_for_a_link_after_the_look_is_not_entered(root):
    (root / "d").mkdir()
    (root / "d" / "secret").write_text("harmless")
    (root / "d").rename(root / "e")
    (root / "d").symlink_to(root.parent)
    with pytest.raises(ExecutionError) as caught:
        open_in_tree(root, PurePosixPath("d/secret"))
    assert caught.value.code == "output_unsafe"


def test_a_file_swapped_for_a_pipe_does_not_block(root):
    pipe(root)
    with pytest.raises(ExecutionError) as caught:
        open_in_tree(root, PurePosixPath("x"))
    assert caught.value.code == "output_unsafe"


def test_a_file_that_vanished_is_told_apart(root):
    with pytest.raises(ExecutionError) as caught:
        open_in_tree(root, PurePosixPath("x"))
    assert caught.value.code == "output_changed"
