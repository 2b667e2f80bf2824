"""Each thing that can be wrong is found, told apart, and comes with its remedy."""

import json
import os
import re
import resource
import socket
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from skyops_p2p import limits
from skyops_p2p.adapters.docker.image_cache import RECORD
from skyops_p2p.adapters.sqlite import STORE_FILE_NAME, open_sqlite_store
from skyops_p2p.adapters.system import SystemEntropy
from skyops_p2p.config import NodeConfig, load_config
from skyops_p2p.node import doctor_machine, doctor_network, doctor_state
from skyops_p2p.node.doctor import examine
from skyops_p2p.node.finding import Finding
from skyops_p2p.node.identity import create_identity
from skyops_p2p.node.keystore import KDF_WORK_MIN
from skyops_p2p.ports import Gpu, Hardware, Runtime

PEER = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
UNLOCKED = {"SKYOPS_WALLET_PASSPHRASE": "pass"}
HARDWARE = Hardware("none", (), "", "", "AMD EPYC", 8, 16_384, 100_000, ())


@pytest.fixture
async def data_dir(tmp_path):
    path = tmp_path / "alice"
    await create_identity(path, passphrase="pass", entropy=SystemEntropy(), kdf_work=KDF_WORK_MIN)
    return path


def settings(data_dir: Path, **flags: object) -> NodeConfig:
    named = {"network.listen": ("/ip4/127.0.0.1/tcp/0",)} | {
        name.replace("__", "."): flags[name] for name in flags
    }
    return load_config(data_dir, file=None, environment={}, flags=named)[0]


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


@contextmanager
def listening_socket():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


async def test_a_sound_node_has_nothing_failing(data_dir):
    findings = await examine(settings(data_dir, is_testnet=True), environment=UNLOCKED)
    assert [finding.name for finding in findings if finding.status == "fail"] == []
    assert [finding.name for finding in findings] == [
        "Python", "libp2p", "settings", "data directory", "node key", "wallet", "store", "clock", "disk", "memory",
        "open file limit", "processor", "GPU", "runtime wasm", "runtime docker", "runtime native", "port",
        "reachable address", "IPv6", "mDNS", "bootstrap peers", "payment",
    ]  # fmt: skip
    for finding in findings:
        assert finding.found
        assert bool(finding.mend) == (finding.status != "ok")


async def test_whose_settings_they_are_is_said(data_dir):
    config = settings(data_dir, is_testnet=True, network__name="testnet-x")
    for is_running in (True, False):
        told = await examine(config, environment=UNLOCKED, is_running=is_running)
        found = next(one for one in told if one.name == "settings")
        assert (found.status, "running node" in found.found) == ("ok", is_running)
    async with open_sqlite_store(data_dir / STORE_FILE_NAME):
        held = only(doctor_state.check_settings(config, is_running=False))
    assert (held.status, "testnet-x" in held.found) == ("warn", True)


async def test_an_empty_directory_is_told_to_init_and_stays_empty(tmp_path):
    data_dir = tmp_path / "nobody"
    findings = {finding.name: finding for finding in await examine(settings(data_dir), environment={})}
    assert findings["data directory"].status == "fail"
    assert "skyops init" in findings["data directory"].mend
    assert findings["node key"].status == findings["wallet"].status == "fail"
    assert findings["store"].status == "ok"
    assert not data_dir.exists()


def test_an_old_python_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 9, "final", 0))
    assert only(doctor_machine.check_python()) == Finding(
        "Python", "fail", "3.10.9", "Install Python 3.11 or newer."
    )


@pytest.mark.parametrize("version", ["0.8.0", "0.9.0"])
def test_an_unknown_libp2p_is_refused(monkeypatch, version):
    monkeypatch.setattr(doctor_machine.importlib.metadata, "version", lambda _name: version)
    finding = only(doctor_machine.check_libp2p())
    assert finding.status == "fail"
    assert version in finding.found


def test_the_libp2p_versions_known_to_doctor_and_adapter_are_the_same():
    source = Path(doctor_machine.__file__).parents[1] / "adapters" / "libp2p" / "patches.py"
    assert re.findall(r'^LIBP2P_VERSION = "(.+)"$', source.read_text(), re.MULTILINE) == list(
        doctor_machine.LIBP2P_KNOWN
    )


@pytest.mark.parametrize(
    ("mode", "status"), [(0o700, "ok"), (0o755, "warn"), (0o770, "fail"), (0o702, "fail")]
)
def test_a_directory_open_to_others_is_seen(tmp_path, mode, status):
    tmp_path.chmod(mode)
    finding = only(doctor_state.check_data_dir(settings(tmp_path)))
    assert finding.status == status
    assert finding.mend == ("" if status == "ok" else f"chmod 700 {tmp_path}")


def test_a_file_in_place_of_the_directory_is_seen(tmp_path):
    (tmp_path / "file").write_text("")
    assert only(doctor_state.check_data_dir(settings(tmp_path / "file"))).found.endswith("is not a directory")


async def test_an_exposed_key_comes_with_its_remedy(data_dir):
    (data_dir / "node.key").chmod(0o644)
    finding = only(doctor_state.check_node_key(settings(data_dir)))
    assert finding.status == "fail"
    assert finding.mend.startswith(f"chmod 600 {data_dir / 'node.key'}")


@pytest.mark.parametrize(
    ("environment", "status", "text"),
    [
        (UNLOCKED, "ok", "0x"),
        ({"SKYOPS_WALLET_PASSPHRASE": "wrong"}, "fail", "does not open"),
        ({}, "warn", "no passphrase is set"),
        ({"SKYOPS_WALLET_PASSPHRASE_FILE": "/nowhere"}, "fail", "there is no /nowhere"),
    ],
)
async def test_the_wallet_is_opened_with_what_is_set(data_dir, environment, status, text):
    finding = only(doctor_state.check_wallet(settings(data_dir), environment))
    assert finding.status == status
    assert text in finding.found


@pytest.mark.parametrize(("is_testnet", "status"), [(True, "ok"), (False, "warn")])
async def test_an_empty_passphrase_is_said_outside_test_networks(tmp_path, is_testnet, status):
    await create_identity(tmp_path, passphrase="", entropy=SystemEntropy(), kdf_work=KDF_WORK_MIN)
    finding = only(doctor_state.check_wallet(settings(tmp_path, is_testnet=is_testnet), {}))
    assert finding.status == status


async def test_the_store_is_free_in_use_or_torn(data_dir):
    config = settings(data_dir)
    path = data_dir / STORE_FILE_NAME
    assert doctor_state.running_process(data_dir) is None
    async with open_sqlite_store(path) as store:
        await store.append("peering", "bob", b"x")
        assert doctor_state.running_process(data_dir) == os.getpid()
        assert f"process {os.getpid()}" in only(doctor_state.check_store(config)).found
    before = {file.name: file.read_bytes() for file in data_dir.iterdir()}
    assert "schema 1" in only(doctor_state.check_store(config)).found
    assert {file.name: file.read_bytes() for file in data_dir.iterdir()} == before, "looking changes nothing"
    path.write_bytes(b"")
    assert only(doctor_state.check_store(config)).status == "fail"
    path.write_bytes(b"not a database" * 100)
    finding = only(doctor_state.check_store(config))
    assert finding.status == "fail"
    assert "aside" in finding.mend


@pytest.mark.parametrize("now_s", [0.0, 1_700_000_000.0, 5_000_000_000.0])
def test_an_impossible_clock_fails(tmp_path, monkeypatch, now_s):
    monkeypatch.setattr(doctor_machine.time, "time", lambda: now_s)
    assert only(doctor_machine.check_clock(settings(tmp_path))).status == "fail"


@pytest.mark.parametrize(("ahead_s", "status"), [(119, "ok"), (125, "warn")])
def test_a_clock_behind_our_own_files_is_seen(tmp_path, monkeypatch, ahead_s, status):
    now_s = 1_790_000_000.0
    (tmp_path / "node.key").write_text("")
    os.utime(tmp_path / "node.key", (now_s + ahead_s, now_s + ahead_s))
    monkeypatch.setattr(doctor_machine.time, "time", lambda: now_s)
    monkeypatch.setattr(doctor_machine, "_is_unsynchronized", lambda: False)
    assert only(doctor_machine.check_clock(settings(tmp_path))).status == status


@pytest.mark.parametrize(("is_unsynchronized", "status"), [(True, "warn"), (False, "ok")])
def test_the_kernels_opinion_of_the_clock_counts(tmp_path, monkeypatch, is_unsynchronized, status):
    assert doctor_machine._is_unsynchronized() in (True, False)
    monkeypatch.setattr(doctor_machine, "_is_unsynchronized", lambda: is_unsynchronized)
    assert only(doctor_machine.check_clock(settings(tmp_path))).status == status


@pytest.mark.parametrize(("free_mib", "status"), [(99, "fail"), (100, "warn"), (1023, "warn"), (1024, "ok")])
def test_little_disk_space_is_seen(tmp_path, monkeypatch, free_mib, status):
    usage = type("Usage", (), {"free": free_mib * 2**20})
    monkeypatch.setattr(doctor_machine.shutil, "disk_usage", lambda _path: usage)
    assert only(doctor_machine.check_disk(settings(tmp_path / "not" / "yet"))).status == status


@pytest.mark.parametrize(("free_mib", "status"), [(127, "fail"), (128, "warn"), (511, "warn"), (512, "ok")])
def test_little_memory_is_seen(monkeypatch, free_mib, status):
    memory = type("Memory", (), {"available": free_mib * 2**20})
    monkeypatch.setattr(doctor_machine.psutil, "virtual_memory", lambda: memory)
    assert only(doctor_machine.check_memory()).status == status


@pytest.mark.parametrize(("soft", "status"), [(255, "fail"), (256, "ok"), (resource.RLIM_INFINITY, "ok")])
def test_a_low_file_limit_is_seen(tmp_path, monkeypatch, soft, status):
    monkeypatch.setattr(doctor_machine.resource, "getrlimit", lambda _which: (soft, resource.RLIM_INFINITY))
    assert only(doctor_machine.check_open_files(settings(tmp_path))).status == status


class ScriptedProbe:
    def __init__(self, hardware):
        self._hardware = hardware

    def __call__(self, _data_dir):
        return self

    async def probe(self):
        return self._hardware


async def hardware_findings(monkeypatch, config, **facts):
    probe = ScriptedProbe(Hardware(**{name: getattr(HARDWARE, name) for name in Hardware.__slots__} | facts))
    monkeypatch.setattr(doctor_machine, "NvmlHardwareProbe", probe)
    return {finding.name: finding for finding in await doctor_machine.check_hardware(config)}


@pytest.mark.parametrize(("is_worker", "status"), [(True, "warn"), (False, "ok")])
async def test_absent_engines_and_gpus_matter_to_workers_only(tmp_path, monkeypatch, is_worker, status):
    found = await hardware_findings(monkeypatch, settings(tmp_path, worker__enabled=is_worker))
    for name in ("GPU", "runtime wasm", "runtime docker", "runtime native"):
        assert found[name].status == status


async def test_present_engines_and_gpus_are_named(tmp_path, monkeypatch):
    found = await hardware_findings(
        monkeypatch,
        settings(tmp_path, worker__enabled=True),
        gpus=(Gpu("NVIDIA A100", 81_920, "8.0", "GPU-1"),), driver="550", cuda="12.4",
        runtimes=(Runtime("docker", "27.1", "hard"),),
    )  # fmt: skip
    assert found["GPU"] == Finding("GPU", "ok", "NVIDIA A100 (81920 MiB); driver 550, CUDA 12.4")
    assert found["runtime docker"] == Finding("runtime docker", "ok", "27.1, hard limits")
    assert found["runtime wasm"].status == "ok", "one runtime is enough"


def test_a_worker_is_told_what_its_images_take(tmp_path):
    (found,) = doctor_machine.check_images(settings(tmp_path, worker__enabled=True))
    assert (found.status, found.found) == ("ok", "0 brought by this node, 0.0 of 50 GiB")
    row = {"id": "sha256:aa", "names": [], "size_bytes": 3 << 29, "used_unix_s": 1.0}
    (tmp_path / RECORD).write_text(json.dumps([row, row | {"id": "sha256:bb"}]))
    (found,) = doctor_machine.check_images(settings(tmp_path, worker__enabled=True))
    assert (found.status, found.found) == ("ok", "2 brought by this node, 3.0 of 50 GiB")
    few = settings(tmp_path, worker__enabled=True, worker__docker_images_gib=2)
    (found,) = doctor_machine.check_images(few)
    assert found.status == "warn"
    assert "docker_images_gib" in found.mend
    assert doctor_machine.check_images(settings(tmp_path, worker__enabled=False)) == []


def test_a_worker_is_told_what_a_proof_of_compute_would_run_on(tmp_path, monkeypatch):
    for name in ("cupy", "torch", "numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    (found,) = doctor_machine.check_arithmetic(settings(tmp_path, worker__enabled=True))
    assert (found.name, found.status) == ("proof of compute", "ok")
    assert found.found.startswith("on the processor, in plain Python")
    assert doctor_machine.check_arithmetic(settings(tmp_path, worker__enabled=False)) == []


async def test_a_driver_without_a_device_and_declared_hardware_are_told_apart(tmp_path, monkeypatch):
    found = await hardware_findings(monkeypatch, settings(tmp_path, worker__enabled=True), driver="550")
    assert found["GPU"].found == "driver 550, but no device"
    pretending = settings(tmp_path, is_testnet=True, worker__enabled=True, worker__declared_gpus=("A100:80",))
    found = await hardware_findings(monkeypatch, pretending)
    assert found["GPU"] == Finding("GPU", "ok", "declared for a test network: A100:80")


@pytest.mark.net
def test_a_port_is_free_taken_or_ours(tmp_path):
    with listening_socket() as port:
        config = settings(tmp_path, network__listen=(f"/ip4/127.0.0.1/tcp/{port}",), api__port=port)
        taken = doctor_network.check_ports(config, None)
        ours = doctor_network.check_ports(config, 4711)
    free = doctor_network.check_ports(config, None)
    assert [finding.status for finding in taken] == ["fail", "fail"]
    assert [finding.name for finding in taken] == [f"port {port}", f"API port {port}"]
    assert f"ss -ltnp sport = {port}" in taken[0].mend
    assert [finding.status for finding in ours] == ["ok", "ok"]
    assert "process 4711" in ours[0].found
    assert [finding.status for finding in free] == ["ok", "ok"]


@pytest.mark.net
def test_a_listener_that_shares_its_port_still_counts_as_taken(tmp_path):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"/ip4/127.0.0.1/tcp/{listener.getsockname()[1]}"
        assert (
            only(doctor_network.check_ports(settings(tmp_path, network__listen=(address,)), None)).status
            == "fail"
        )


@pytest.mark.net
def test_an_address_of_another_machine_cannot_be_bound(tmp_path):
    config = settings(tmp_path, network__listen=("/ip4/192.0.2.7/tcp/4711",))
    finding = only(doctor_network.check_ports(config, None))
    assert finding.status == "fail"
    assert "0.0.0.0" in finding.mend


@pytest.mark.parametrize(
    ("listen", "announce", "is_testnet", "own", "status"),
    [
        ("/ip4/127.0.0.1/tcp/1", (), False, [], "warn"),
        ("/ip4/127.0.0.1/tcp/1", (), True, [], "ok"),
        ("/ip4/127.0.0.1/tcp/1", ("/ip4/8.8.8.8/tcp/1",), False, [], "ok"),
        ("/ip4/8.8.8.8/tcp/1", (), False, [], "ok"),
        ("/ip4/10.0.0.7/tcp/1", (), False, [], "warn"),
        ("/ip4/0.0.0.0/tcp/1", (), False, ["127.0.0.1", "10.0.0.7"], "warn"),
        ("/ip4/0.0.0.0/tcp/1", (), True, ["127.0.0.1", "10.0.0.7"], "ok"),
        ("/ip4/0.0.0.0/tcp/1", (), False, ["127.0.0.1", "8.8.8.8"], "ok"),
    ],
)
def test_whether_others_could_dial_us(tmp_path, monkeypatch, listen, announce, is_testnet, own, status):
    entries = [type("Entry", (), {"family": socket.AF_INET, "address": address}) for address in own]
    monkeypatch.setattr(doctor_network.psutil, "net_if_addrs", lambda: {"eth0": entries})
    config = settings(tmp_path, network__listen=(listen,), network__announce=announce, is_testnet=is_testnet)
    assert only(doctor_network.check_addresses(config)).status == status


@pytest.mark.parametrize(("listen", "status"), [("/ip6/::1/tcp/0", "fail"), ("/ip4/127.0.0.1/tcp/0", "ok")])
def test_missing_ipv6_matters_when_it_is_asked_for(tmp_path, monkeypatch, listen, status):
    monkeypatch.setattr(doctor_network.socket, "AF_INET6", -1)
    assert only(doctor_network.check_ipv6(settings(tmp_path, network__listen=(listen,)))).status == status


@pytest.mark.parametrize(
    ("is_on", "flags", "status", "text"),
    [
        (False, "", "ok", "switched off"),
        (True, "up,broadcast,running", "warn", "no interface carries multicast"),
        (True, "up,loopback,multicast", "warn", "no interface carries multicast"),
        (True, "up,broadcast,running,multicast", "ok", "on eth0"),
    ],
)
def test_multicast_is_looked_for_when_it_is_switched_on(tmp_path, monkeypatch, is_on, flags, status, text):
    facts = type("Facts", (), {"isup": True, "flags": flags})
    monkeypatch.setattr(doctor_network.psutil, "net_if_stats", lambda: {"eth0": facts})
    finding = only(doctor_network.check_mdns(settings(tmp_path, network__mdns=is_on)))
    assert (finding.status, finding.found) == (status, text)


@pytest.mark.net
async def test_bootstrap_peers_answer_some_or_none(tmp_path):
    with listening_socket() as closed_port:
        pass
    with listening_socket() as open_port:
        there = f"/ip4/127.0.0.1/tcp/{open_port}/p2p/{PEER}"
        gone = f"/dns4/localhost/tcp/{closed_port}/p2p/{PEER}"
        outcomes = {}
        for name, peers in {"all": (there,), "some": (there, gone), "none": (gone,)}.items():
            config = settings(tmp_path, network__bootstrap=peers)
            outcomes[name] = only(await doctor_network.check_bootstrap_peers(config))
    assert {name: finding.status for name, finding in outcomes.items()} == {
        "all": "ok",
        "some": "warn",
        "none": "fail",
    }
    assert outcomes["some"].found == "1 of 2 answer"
    assert gone in outcomes["some"].mend


async def test_a_silent_bootstrap_peer_costs_its_deadline_only(tmp_path, monkeypatch, autojump_clock):
    async def silence(_host, _port):
        await trio.sleep_forever()

    monkeypatch.setattr(doctor_network.trio, "open_tcp_stream", silence)
    config = settings(tmp_path, network__bootstrap=(f"/ip4/192.0.2.7/tcp/1/p2p/{PEER}",))
    began = trio.current_time()
    assert only(await doctor_network.check_bootstrap_peers(config)).status == "fail"
    assert trio.current_time() - began == pytest.approx(limits.DOCTOR_REACH_TIMEOUT_S)


@pytest.mark.parametrize(("mdns", "status"), [(True, "ok"), (False, "warn")])
async def test_without_bootstrap_peers_there_is_only_the_local_network(tmp_path, mdns, status):
    config = settings(tmp_path, network__mdns=mdns)
    assert only(await doctor_network.check_bootstrap_peers(config)).status == status
