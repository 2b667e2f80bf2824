"""Runtimes are reported when they really answer: against a scripted engine, and scripted programs on PATH."""

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler

import pytest

from skyops_p2p import limits
from skyops_p2p.adapters.hardware import DeclaredHardwareProbe, NvmlHardwareProbe, runtimes
from skyops_p2p.adapters.hardware.runtimes import find_docker, find_native, find_wasm
from skyops_p2p.ports import Gpu, Runtime

HARD = {"ServerVersion": "27.1.2", "MemoryLimit": True, "PidsLimit": True, "CpuCfsQuota": True}


class Engine(socketserver.ThreadingUnixStreamServer):
    """A container engine's HTTP API on a socket; `answer` is what /info says."""

    daemon_threads = True

    def __init__(self, path, answer):
        self.answer = answer
        self.is_released = threading.Event()
        super().__init__(str(path), _Answers)


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.server.answer == "silence":
            self.server.is_released.wait(30)
            return
        body = {"ApiVersion": "1.41"} if self.path.endswith("/version") else self.server.answer
        raw = b"<html>" if body == "garbage" else json.dumps(body).encode()
        self.send_response(500 if body == "failure" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass

    def address_string(self):
        return "socket"


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """Start an engine with a given answer and point the environment at it."""
    started = []

    def start(answer):
        server = Engine(tmp_path / "engine.sock", answer)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        started.append(server)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'engine.sock'}")

    yield start
    for server in started:
        server.is_released.set()
        server.shutdown()
        server.server_close()


def test_an_engine_that_enforces_everything_is_hard(engine):
    engine(HARD)
    assert find_docker() == Runtime("docker", "27.1.2", "hard")


@pytest.mark.parametrize("missing", ["MemoryLimit", "PidsLimit", "CpuCfsQuota"])
def test_an_engine_that_lacks_a_limit_is_soft(engine, missing):
    engine(HARD | {missing: False})
    assert find_docker() == Runtime("docker", "27.1.2", "soft")


@pytest.mark.parametrize("answer", ["garbage", "failure", [1]])
def test_an_engine_that_answers_nonsense_is_absent(engine, answer):
    engine(answer)
    assert find_docker() is None


def test_an_engine_that_never_answers_is_absent(engine, monkeypatch):
    monkeypatch.setattr(limits, "ENGINE_TIMEOUT_S", 1)
    engine("silence")
    assert find_docker() is None


def test_a_socket_without_an_engine_is_absent(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'nobody.sock'}")
    assert find_docker() is None
    monkeypatch.setenv("DOCKER_HOST", "nonsense://")
    assert find_docker() is None


def test_without_a_socket_no_engine_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(runtimes, "DOCKER_SOCKET", tmp_path / "docker.sock")
    assert find_docker() is None


def program(folder, text):
    path = folder / "bwrap"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(("has_hard_limits", "expected"), [(True, "hard"), (False, "soft")])
def test_a_sandbox_that_starts_is_present(tmp_path, monkeypatch, has_hard_limits, expected):
    program(tmp_path, "echo bubblewrap 0.8.0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find_native(has_hard_limits=has_hard_limits) == Runtime("native", "0.8.0", expected)


@pytest.mark.parametrize("text", ["exit 1", "printf '\\377'", "exec /nowhere/at/all"])
def test_a_sandbox_that_does_not_start_is_absent(tmp_path, monkeypatch, text):
    program(tmp_path, text)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find_native(has_hard_limits=True) is None


def test_a_sandbox_that_hangs_is_absent(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "ENGINE_TIMEOUT_S", 0.2)
    program(tmp_path, "exec tail -f /dev/null")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find_native(has_hard_limits=True) is None


def test_no_sandbox_program_is_absent(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_native(has_hard_limits=True) is None


def test_the_embedded_runtime_is_found_by_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda _name: None)
    assert find_wasm() is None
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda _name: object())
    monkeypatch.setattr(runtimes.importlib.metadata, "version", lambda _name: "50.0.0")
    assert find_wasm() == Runtime("wasm", "50.0.0", "hard")


async def test_declared_gpus_stand_on_the_real_machine_and_are_marked(tmp_path):
    real = await NvmlHardwareProbe(tmp_path).probe()
    declared = await DeclaredHardwareProbe(("A100:80", "RTX 4090:24"), NvmlHardwareProbe(tmp_path)).probe()
    assert declared.source == "declared"
    assert declared.gpus == (Gpu("A100", 80 * 1024, "", ""), Gpu("RTX 4090", 24 * 1024, "", ""))
    assert (declared.driver, declared.cuda) == ("", "")
    assert (declared.cpu_model, declared.cpu_cores) == (real.cpu_model, real.cpu_cores)


async def test_declared_cores_are_marked_and_leave_the_rest_as_it_is(tmp_path):
    probe = NvmlHardwareProbe(tmp_path)
    real = await probe.probe()
    declared = await DeclaredHardwareProbe((), probe, cpu_cores=1024).probe()
    assert (declared.source, declared.cpu_cores) == ("declared", 1024)
    assert (declared.gpus, declared.driver, declared.memory_mib) == (
        real.gpus,
        real.driver,
        real.memory_mib,
    )
