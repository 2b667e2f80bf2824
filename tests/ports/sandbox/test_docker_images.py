"""How images that a node has brought into the engine go again, on a real engine; those of its operator never do."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import trio

from skyops_p2p.adapters.docker import open_docker_sandbox
from skyops_p2p.adapters.docker.image_cache import RECORD, read_record
from skyops_p2p.adapters.docker.sandbox import DockerSandbox
from tests.ports.sandbox import docker_box
from tests.ports.sandbox.box import DEADLINE_S
from tests.ports.sandbox.conftest import skip_unless_there
from tests.ports.sandbox.rootfs import write_image

MIB = 1 << 20
HOUR_S = 3600.0


class Shelf:
    """A docker sandbox whose images are of a MiB each, over a clock that tests move."""

    def __init__(self, sandbox: DockerSandbox, box: docker_box.Box, folder: Path) -> None:
        self.sandbox = sandbox
        self.client = docker.APIClient(base_url=sandbox._engine.address, version="1.41")
        self.now = 1_000_000.0
        self._box = box
        self._folder = folder
        sandbox._cache._now = lambda: self.now
        self.bound(5)

    def bound(self, half_mib: int) -> None:
        self.sandbox._cache._bytes_max = half_mib * MIB // 2

    def write(self, name: str) -> tuple[Path, str]:
        """Write an archive of an image that nobody else has; return it and its id."""
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            entry = tarfile.TarInfo(name)
            entry.size = MIB
            tar.addfile(entry, io.BytesIO(os.urandom(MIB)))
        archive = self._folder / f"{name}.tar"
        return archive, write_image(archive, layer.getvalue(), architecture="amd64")

    async def prepare(self, archive: Path, *, after_s: float = HOUR_S) -> None:
        self.now += after_s
        spec = self._box.spec("", image_archive=archive)
        with trio.fail_after(DEADLINE_S):
            await self.sandbox.prepare(spec, progress=lambda done, total: None)

    def present(self, *images: str) -> list[bool]:
        here = set(self.client.images(quiet=True))
        return [image in here for image in images]


@pytest.fixture
async def shelf(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shelf]:  # type: ignore[misc]
    skip_unless_there("docker", docker_box.missing())
    engine = request.getfixturevalue("engine")
    async with docker_box.open_box(tmp_path, engine) as box:
        assert isinstance(box.sandbox, DockerSandbox)
        shelf = Shelf(box.sandbox, box, tmp_path)
        try:
            yield shelf
        finally:
            shelf.client.close()


async def test_the_least_recently_used_goes_first(shelf: Shelf, tmp_path: Path) -> None:
    (a, a_id), (b, b_id), (c, c_id) = map(shelf.write, "abc")
    await shelf.prepare(a)
    await shelf.prepare(b)
    await shelf.prepare(a)
    assert shelf.present(a_id, b_id) == [True, True]
    await shelf.prepare(c)
    assert shelf.present(a_id, b_id, c_id) == [True, False, True]
    assert {one.id for one in read_record(tmp_path / "data" / RECORD)} == {a_id, c_id}
    await shelf.prepare(b)  # it comes back, and another goes
    assert shelf.present(a_id, b_id, c_id) == [False, True, True]


async def test_an_image_that_was_wanted_of_late_stays_whatever_it_takes(shelf: Shelf) -> None:
    shelf.bound(1)
    (a, a_id), (b, b_id) = map(shelf.write, "ab")
    await shelf.prepare(a)
    await shelf.prepare(b, after_s=60.0)
    assert shelf.present(a_id, b_id) == [True, True]


async def test_what_the_operator_had_before_is_never_removed(shelf: Shelf, tmp_path: Path) -> None:
    shelf.bound(0)
    (own, own_id), (a, a_id), (b, _) = map(shelf.write, ("own", "a", "b"))
    for _ in shelf.client.load_image(own.read_bytes()):
        pass
    await shelf.prepare(own)
    await shelf.prepare(a)
    await shelf.prepare(b)
    assert shelf.present(own_id, a_id) == [True, False]
    assert own_id not in {one.id for one in read_record(tmp_path / "data" / RECORD)}


async def test_what_the_operator_has_named_or_uses_is_not_removed(shelf: Shelf, tmp_path: Path) -> None:
    (named, named_id), (used, used_id), (c, c_id) = map(shelf.write, ("named", "used", "c"))
    await shelf.prepare(named)
    await shelf.prepare(used)
    shelf.client.tag(named_id, "operators/own", "1")
    container = shelf.client.create_container(used_id, command=["/used"])
    try:
        shelf.bound(0)
        await shelf.prepare(c)
        assert shelf.present(named_id, used_id, c_id) == [True, True, True]
        noted = {one.id for one in read_record(tmp_path / "data" / RECORD)}
        assert noted == {used_id, c_id}  # the named one is the operator's from now on
    finally:
        shelf.client.remove_container(container, force=True)
    shelf.now += HOUR_S
    await shelf.sandbox.reap()
    assert shelf.present(named_id, used_id, c_id) == [True, False, False]
    shelf.client.remove_image("operators/own:1")


async def test_a_lowered_setting_is_kept_at_the_next_start_by_the_same_node_alone(
    shelf: Shelf, tmp_path: Path
) -> None:
    (a, a_id), (b, b_id) = map(shelf.write, "ab")
    await shelf.prepare(a)
    await shelf.prepare(b)
    other = await open_docker_sandbox(
        tmp_path / "elsewhere", address=shelf.sandbox._engine.address, images_gib=1
    )
    assert other is not None
    other._cache._bytes_max = 0
    await other.reap()
    other.close()
    assert shelf.present(a_id, b_id) == [True, True]
    shelf.bound(2)
    shelf.now += HOUR_S
    await shelf.sandbox.reap()
    assert shelf.present(a_id, b_id) == [False, True]


async def test_an_image_that_somebody_else_removed_is_not_counted(shelf: Shelf, tmp_path: Path) -> None:
    (a, a_id), (b, b_id), (c, c_id) = map(shelf.write, "abc")
    await shelf.prepare(a)
    await shelf.prepare(b)
    shelf.client.remove_image(a_id)
    await shelf.prepare(c)
    assert shelf.present(b_id, c_id) == [True, True]
    assert {one.id for one in read_record(tmp_path / "data" / RECORD)} == {b_id, c_id}


@pytest.mark.parametrize("content", [b"", b"{", b'[{"id": 1}]', b'{"id": "x"}', b"\xff"])
def test_a_record_that_cannot_be_read_names_no_image(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RECORD).write_bytes(content)
    assert read_record(tmp_path / RECORD) == []
