"""The vectors of chapter 03, by skyops_p2p and by the second reader that shares no code with it."""

from typing import Any

from skyops_p2p.core.records import check_equivocation, check_presence, check_record
from skyops_p2p.core.rules import NetworkRules
from skyops_p2p.types import NetworkName, UnixMs
from skyops_p2p.wire.messages.peering import EquivocationProof
from skyops_p2p.wire.model import decode_message
from tests.vectors import second_peering as second
from tests.vectors.second_handshake import Network
from tests.vectors.test_vectors import Case, everything, expect, raw


def place(case: Case) -> tuple[NetworkRules, Network]:
    name, chain_id, is_testnet = case["network"], case["chain_id"], case["is_testnet"]
    return NetworkRules(NetworkName(name), chain_id, is_testnet), Network(
        name, chain_id, is_testnet=is_testnet
    )


@everything("records")
def test_records(case: Case) -> None:  # PER-1, PER-2, PER-3, PER-5, PER-30
    rules, network = place(case)
    now = UnixMs(case["now_unix_ms"])

    def ours(case: Case) -> Any:
        verified = check_record(raw(case), rules, now=now)
        return verified.peer, verified.binding.wallet

    expect(
        case,
        (case.get("peer"), case.get("wallet")),
        ours,
        lambda case: second.check_record(raw(case), network, now),
    )


@everything("presence")
def test_presence(case: Case) -> None:  # PER-7, PER-8
    rules, network = place(case)
    now = UnixMs(case["now_unix_ms"])
    expect(
        case,
        case.get("peer"),
        lambda case: check_presence(raw(case), rules, now=now).signer,
        lambda case: second.check_presence(raw(case), network, now),
    )


@everything("proofs")
def test_proofs(case: Case) -> None:  # PER-12
    rules, network = place(case)
    expect(
        case,
        case.get("peer"),
        lambda case: check_equivocation(decode_message(EquivocationProof, raw(case)), rules),
        lambda case: second.check_proof(raw(case), network),
    )


@everything("sync")
def test_sync_by_the_second_reader(case: Case) -> None:  # PER-15, PER-16
    held = {bytes.fromhex(peer): sequence for peer, sequence in case["held"]}
    assert second.digests(held) == raw(case, "digests")
    for given in case["answers"]:
        peers, is_complete = second.answer(held, raw(case, "asker"), raw(given, "after"))
        assert [peer.hex() for peer in peers] == given["peers"]
        assert is_complete == given["is_complete"]


@everything("beliefs")
def test_beliefs_by_the_second_reader(case: Case) -> None:  # PER-21, PER-22, PER-23
    belief = second.Belief(needs_stake=case["needs_stake"])
    for step in case["steps"]:
        effects = belief.step(step["event"], step["at_s"])
        assert (belief.state, effects, belief.due) == (step["state"], step["effects"], step["deadline_s"])
