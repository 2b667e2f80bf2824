"""IDN-1 to IDN-8: the two signatures of a binding, its network and its dates."""

from typing import Any

import pytest

from skyops_p2p import limits
from skyops_p2p.core.binding import OwnBinding, check_binding, make_binding
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.crypto.wallet import address_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.types import UnixMs
from skyops_p2p.wire.envelope import open_envelope, seal
from skyops_p2p.wire.messages.identity import Binding
from tests.unit.core.people import ALICE, BOB, DAY_MS, MALLORY, NOW, RULES

SKEW = limits.CLOCK_SKEW_MS_MAX


def refusal(data: bytes, *, rules: NetworkRules = RULES, now: int = NOW) -> tuple[str, str]:
    with pytest.raises(RemoteProtocolError) as caught:
        check_binding(data, rules, now=UnixMs(now), peer=ALICE.peer)
    return caught.value.code, caught.value.rule


def altered(**changes: Any) -> bytes:
    """Return Alice's binding with fields changed after the wallet signed, sealed by her node key again."""
    message = open_envelope(ALICE.binding, Binding, RULES.network).message
    return seal(message.model_copy(update=changes), ALICE.node_key, RULES.network)


def test_binding_names_peer_wallet_and_key() -> None:
    checked = check_binding(ALICE.binding, RULES, now=NOW, peer=ALICE.peer)
    assert checked.peer == ALICE.peer
    assert checked.wallet == ALICE.wallet.address
    assert checked.x25519 == ALICE.node_key.x25519_public
    assert checked.expires_unix_ms == NOW + 30 * DAY_MS


def test_binding_of_another_peer_is_refused() -> None:
    assert refusal(BOB.binding) == ("wrong_signer", "IDN-3")


def test_binding_that_names_another_peer_is_refused() -> None:
    assert refusal(altered(peer=peer_id_to_bytes(BOB.peer))) == ("wrong_signer", "IDN-3")


def test_binding_of_another_chain_is_refused() -> None:
    other = NetworkRules(RULES.network, chain_id=1, is_testnet=True)
    assert refusal(ALICE.binding, rules=other) == ("wrong_network", "IDN-4")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (NOW - SKEW - 1, ("not_yet_valid", "IDN-5")),
        (NOW + 30 * DAY_MS, ("expired", "IDN-5")),
    ],
)
def test_binding_out_of_its_time_is_refused(now: int, expected: tuple[str, str]) -> None:
    assert refusal(ALICE.binding, now=now) == expected


@pytest.mark.parametrize("now", [NOW - SKEW, NOW + 30 * DAY_MS - 1])
def test_binding_at_the_edge_of_its_time_passes(now: int) -> None:
    assert check_binding(ALICE.binding, RULES, now=UnixMs(now), peer=ALICE.peer).peer == ALICE.peer


def test_binding_that_lives_too_long_is_refused() -> None:
    assert refusal(altered(expires_unix_ms=NOW + limits.BINDING_LIFETIME_MS_MAX + 1)) == (
        "lifetime_too_long",
        "IDN-6",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"wallet": address_to_bytes(MALLORY.wallet.address)},
        {"x25519": MALLORY.node_key.x25519_public},
        {"expires_unix_ms": NOW + 31 * DAY_MS},
        {"issued_unix_ms": NOW - 1},
        {"wallet_signature": bytes(64) + b"\x1b"},
    ],
)
def test_field_that_the_wallet_did_not_sign_is_refused(changes: dict[str, Any]) -> None:
    assert refusal(altered(**changes))[0] == "bad_signature"


def test_wallet_of_somebody_else_cannot_be_claimed() -> None:
    stolen = make_binding(MALLORY.node_key, ALICE.wallet, RULES, issued=NOW, lifetime_ms=DAY_MS)
    assert refusal(stolen) == ("wrong_signer", "IDN-3")


def test_own_binding_is_renewed_at_half_of_its_life_and_when_the_clock_goes_back() -> None:
    own = OwnBinding(ALICE.node_key, ALICE.wallet, RULES, lifetime_ms=1000)  # IDN-1
    first = own(NOW)
    assert own(UnixMs(NOW + 499)) == first
    second = own(UnixMs(NOW + 500))
    assert second != first
    assert own(UnixMs(NOW - 1)) not in (first, second)
    for now in (NOW, NOW + 500, NOW - 10_000_000):
        assert check_binding(own(UnixMs(now)), RULES, now=UnixMs(now), peer=ALICE.peer).peer == ALICE.peer
