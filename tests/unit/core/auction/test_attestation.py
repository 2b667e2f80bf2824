"""What an attestation proves to others, who is drawn to make one, and what two answers from one device look like."""

from typing import Any

import pytest

from skyops_p2p.core.auction.attestation import (
    VERIFIERS_TAKEN,
    check_answer,
    drawn_verifiers,
    is_drawn,
    open_attestation,
)
from skyops_p2p.core.auction.device_watch import DeviceWatch
from skyops_p2p.crypto.node_key import peer_id_from_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.limits import MESSAGE_BYTES_MAX
from skyops_p2p.types import MonotonicS, UnixMs
from skyops_p2p.wire.messages.proof import ProofAttestation, ProofRoot, ProofRowPart
from skyops_p2p.wire.messages.verification import CandidatePart
from skyops_p2p.wire.model import encode_message
from tests.unit.core.people import BOB, CAROL
from tests.vectors.attestation_cases import Attest
from tests.vectors.people import ALICE as VERIFIER
from tests.vectors.people import BOB as WORKER
from tests.vectors.people import DAY_MS, NOW, RULES

BOBS_WALLET = bytes([1] * 20)


# --- attestations -------------------------------------------------------------------------------------------------
def opened(attest: Attest) -> Any:
    return open_attestation(
        attest.sealed, worker=WORKER.node_key.peer_id, network=RULES.network, now=UnixMs(NOW)
    )


def test_attestation_tells_whose_answer_it_was_and_how_fast() -> None:  # AUC-44
    found = opened(Attest(said={"elapsed_ms": 0}))
    assert (found.worker, found.verifier) == (WORKER.node_key.peer_id, VERIFIER.node_key.peer_id)
    assert found.throughput == 1
    assert found.unix_ms == NOW


@pytest.mark.parametrize("data", [b"", b"\x00" * 40, b"\x0a"])
def test_what_is_no_attestation_is_refused_with_a_code(data: bytes) -> None:  # AUC-44
    with pytest.raises(RemoteProtocolError):
        open_attestation(data, worker=BOB.peer, network=RULES.network, now=UnixMs(NOW))


def test_attestation_of_another_network_is_none() -> None:  # AUC-44
    with pytest.raises(RemoteProtocolError) as refused:
        open_attestation(
            Attest().sealed, worker=WORKER.node_key.peer_id, network="elsewhere", now=UnixMs(NOW)
        )
    assert refused.value.code in ("bad_signature", "wrong_network")


def test_answer_that_is_not_signed_proves_nothing_to_others() -> None:  # AUC-42
    with pytest.raises(RemoteProtocolError) as refused:
        check_answer(ProofRoot(root=bytes(32)), b"", worker=BOB.peer, asker=CAROL.peer, network=RULES.network)
    assert refused.value.code == "proof_fails"


def test_attestation_of_the_largest_challenge_fits_a_message() -> None:
    """Rows of FOR_GPUS: 2,048 numbers, two products, paths of sixteen."""
    row = ProofRowPart(
        index=2**15, start=bytes(2048), products=bytes(2 * 4 * 2048),
        start_path=(bytes(32),) * 16, end_path=(bytes(32),) * 16,
    )  # fmt: skip
    message = ProofAttestation(
        network=RULES.network, challenge=bytes(128), sent_unix_ms=NOW, elapsed_ms=1, answer=bytes(4096),
        secret=bytes(32), rows=(row, row),
    )  # fmt: skip
    assert len(encode_message(message)) <= MESSAGE_BYTES_MAX


# --- the draw -----------------------------------------------------------------------------------------------------
def node(number: int, *, weight: int = 1, wallet: int | None = None) -> CandidatePart:
    peer = bytes.fromhex("002408011220") + bytes([number] * 32)
    return CandidatePart(peer=peer, wallet=bytes([wallet or number] * 20), weight=weight)


def drawn(nodes: list[CandidatePart], *, day: int = 0) -> tuple[CandidatePart, ...]:
    now = UnixMs(NOW + day * DAY_MS)
    return drawn_verifiers(nodes, BOB.peer, BOBS_WALLET, network=RULES.network, now=now)


def test_nodes_of_the_workers_wallet_are_not_drawn() -> None:  # AUC-43
    own, other = node(2, wallet=1, weight=1000), node(3)
    assert drawn([own, other]) == (other,)


def test_draw_changes_from_day_to_day_and_follows_the_stake() -> None:  # AUC-43
    nodes = [node(number) for number in range(2, 12)] + [node(12, weight=100)]
    firsts = [drawn(nodes, day=day)[0].peer for day in range(60)]
    assert len(set(firsts)) > 1
    assert firsts.count(nodes[-1].peer) > 40, "a hundred of a hundred and ten lots are its own"


def test_reader_takes_a_verifier_that_is_a_little_further_down() -> None:  # AUC-43
    order = drawn([node(number) for number in range(2, 40)])
    peers = [peer_id_from_bytes(one.peer) for one in order]
    assert [is_drawn(peer, order) for peer in peers] == [True] * VERIFIERS_TAKEN + [False] * 28
    assert not is_drawn(BOB.peer, ())


# --- one device ---------------------------------------------------------------------------------------------------
def note(watch: DeviceWatch, who: Any, began: float, ended: float, *devices: str) -> Any:
    return watch.note(who.peer, devices, began=MonotonicS(began), ended=MonotonicS(ended))


def test_two_answers_at_once_from_one_device_are_seen() -> None:  # AUC-45
    watch = DeviceWatch()
    assert note(watch, BOB, 0.0, 1.0, "GPU-1", "GPU-2") is None
    assert note(watch, CAROL, 0.5, 1.5, "GPU-2") == BOB.peer


@pytest.mark.parametrize(
    ("who", "began", "ended", "device"),
    [(CAROL, 1.0, 2.0, "GPU-1"), (CAROL, 0.5, 1.5, "GPU-9"), (BOB, 0.5, 1.5, "GPU-1")],
)
def test_one_after_the_other_on_two_or_by_oneself_is_no_sharing(
    who: Any, began: float, ended: float, device: str
) -> None:  # AUC-45
    watch = DeviceWatch()
    note(watch, BOB, 0.0, 1.0, "GPU-1")
    assert note(watch, who, began, ended, device) is None
