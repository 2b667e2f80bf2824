"""PER-1 to PER-8, PER-12: what a record, a heartbeat and a proof must be, each breach with its code."""

from typing import Any

import pytest

from skyops_p2p import limits
from skyops_p2p.core.records import (
    NodeRecordRules,
    check_equivocation,
    check_presence,
    check_record,
    owner_of,
)
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import NetworkName, UnixMs
from skyops_p2p.wire.messages.peering import EquivocationProof, GpuPart
from tests.unit.core.people import ALICE, BOB, DAY_MS, HARDWARE, MAINNET, MALLORY, NOW, RULES

SKEW = limits.CLOCK_SKEW_MS_MAX
LONG_LABELS = tuple(f"{number:064}" for number in range(16))
LONG_ADDRS = tuple(f"/dns4/{number:0>120}" for number in range(8))

LARGE_GPU = GpuPart(model="g" * 64, vram_mib=1, compute_capability="8.0", uuid="u" * 64)
LARGE_HARDWARE = HARDWARE.model_copy(update={"gpus": (LARGE_GPU,) * limits.RECORD_GPUS_MAX})


def refusal(data: bytes, *, rules: NetworkRules = RULES, now: int = NOW) -> tuple[str, str]:
    with pytest.raises(RemoteProtocolError) as caught:
        check_record(data, rules, now=UnixMs(now))
    return caught.value.code, caught.value.rule


def test_good_record_passes_with_its_wallet() -> None:
    verified = check_record(ALICE.record(), RULES, now=NOW)
    assert verified.peer == ALICE.peer
    assert verified.binding.wallet == ALICE.wallet.address
    assert owner_of(verified.signed.data, RULES) == peer_id_to_bytes(ALICE.peer)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"peer": peer_id_to_bytes(BOB.peer)}, ("wrong_signer", "PER-2")),
        ({"issued_unix_ms": NOW + SKEW + 1}, ("not_yet_valid", "PER-3")),
        ({"expires_unix_ms": NOW}, ("expired", "PER-3")),
        ({"expires_unix_ms": NOW + DAY_MS + 1}, ("lifetime_too_long", "PER-3")),
        ({"binding": BOB.binding}, ("wrong_signer", "IDN-3")),
        ({"binding": b"garbage"}, ("non_canonical", "ENV-4")),
        ({"binding": ALICE.binding_for(ALICE.wallet, issued=NOW - DAY_MS, lifetime_ms=1)}, ("expired", "IDN-5")),
        ({"labels": LONG_LABELS, "addrs": LONG_ADDRS, "hardware": LARGE_HARDWARE}, ("oversized", "ENV-2")),
    ],
)  # fmt: skip
def test_bad_record_is_refused(changes: dict[str, Any], expected: tuple[str, str]) -> None:
    assert refusal(ALICE.record(**changes)) == expected


@pytest.mark.parametrize(
    "changes",
    [{"issued_unix_ms": NOW + SKEW}, {"expires_unix_ms": NOW + 1}, {"expires_unix_ms": NOW + DAY_MS}],
)
def test_record_at_the_edge_passes(changes: dict[str, Any]) -> None:
    assert check_record(ALICE.record(**changes), RULES, now=NOW).peer == ALICE.peer


def test_size_is_bounded_by_per_1() -> None:
    padding = check_record(ALICE.record(labels=LONG_LABELS), RULES, now=NOW).signed.data
    assert len(padding) <= limits.NODE_RECORD_BYTES_MAX
    assert refusal(padding + bytes(limits.NODE_RECORD_BYTES_MAX)) == ("oversized", "ENV-2")


def test_record_that_was_good_before_is_looked_at_again() -> None:
    data = ALICE.record()
    assert check_record(data, RULES, now=NOW) == check_record(data, RULES, now=NOW)
    assert refusal(data, now=NOW + 2 * DAY_MS) == ("expired", "PER-3")
    assert refusal(data, rules=MAINNET) == ("wrong_network", "ENV-7")
    for at in range(len(data)):
        flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert refusal(flipped)


def test_record_of_another_network_is_refused() -> None:
    other = NetworkRules(NetworkName("testnet-ffff"), chain_id=31_337, is_testnet=True)
    assert refusal(ALICE.record(rules=other))[0] == "wrong_network"


def test_declared_hardware_is_for_test_networks_only() -> None:
    record = ALICE.record(rules=MAINNET)
    assert refusal(record, rules=MAINNET) == ("declared_hardware", "PER-5")


def test_record_signed_by_mallory_for_alice_is_refused() -> None:
    record = MALLORY.record(peer=peer_id_to_bytes(ALICE.peer), binding=ALICE.binding)
    assert refusal(record) == ("wrong_signer", "PER-2")


def test_record_ends_with_its_binding() -> None:
    binding = ALICE.binding_for(ALICE.wallet, lifetime_ms=1000)
    assert ALICE.verified(binding=binding).expires_unix_ms == NOW + 1000
    assert ALICE.verified().expires_unix_ms == NOW + DAY_MS


# --- heartbeats ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"issued_unix_ms": NOW + SKEW + 1}, "not_yet_valid"),
        ({"issued_unix_ms": NOW - 30_000 - SKEW - 1}, "expired"),
        ({"interval_ms": int(limits.PRESENCE_INTERVAL_S_MAX * 1000) + 1}, "lifetime_too_long"),
    ],
)
def test_bad_beat_is_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        check_presence(ALICE.beat(**changes), RULES, now=NOW)
    assert (caught.value.code, caught.value.rule) == (code, "PER-8")


@pytest.mark.parametrize(
    "changes",
    [
        {"issued_unix_ms": NOW + SKEW},
        {"issued_unix_ms": NOW - 30_000 - SKEW},
        {"interval_ms": int(limits.PRESENCE_INTERVAL_S_MAX * 1000)},
    ],
)
def test_beat_at_the_edge_passes(changes: dict[str, Any]) -> None:
    assert check_presence(ALICE.beat(**changes), RULES, now=NOW).signer == ALICE.peer


def test_largest_beat_fits_per_7() -> None:
    beat = ALICE.beat(
        2**53 - 1,
        record_sequence=2**53 - 1,
        price_microcredits_per_hour=2**53 - 1,
        load_permille=1000,
        slots_free=256,
        interval_ms=4_000_000,
    )
    assert len(beat) <= limits.PRESENCE_BYTES_MAX
    with pytest.raises(RemoteProtocolError) as caught:
        check_presence(beat + bytes(limits.PRESENCE_BYTES_MAX), RULES, now=NOW)
    assert caught.value.code == "oversized"


def test_record_is_no_beat_and_a_beat_no_record() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        check_presence(
            ALICE.record(labels=(), hardware=HARDWARE.model_copy(update={"gpus": ()})), RULES, now=NOW
        )
    assert caught.value.code in ("wrong_type", "oversized")
    assert refusal(ALICE.beat())[0] == "wrong_type"


# --- proofs of equivocation (PER-12) ------------------------------------------------------------------------
def test_two_records_under_one_number_prove_equivocation() -> None:
    assert check_equivocation(MALLORY.contradiction(), RULES) == MALLORY.peer


def test_proof_holds_when_the_records_have_expired() -> None:
    proof = EquivocationProof(
        kind="node-record",
        first=MALLORY.record(issued_unix_ms=NOW - 9 * DAY_MS),
        second=MALLORY.record(issued_unix_ms=NOW - 9 * DAY_MS, region="us"),
    )
    assert check_equivocation(proof, RULES) == MALLORY.peer


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (ALICE.record(), ALICE.record()),
        (ALICE.record(1), ALICE.record(2)),
        (ALICE.record(), BOB.record()),
    ],
    ids=["the same record", "two numbers", "two signers"],
)
def test_proof_that_proves_nothing_is_refused(first: bytes, second: bytes) -> None:
    proof = EquivocationProof(kind="node-record", first=first, second=second)
    with pytest.raises(RemoteProtocolError) as caught:
        check_equivocation(proof, RULES)
    assert (caught.value.code, caught.value.rule) == ("proof_fails", "PER-12")


def test_forged_half_of_a_proof_is_refused() -> None:
    record = ALICE.record()
    forged = record[:-1] + bytes([record[-1] ^ 1])
    with pytest.raises(RemoteProtocolError) as caught:
        check_equivocation(EquivocationProof(kind="node-record", first=record, second=forged), RULES)
    assert caught.value.code == "bad_signature"


# --- the DHT's rules (PER-4) --------------------------------------------------------------------------------
DHT = NodeRecordRules(RULES, lambda: NOW)


def test_dht_takes_a_record_under_its_own_key_only() -> None:
    DHT.validate(RULES.record_key(ALICE.peer), ALICE.record())
    with pytest.raises(RemoteProtocolError) as caught:
        DHT.validate(RULES.record_key(BOB.peer), ALICE.record())
    assert (caught.value.code, caught.value.rule) == ("wrong_key", "PER-4")


@pytest.mark.parametrize("value", [b"", b"\x00" * 100, ALICE.beat(), ALICE.record()[:-5], bytes(70_000)])
def test_dht_refuses_garbage(value: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        DHT.validate(RULES.record_key(ALICE.peer), value)


def test_dht_prefers_the_highest_number_of_the_keys_owner() -> None:
    values = [b"garbage", ALICE.record(3), ALICE.record(8), MALLORY.record(99), ALICE.record(8)]
    assert DHT.select(RULES.record_key(ALICE.peer), values) == 2
    assert DHT.select(RULES.record_key(ALICE.peer), [b"garbage", b"more"]) == 0


def test_record_key_is_short_and_differs_by_network() -> None:
    key = RULES.record_key(ALICE.peer)
    assert len(key) == 42
    assert key.startswith("/skyops/n/")
    assert key != MAINNET.record_key(ALICE.peer)
