"""Topologies, records, places, ports and partitions: everything about a test network but its processes."""

import json
import os
import socket
from pathlib import Path

import pytest

from skyops_p2p.crypto.wallet import address_from_bytes, address_to_bytes
from skyops_p2p.errors import TestnetError
from skyops_p2p.limits import TESTNET_NODES_MAX
from skyops_p2p.testnet.chain.development import created_account, governor
from skyops_p2p.testnet.creation import shared_settings
from skyops_p2p.testnet.disturbance import parse_groups
from skyops_p2p.testnet.places import find_existing, list_existing, place_of, testnets_root
from skyops_p2p.testnet.port_numbers import PORT_FIRST, release_ports, reserve_ports
from skyops_p2p.testnet.record import ChainEntry, NodeEntry, TestnetRecord, locked, read_record, write_record
from skyops_p2p.testnet.topology import (
    BEAT_S_DEFAULT,
    BEATS_A_SECOND_MAX,
    CHAIN_NAME,
    default_topology,
    load_topology,
)

EXAMPLES = Path(__file__).resolve().parents[3] / "testnet" / "topologies"


def record_of(*names: str) -> TestnetRecord:
    nodes = tuple(
        NodeEntry(name=name, peer_id=f"12D3KooW{name}", port=20_000 + i, gpus=(), region="eu", is_worker=True)
        for i, name in enumerate(names)
    )
    return TestnetRecord(
        name="local", network="testnet-0001", chain_id=31337, beat_s=2.0, created_unix_ms=1, nodes=nodes
    )


def generated(nonce: int) -> str:
    """Compute a contract's account as py-evm does."""
    from eth._utils.address import generate_contract_address
    from eth_typing import Address

    return address_from_bytes(generate_contract_address(Address(address_to_bytes(governor().address)), nonce))


def code_of(error: pytest.ExceptionInfo[TestnetError]) -> str:
    return error.value.code


def test_no_node_has_the_chains_name(tmp_path: Path) -> None:
    from skyops_p2p.cli import testnet as commands

    assert commands.CHAIN_NAME == CHAIN_NAME
    path = tmp_path / "t.toml"
    path.write_text(f'[[nodes]]\nname = "{CHAIN_NAME}"\n')
    with pytest.raises(TestnetError) as error:
        load_topology(path)
    assert code_of(error) == "topology_invalid"


def test_slots_and_watches_are_those_of_the_network(tmp_path: Path) -> None:
    record = record_of("a").model_copy(update={"probe_slot_s": 10, "probe_watch_slots": 6})
    settings = shared_settings(record, tmp_path)
    assert (settings["network.probe_slot_s"], settings["network.probe_watch_slots"]) == (10, 6)
    usual = shared_settings(record_of("a"), tmp_path)
    assert (usual["network.probe_slot_s"], usual["network.probe_watch_slots"]) == (600, 36)
    path = tmp_path / "t.toml"
    path.write_text("[network]\nprobe_slot_s = 10\nprobe_watch_slots = 6\n[[nodes]]\n")
    network = load_topology(path).network
    assert (network.probe_slot_s, network.probe_watch_slots) == (10, 6)


def test_many_nodes_beat_less_often_unless_it_is_said_how_often(tmp_path: Path) -> None:
    assert default_topology(10).network.beat_s == BEAT_S_DEFAULT
    assert default_topology(50).network.beat_s == 50 / BEATS_A_SECOND_MAX
    path = tmp_path / "t.toml"
    path.write_text("[network]\nbeat_s = 1.5\n[[nodes]]\ncount = 30\n")
    assert load_topology(path).network.beat_s == 1.5


def test_settings_lead_to_the_chain_and_its_contracts(tmp_path: Path) -> None:
    chain = ChainEntry(port=20_100, contracts="0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0")
    without = record_of("node-1")
    assert "payment.directory" not in shared_settings(without, tmp_path)
    settings = shared_settings(without.model_copy(update={"chain": chain}), tmp_path)
    assert settings["chain.endpoints"] == ["http://127.0.0.1:20100"]
    assert (settings["payment.directory"], settings["chain.confirmations"]) == (chain.contracts, 0)


@pytest.mark.parametrize(
    ("nonce", "account"),
    [
        (0, "0x5FbDB2315678afecb367f032d93F642f64180aa3"),
        (1, "0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512"),
        (0x7F, generated(0x7F)),
        (0x80, generated(0x80)),
        (2**40, generated(2**40)),
    ],
)
def test_account_of_a_contract_follows_from_who_makes_it(nonce: int, account: str) -> None:
    creator = address_to_bytes(governor().address)
    assert address_from_bytes(created_account(creator, nonce)) == account


# --- topologies -------------------------------------------------------------------------------------------------
def test_default_topology_mixes_gpus_and_regions() -> None:
    plans = default_topology(10).nodes
    assert [plan.name for plan in plans] == [f"node-{i}" for i in range(1, 11)]
    assert {"A100:80", "H100:80", "RTX4090:24", "RTX3060:12"} <= {gpu for plan in plans for gpu in plan.gpus}
    assert any(not plan.gpus for plan in plans)
    assert len({plan.region for plan in plans}) >= 3


@pytest.mark.parametrize(("count", "is_fine"), [(0, False), (1, True), (TESTNET_NODES_MAX, True)])
def test_number_of_nodes_is_bounded(count: int, is_fine: bool) -> None:
    if is_fine:
        assert len(default_topology(count).nodes) == count
        return
    with pytest.raises(TestnetError) as error:
        default_topology(count)
    assert code_of(error) == "too_many_nodes"


def test_one_node_too_many_is_refused() -> None:
    with pytest.raises(TestnetError) as error:
        default_topology(TESTNET_NODES_MAX + 1)
    assert code_of(error) == "too_many_nodes"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.name)
def test_shipped_topologies_load(path: Path) -> None:
    assert load_topology(path).nodes


def test_there_are_shipped_topologies() -> None:
    assert len(list(EXAMPLES.glob("*.toml"))) >= 2


def test_topology_counts_become_numbered_nodes(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text('[[nodes]]\nname = "eu"\ncount = 2\ngpus = ["A100:80"]\n[[nodes]]\nworker = false\n')
    plans = load_topology(path).nodes
    assert [plan.name for plan in plans] == ["eu-1", "eu-2", "node-3"]
    assert plans[0].gpus == ("A100:80",)
    assert not plans[2].worker


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("[[nodes]\n", "topology_unreadable", "no TOML"),
        ("", "topology_invalid", "nodes"),
        ("nodes = []", "topology_invalid", "nodes"),
        ("[[nodes]]\ncolour = 1", "topology_invalid", "nodes.0.colour"),
        ('[[nodes]]\nname = "Bad Name"', "topology_invalid", "nodes.0.name"),
        ('[[nodes]]\nname = "a"\n[[nodes]]\nname = "a"', "topology_invalid", "'a'"),
        ("[[nodes]]\ncount = 40\n[[nodes]]\ncount = 40", "too_many_nodes", "80"),
        ("[network]\nbeat_s = 0.1\n[[nodes]]", "topology_invalid", "network.beat_s"),
    ],
)
def test_wrong_topology_is_explained(tmp_path: Path, text: str, code: str, said: str) -> None:
    path = tmp_path / "t.toml"
    path.write_text(text)
    with pytest.raises(TestnetError, match=said) as error:
        load_topology(path)
    assert code_of(error) == code


def test_topology_and_number_must_agree(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text("[[nodes]]\ncount = 3\n")
    assert len(load_topology(path, count=3).nodes) == 3
    with pytest.raises(TestnetError, match="3 nodes, --nodes asks for 4"):
        load_topology(path, count=4)
    with pytest.raises(TestnetError) as error:
        load_topology(tmp_path / "none.toml")
    assert code_of(error) == "topology_unreadable"


# --- records ----------------------------------------------------------------------------------------------------
def test_record_survives_writing(tmp_path: Path) -> None:
    record = record_of("node-1", "node-2")
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    assert record.bootstrap == (
        "/ip4/127.0.0.1/tcp/20000/p2p/12D3KooWnode-1",
        "/ip4/127.0.0.1/tcp/20001/p2p/12D3KooWnode-2",
    )


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 1}'])
def test_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "testnet.json").write_text(text)
    with pytest.raises(TestnetError) as error:
        read_record(tmp_path)
    assert code_of(error) == "testnet_damaged"


def test_record_with_unknown_fields_is_refused(tmp_path: Path) -> None:
    fields = json.loads(record_of("node-1").model_dump_json()) | {"extra": 1}
    (tmp_path / "testnet.json").write_text(json.dumps(fields))
    with pytest.raises(TestnetError) as error:
        read_record(tmp_path)
    assert code_of(error) == "testnet_damaged"


def test_unknown_node_gets_a_suggestion() -> None:
    with pytest.raises(TestnetError) as error:
        record_of("node-1", "node-2").entry("nod-2")
    assert (code_of(error), error.value.hint) == ("unknown_node", "Did you mean node-2?")


def test_two_commands_at_once_are_kept_apart(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(TestnetError) as error, locked(tmp_path):
        pass
    assert code_of(error) == "testnet_busy"
    with locked(tmp_path):
        pass


# --- places -----------------------------------------------------------------------------------------------------
def add(name: str) -> Path:
    place = testnets_root() / name
    place.mkdir(parents=True)
    write_record(place, record_of("node-1"))
    return place


def test_the_only_network_is_meant_when_none_is_named() -> None:
    with pytest.raises(TestnetError) as error:
        find_existing(None, None)
    assert code_of(error) == "testnet_unknown"
    place = add("mine")
    assert find_existing(None, None) == place
    other = add("other")
    with pytest.raises(TestnetError, match="mine, other") as error:
        find_existing(None, None)
    assert code_of(error) == "testnet_ambiguous"
    assert find_existing("other", None) == find_existing(None, other) == other
    local = add("local")
    assert find_existing(None, None) == local
    assert [path.name for path, _ in list_existing()] == ["local", "mine", "other"]


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b", "-a", "x" * 33])
def test_names_cannot_leave_the_root(name: str) -> None:
    if not name:
        assert place_of(name, None).name == "local"
        return
    with pytest.raises(TestnetError) as error:
        place_of(name, None)
    assert code_of(error) == "name_invalid"


# --- ports ------------------------------------------------------------------------------------------------------
def test_ports_are_not_handed_out_twice(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for place in (first, second):
        place.mkdir()
    mine = reserve_ports(4, first)
    yours = reserve_ports(4, second)
    assert len({*mine, *yours}) == 8
    assert all(PORT_FIRST <= port < 32_768 for port in mine + yours)
    release_ports(first)
    assert reserve_ports(4, first) == mine


def test_taken_port_is_passed_over(tmp_path: Path) -> None:
    (port,) = reserve_ports(1, tmp_path)
    release_ports(tmp_path)
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # an earlier test may have used it
        holder.bind(("127.0.0.1", port))
        holder.listen()
        assert reserve_ports(1, tmp_path) != [port]


def test_reservation_of_a_removed_network_is_stale(tmp_path: Path) -> None:
    gone, here = tmp_path / "gone", tmp_path / "here"
    gone.mkdir()
    here.mkdir()
    ports = reserve_ports(2, gone)
    gone.rmdir()
    assert reserve_ports(2, here) == ports


# --- partitions -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "groups"),
    [
        (["a"], (("a",), ("b", "c"))),
        (["a,b"], (("a", "b"), ("c",))),
        (["a", "b", "c"], (("a",), ("b",), ("c",))),
        (["a, b | c"], (("a", "b"), ("c",))),
        (["a|b"], (("a",), ("b",), ("c",))),
    ],
)
def test_partition_words_become_groups(words: list[str], groups: tuple[tuple[str, ...], ...]) -> None:
    assert parse_groups(words, record_of("a", "b", "c")) == groups


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["a,b,c"], "partition_invalid"),
        (["a", "a"], "partition_invalid"),
        (["x"], "unknown_node"),
        ([","], "partition_invalid"),
    ],
)
def test_wrong_partition_is_refused(words: list[str], code: str) -> None:
    with pytest.raises(TestnetError) as error:
        parse_groups(words, record_of("a", "b", "c"))
    assert code_of(error) == code


def test_lock_file_goes_with_its_process(tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        with locked(tmp_path):
            os._exit(0)
    os.waitpid(pid, 0)
    with locked(tmp_path):
        assert (tmp_path / ".lock").exists()
