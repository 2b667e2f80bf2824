"""What only the docker runtime does: images, GPUs, engines that cannot what is asked of them."""

import contextlib
import gc
import hashlib
import json
import socket
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trio

from skyops_p2p.adapters.docker import open_docker_sandbox
from skyops_p2p.adapters.docker.container import container_config
from skyops_p2p.errors import ExecutionError
from skyops_p2p.ports import ExitKind, Limit
from tests.ports.sandbox import docker_box
from tests.ports.sandbox.box import DEADLINE_S
from tests.ports.sandbox.conftest import skip_unless_there
from tests.ports.sandbox.rootfs import python_image, python_tree, write_image

ABSENT_ID = "sha256:" + "0" * 64


@pytest.fixture
async def box(tmp_path, request):
    skip_unless_there("docker", docker_box.missing())
    async with docker_box.open_box(tmp_path, request.getfixturevalue("engine")) as opened:
        yield opened


async def refusal(box, spec) -> str:
    with trio.fail_after(DEADLINE_S), pytest.raises(ExecutionError) as caught:
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
    assert caught.value.hint or caught.value.code in ("image_missing", "wrong_architecture")
    return caught.value.code


async def test_an_image_from_a_tar_is_loaded_with_progress_and_found_again_by_its_id(box, tmp_path):
    layer = python_tree().read_bytes()
    archive = tmp_path / "image.tar"
    image_id = write_image(archive, layer + bytes(10240), architecture="amd64")  # a longer end: another image
    steps: list[tuple[int, int]] = []
    spec = box.spec("print('hello')", image_archive=archive)
    with trio.fail_after(DEADLINE_S):
        await box.sandbox.prepare(spec, progress=lambda done, total: steps.append((done, total)))
        assert steps[-1] == (archive.stat().st_size,) * 2
        by_id = replace(spec, image_archive=None, image=image_id, name="by-id")
        assert (await box.run_spec(by_id)).text == "hello\n"


async def test_a_missing_image_is_told(box):
    assert await refusal(box, box.spec("", image_archive=None, image=ABSENT_ID)) == "image_missing"
    assert (
        await refusal(box, box.spec("", image_archive=None, image="127.0.0.1:1/no/such:1")) == "image_missing"
    )
    assert await refusal(box, box.spec("", image_archive=None, image="")) == "image_missing"
    assert await refusal(box, box.spec("", image_archive=box.folder / "no.tar")) == "image_missing"


async def test_an_image_that_was_not_prepared_does_not_start(box):
    with pytest.raises(ExecutionError) as caught:
        async with box.sandbox.start(box.spec("", image_archive=None, image=ABSENT_ID)):
            pytest.fail("it started")
    assert caught.value.code == "image_missing"


@pytest.mark.parametrize("image", ["skyops/x@sha256:12", "skyops/x@md5:" + "0" * 64, "sha256:xyz"])
async def test_what_is_no_digest_is_wrong(box, image):
    assert await refusal(box, box.spec("", image_archive=None, image=image)) == "image_digest_wrong"


async def test_a_tar_that_is_another_image_than_named_is_wrong(box):
    assert await refusal(box, box.spec("", image=ABSENT_ID)) == "image_digest_wrong"


async def test_a_tar_that_is_no_image_is_told(box, tmp_path):
    nonsense = tmp_path / "nonsense.tar"
    nonsense.write_bytes(b"no tar at all" * 1000)
    assert await refusal(box, box.spec("", image_archive=nonsense)) == "image_invalid"
    assert await refusal(box, box.spec("", image_archive=python_tree())) == "image_invalid"


async def test_an_image_for_another_processor_is_refused(box, tmp_path):
    archive = tmp_path / "foreign.tar"
    write_image(archive, python_tree().read_bytes()[:1024] + bytes(1024), architecture="s390x")
    assert await refusal(box, box.spec("", image_archive=archive)) == "wrong_architecture"


async def test_a_gpu_that_the_engine_cannot_give_stops_the_start(box):
    spec = box.spec("print('ran')", gpus=("GPU-00000000-0000-0000-0000-000000000000",))
    with trio.fail_after(DEADLINE_S):
        await box.sandbox.prepare(spec, progress=lambda done, total: None)
        with pytest.raises(ExecutionError) as caught:
            async with box.sandbox.start(spec):
                pytest.fail("it started without its GPU")
    assert caught.value.code == "gpu_unavailable"
    assert await box.sandbox.reap() == 0


async def test_volumes_of_an_image_are_small_and_in_memory(box):
    config = container_config(
        box.spec(""), ABSENT_ID, owner="x", user="1:1", runtime_class="", volumes=("/var/lib/data", "/out")
    )
    assert set(config["HostConfig"]["Tmpfs"]) == {"/tmp", "/var/lib/data"}
    assert config["HostConfig"]["LogConfig"] == {"Type": "none", "Config": {}}


async def test_an_empty_command_runs_what_the_image_names(box):
    archive, _ = python_image()
    done = await box.run_spec(box.spec("", command=(), image_archive=archive))
    assert (done.end.kind, done.end.exit_code) == (ExitKind.EXITED, 0)  # Python without input


class Registry(ThreadingHTTPServer):
    """A registry of one image; with `lies` it serves another manifest than it is asked for."""

    daemon_threads = True

    def __init__(self, manifest: bytes, blobs: dict[str, bytes], *, lies: bool) -> None:
        self.manifest, self.blobs, self.lies = manifest, blobs, lies
        super().__init__(("127.0.0.1", 0), _Serves)


class _Serves(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Registry)
        kind, body = "application/octet-stream", b""
        if "/manifests/" in self.path:
            kind = "application/vnd.docker.distribution.manifest.v2+json"
            body = server.manifest + (b" " if server.lies else b"")
        elif "/blobs/" in self.path:
            body = server.blobs[self.path.rpartition("/")[2]]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if "/manifests/" in self.path and not server.lies:
            self.send_header("Docker-Content-Digest", digest(body))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the name that the base class looks for

    def log_message(self, *_: object) -> None:
        pass


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@contextlib.contextmanager
def registry(*, lies: bool, text: bytes):
    layer = python_tree().read_bytes() + text.ljust(10240, b"\0")
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PYTHONHOME=/usr/local"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": len(config),
                "digest": digest(config),
            },
            "layers": [
                {
                    "mediaType": "application/vnd.docker.image.rootfs.diff.tar",
                    "size": len(layer),
                    "digest": digest(layer),
                }
            ],
        }
    ).encode()
    server = Registry(manifest, {digest(config): config, digest(layer): layer}, lies=lies)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}/test/python@{digest(manifest)}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_an_image_is_pulled_by_its_digest_with_progress(box):
    steps: list[tuple[int, int]] = []
    with registry(lies=False, text=b"pulled") as name:
        spec = box.spec("print('pulled')", image_archive=None, image=name)
        with trio.fail_after(DEADLINE_S):
            await box.sandbox.prepare(spec, progress=lambda done, total: steps.append((done, total)))
    assert steps, "nobody heard of the download"
    assert all(0 <= done <= total for done, total in steps)
    assert (await box.run_spec(spec)).text == "pulled\n"  # the registry is gone: it is cached


async def test_a_registry_that_serves_other_bytes_is_found_out(box):
    with registry(lies=True, text=b"lies") as name:
        assert await refusal(box, box.spec("", image_archive=None, image=name)) == "image_digest_wrong"


async def test_everything_is_enforced_by_this_engine(box):
    assert box.sandbox.enforces == frozenset(Limit)


async def test_an_engine_that_is_not_there_or_elsewhere_is_none(tmp_path):
    assert await open_docker_sandbox(tmp_path, address=f"unix://{tmp_path}/nobody.sock") is None
    assert await open_docker_sandbox(tmp_path, address="tcp://127.0.0.1:1") is None


async def test_gvisor_where_there_is_none_is_none(tmp_path, engine):
    if engine.has_gvisor:
        found = await open_docker_sandbox(tmp_path, address=engine.address)
        assert found is not None
        with contextlib.closing(found):
            assert found.is_gvisor, "it is used where it is installed"
    else:
        assert await open_docker_sandbox(tmp_path, address=engine.address, gvisor=True) is None


async def test_a_limit_that_the_engine_cannot_hold_refuses_the_jobs_that_need_it(box, monkeypatch):
    weak = replace(box.sandbox._facts, bounds_memory=False)
    monkeypatch.setattr(box.sandbox, "_facts", weak)
    assert Limit.MEMORY not in box.sandbox.enforces
    assert await refusal(box, box.spec("")) == "limit_not_enforced"
    careless = box.spec("print('ran')", needs=frozenset(Limit) - {Limit.MEMORY})
    assert (await box.run_spec(careless)).text == "ran\n"


async def test_podman_gets_no_jobs_with_gpus(box, monkeypatch):
    monkeypatch.setattr(box.sandbox, "_facts", replace(box.sandbox._facts, is_podman=True))
    assert await refusal(box, box.spec("", gpus=("GPU-1",))) == "not_supported"


class Proxy:
    """A socket before the engine's, which can be cut."""

    def __init__(self, place: Path, engine: str) -> None:
        self._engine = engine.removeprefix("unix://")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(place))
        self._listener.listen()
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self) -> None:
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        for end in (self._listener, *self._ends):
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._engine)
                self._ends += [near, far]
                for source, target in ((near, far), (far, near)):
                    self._threads.append(threading.Thread(target=self._copy, args=(source, target)))
                    self._threads[-1].start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def collected():
    """Collect what docker-py leaves open when it cannot connect (a socket each time), here and not at the end."""
    yield
    gc.collect()


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.usefixtures("collected")
async def test_an_engine_that_goes_away_is_told_and_its_container_is_reaped_later(
    box, engine, tmp_path, request
):
    place = tmp_path / "proxy.sock"
    proxy = Proxy(place, engine.address)
    request.addfinalizer(proxy.cut)
    sandbox = await open_docker_sandbox(tmp_path / "data", address=f"unix://{place}", gvisor=False)
    assert sandbox is not None
    with contextlib.closing(sandbox):
        spec = box.spec("print('begun', flush=True)\nwhile True: pass")
        with trio.fail_after(2 * DEADLINE_S):
            await sandbox.prepare(spec, progress=lambda done, total: None)
            async with sandbox.start(spec) as running:
                await running.output.receive()
                await trio.to_thread.run_sync(proxy.cut)
                assert (await running.wait()).kind is ExitKind.LOST
            with pytest.raises(ExecutionError) as caught:
                await sandbox.prepare(spec, progress=lambda done, total: None)
            assert caught.value.code == "runtime_unavailable"
            assert await box.sandbox.reap() == 1
            assert await box.sandbox.reap() == 0
