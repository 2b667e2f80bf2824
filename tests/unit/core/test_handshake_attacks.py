"""HSK-2 to HSK-9, HSK-12, HSK-14 where one side or the link between them cheats: a coded end, never a session."""

import itertools
from dataclasses import replace
from typing import Any

import pytest

from skyops_p2p import limits
from skyops_p2p.core.binding import make_binding
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.types import NetworkName, UnixMs
from skyops_p2p.wire.messages.handshake import Accept, Confirm, Established, Hello, Manifest, Refusal
from skyops_p2p.wire.model import Message, decode_message, encode_message
from tests.unit.core.handshake_pair import MANIFEST, Change, Pair, context_of, with_binding
from tests.unit.core.people import ALICE, BOB, CAROL, DAY_MS, HARDWARE, MAINNET, MALLORY, NOW, RULES

SKEW = limits.CLOCK_SKEW_MS_MAX


def altered(kind: type[Message], **changes: Any) -> Change:
    """Return a change that rewrites fields of a frame on its way."""

    def change(frame: bytes) -> bytes:
        return encode_message(decode_message(kind, frame).model_copy(update=changes))

    return change


def codes(changes: dict[int, Change]) -> tuple[str, str]:
    pair = Pair().run(changes)
    assert not pair.is_established_on_both_sides
    return pair.codes


# --- the Hello ----------------------------------------------------------------------------------------------
def test_hello_for_another_peer_is_refused() -> None:
    assert codes({0: altered(Hello, responder=peer_id_to_bytes(CAROL.peer))}) == ("wrong_peer", "wrong_peer")


def test_hello_relayed_to_another_peer_is_refused() -> None:
    to_bob = Pair().begin()
    carol = Pair(responder=context_of(CAROL)).begin()
    carol.responder.take(to_bob.initiator.sent[0])  # HSK-2
    assert carol.codes[1] == "wrong_peer"


@pytest.mark.parametrize("skew_ms", [-SKEW - 1, SKEW + 1])
def test_stale_hello_is_refused(skew_ms: int) -> None:
    assert codes({0: altered(Hello, issued_unix_ms=NOW + skew_ms)})[1] == "stale_nonce"  # HSK-4


@pytest.mark.parametrize("skew_ms", [-SKEW, SKEW])
def test_clocks_may_differ_so_much(skew_ms: int) -> None:
    early = ALICE.binding_for(ALICE.wallet, issued=NOW - SKEW)
    pair = Pair(with_binding(context_of(ALICE), early))
    pair.initiator.unix = UnixMs(NOW + skew_ms)
    assert pair.run().is_established_on_both_sides


def test_replayed_hello_is_refused() -> None:
    bob = context_of(BOB)
    first = Pair(responder=bob).run()
    assert first.is_established_on_both_sides
    second = Pair(responder=replace(bob, nonce=bytes(32))).begin()
    second.responder.take(first.initiator.sent[0])  # HSK-5
    assert second.codes[1] == "replayed"


def test_replayed_hello_gets_nowhere_even_when_it_was_forgotten() -> None:
    first = Pair().run()
    mallory = Pair(responder=context_of(BOB, salt="later")).begin()
    for frame in (first.initiator.sent[0], first.initiator.sent[1]):
        mallory.responder.take(frame)
    assert mallory.codes[1] == "bad_signature"


@pytest.mark.parametrize("versions", [(2,), (2, 3, 65_535)])
def test_no_common_version_is_refused(versions: tuple[int, ...]) -> None:
    pair = Pair(replace(context_of(ALICE), versions=versions)).run()  # HSK-3
    assert pair.codes == ("no_common_version", "no_common_version")


# --- downgrade (HSK-7) --------------------------------------------------------------------------------------
def both_speak_two() -> Pair:
    return Pair(replace(context_of(ALICE), versions=(1, 2)), replace(context_of(BOB), versions=(1, 2)))


def test_newer_version_cut_from_the_hello_shows_in_the_accept() -> None:
    pair = both_speak_two().run({0: altered(Hello, versions=(1,))})
    assert pair.codes[0] == "downgrade"


def test_newer_version_cut_from_both_breaks_the_signature() -> None:
    pair = both_speak_two().run({0: altered(Hello, versions=(1,)), 1: altered(Accept, versions=(1,))})
    assert pair.codes[0] == "bad_signature"
    assert not pair.is_established_on_both_sides


@pytest.mark.parametrize("version", [1, 3])
def test_other_version_than_the_highest_common_is_refused(version: int) -> None:
    pair = both_speak_two().run({1: altered(Accept, version=version)})
    assert pair.codes[0] == "downgrade"


def test_version_added_to_the_hello_breaks_the_signature() -> None:
    pair = Pair().run({0: altered(Hello, versions=(1, 2))})
    assert pair.codes[0] == "bad_signature"


# --- who is there -------------------------------------------------------------------------------------------
def test_binding_of_another_peer_is_refused() -> None:
    pair = Pair(with_binding(context_of(MALLORY), ALICE.binding)).run()  # HSK-6
    assert pair.codes == ("wrong_signer", "wrong_signer")
    pair = Pair(responder=with_binding(context_of(MALLORY), BOB.binding)).run()
    assert pair.codes == ("wrong_signer", "wrong_signer")


@pytest.mark.parametrize(
    ("issued", "lifetime_ms", "code"),
    [(NOW - DAY_MS, DAY_MS, "expired"), (NOW + SKEW + 1, DAY_MS, "not_yet_valid")],
)
def test_binding_out_of_its_time_is_refused(issued: int, lifetime_ms: int, code: str) -> None:
    binding = ALICE.binding_for(ALICE.wallet, issued=issued, lifetime_ms=lifetime_ms)
    assert Pair(with_binding(context_of(ALICE), binding)).run().codes == (code, code)


def test_peer_of_another_network_is_refused() -> None:
    other = NetworkRules(NetworkName("testnet-ffff"), chain_id=31_337, is_testnet=True)
    pair = Pair(context_of(ALICE, rules=other)).run()
    assert pair.codes[1] == "wrong_network"


def test_peer_of_another_chain_is_refused() -> None:
    other = NetworkRules(RULES.network, chain_id=1, is_testnet=True)
    assert Pair(context_of(ALICE, rules=other)).run().codes[1] == "wrong_network"


@pytest.mark.parametrize("thief_is_initiator", [True, False])
def test_stolen_node_key_without_the_wallet_is_not_enough(thief_is_initiator: bool) -> None:
    other_wallet = Wallet.from_secret(b"\x77" * 32)
    victim = ALICE if thief_is_initiator else BOB
    thief = replace(context_of(victim), wallet=other_wallet)
    pair = Pair(thief).run() if thief_is_initiator else Pair(responder=thief).run()
    assert "bad_signature" in pair.codes  # HSK-8
    assert not pair.is_established_on_both_sides


@pytest.mark.parametrize("thief_is_initiator", [True, False])
def test_wallet_without_the_node_key_is_not_enough(thief_is_initiator: bool) -> None:
    victim = ALICE if thief_is_initiator else BOB
    thief = replace(context_of(victim), node_key=MALLORY.node_key)
    if thief_is_initiator:
        pair = Pair(thief, initiator_id=ALICE.peer).run()
    else:
        pair = Pair(responder=thief, responder_id=BOB.peer).run()
    assert not pair.is_established_on_both_sides


# --- the link cheats ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("number", "kind", "field"),
    [
        (1, Accept, "node_signature"),
        (1, Accept, "wallet_signature"),
        (1, Accept, "nonce"),
        (1, Accept, "ephemeral"),
        (2, Confirm, "node_signature"),
        (2, Confirm, "wallet_signature"),
        (2, Confirm, "manifest"),
        (3, Established, "manifest"),
    ],
)
def test_altered_field_is_noticed_by_its_receiver(number: int, kind: type[Message], field: str) -> None:
    def change(frame: bytes) -> bytes:
        message = decode_message(kind, frame)
        value = getattr(message, field)
        return encode_message(message.model_copy(update={field: bytes([value[0] ^ 1]) + value[1:]}))

    pair = Pair().run({number: change})
    receiver = pair.responder if number % 2 == 0 else pair.initiator
    assert receiver.failure is not None
    assert receiver.failure.code == ("bad_ciphertext" if field == "manifest" else "bad_signature")


@pytest.mark.parametrize("number", range(4))
def test_garbage_in_place_of_any_frame_is_refused(number: int) -> None:
    for garbage in (b"", b"\xc1", bytes(100), b"\x81\x00\x01", b"\xff" * 70_000):
        receiver = codes({number: lambda _, data=garbage: data})[(number + 1) % 2]  # type: ignore[misc] # bound now
        assert receiver in ("malformed", "oversized", "non_canonical", "unexpected_message")


@pytest.mark.parametrize(("number", "instead"), list(itertools.permutations(range(4), 2)))
def test_frame_out_of_turn_is_refused(number: int, instead: int) -> None:
    good = Pair().run().moved
    receiver = codes({number: lambda _: good[instead]})[(number + 1) % 2]
    assert receiver == "unexpected_message"  # HSK-12


def test_frame_while_the_chain_is_asked_is_refused() -> None:
    pair = Pair().begin()
    pair.move()
    pair.move()
    assert pair.initiator.waits_for_stake
    pair.initiator.take(pair.moved[-1])
    assert pair.codes[0] == "unexpected_message"


def test_frames_of_an_older_session_do_not_fit() -> None:
    old = Pair(context_of(ALICE, salt="old")).run().moved
    for number in (1, 2, 3):
        assert codes({number: lambda _, n=number: old[n]}) != ("", "")  # type: ignore[misc] # bound now


@pytest.mark.parametrize(("number", "kind"), [(0, Hello), (1, Accept)])
def test_ephemeral_key_of_small_order_is_refused(number: int, kind: type[Message]) -> None:
    receiver = codes({number: altered(kind, ephemeral=bytes(32))})[(number + 1) % 2]
    assert receiver == ("bad_key" if number == 0 else "bad_signature")  # HSK-9


def test_man_in_the_middle_who_swaps_the_ephemeral_keys_is_noticed() -> None:
    mallory = context_of(MALLORY)
    other = Pair(mallory).begin().initiator.sent[0]
    ephemeral = decode_message(Hello, other).ephemeral
    pair = Pair().run({0: altered(Hello, ephemeral=ephemeral)})
    assert pair.codes[0] == "bad_signature"


def test_reflected_frames_do_not_open_a_session_with_oneself() -> None:
    pair = Pair().begin()
    pair.initiator.take(pair.initiator.sent[0])
    assert pair.codes[0] == "unexpected_message"


# --- manifests (HSK-14) -------------------------------------------------------------------------------------
def mainnet_pair(initiator: Manifest, responder: Manifest) -> Pair:
    contexts = []
    for who, manifest in ((ALICE, initiator), (BOB, responder)):
        binding = make_binding(who.node_key, who.wallet, MAINNET, issued=NOW, lifetime_ms=DAY_MS)
        contexts.append(replace(context_of(who, rules=MAINNET), binding=binding, manifest=manifest))
    return Pair(*contexts)


REAL = MANIFEST.model_copy(update={"hardware": HARDWARE.model_copy(update={"source": "nvml"})})


def test_real_hardware_is_taken_everywhere() -> None:
    assert mainnet_pair(REAL, REAL).run().is_established_on_both_sides


def test_declared_hardware_is_refused_outside_test_networks() -> None:
    assert mainnet_pair(MANIFEST, REAL).run().codes == ("declared_hardware", "declared_hardware")
    pair = mainnet_pair(REAL, MANIFEST).run()
    assert pair.codes[0] == "declared_hardware"
    assert decode_message(Refusal, pair.initiator.sent[-1]).code == "declared_hardware"
