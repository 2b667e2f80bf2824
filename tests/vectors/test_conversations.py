"""Whole auctions: each side replayed alone, and what travelled heard by a reader that shares no code with us."""

from typing import Any

import pytest

from tests.vectors.second_handshake import Network
from tests.vectors.second_talk import Listener, is_proven
from tests.vectors.talk import sides_of
from tests.vectors.test_vectors import Case, cases, everything, raw

HONEST = [case for case in cases("auction-conversations") if "requester" in case]


@everything("auction-conversations")
def test_each_side_alone_does_what_the_steps_say(
    case: Case,
) -> None:  # AUC-7, AUC-10, AUC-11, AUC-26 to AUC-34
    names = {step["who"] for step in case["steps"]}
    for who in sorted(names):
        side = sides_of(case)[who]
        for step in case["steps"]:
            if step["who"] == who:
                expected = {key: step[key] for key in ("effects", "deadline_unix_ms") if key in step}
                assert side.take(step) == expected


@pytest.mark.parametrize("case", HONEST, ids=lambda case: case["name"])
def test_every_message_follows_from_those_before(case: Case) -> None:  # AUC-26 to AUC-29, AUC-32
    listener = Listener(case)
    said: set[str] = set()
    ends: list[str] = []
    for step in case["steps"]:
        assert "bytes" not in step or step["bytes"] in said, "heard before it was said"
        asker = step.get("from", "alice") if step["who"] == "alice" else "alice"
        for effect in step["effects"]:
            said.add(effect.get("bytes", ""))
            match effect["effect"]:
                case "ask" | "send" | "publish" | "answer":
                    listener.hear(step["who"], effect.get("to", asker), raw(effect))
                case "store_book":
                    listener.store(raw(effect))
                case "finish" | "fail":
                    ends.append(effect["effect"])
                    if effect["effect"] == "finish":
                        listener.finish(effect)
    assert len(ends) == 1, "a match ends once"
    listener.end(is_matched=ends == ["finish"])


@pytest.mark.parametrize("kind", ["send", "store_book", "answer"])
def test_the_listener_misses_what_is_left_out(kind: str) -> None:
    (case,) = [case for case in HONEST if case["name"].startswith("the winner is silent")]
    steps = [
        {**step, "effects": [effect for effect in step["effects"] if effect["effect"] != kind]}
        for step in case["steps"]
    ]
    with pytest.raises((AssertionError, KeyError)):
        test_every_message_follows_from_those_before({**case, "steps": steps})


def proofs() -> list[Any]:
    found = []
    for case in cases("auction-conversations"):
        network = Network(case["network"], case["chain_id"], is_testnet=case["is_testnet"])
        peers = {party["name"]: party["peer_id"] for party in (*case["workers"], *case.get("others", []))}
        effects = [effect for step in case["steps"] for effect in step["effects"]]
        for effect in effects:
            if effect["effect"] == "keep_proof":
                evidence = [bytes.fromhex(part) for part in effect["evidence"]]
                offender = peers[effect["offender"]]
                found.append(pytest.param(effect["offence"], evidence, offender, network, id=case["name"]))
    return found


@pytest.mark.parametrize(("offence", "evidence", "offender", "network"), proofs())
def test_a_proof_convinces_a_stranger_and_half_of_it_does_not(
    offence: str, evidence: list[bytes], offender: str, network: Network
) -> None:
    assert is_proven(offence, evidence, offender, network)
    assert not is_proven(offence, evidence[:-1], offender, network)
    assert not is_proven(offence, [*evidence[:-1], evidence[0]], offender, network)
    stranger = offender[:-1] + ("a" if offender[-1] != "a" else "b")
    assert not is_proven(offence, evidence, stranger, network)


def test_there_is_a_proof_of_each_offence_of_a_requester_that_bob_alone_can_see() -> None:
    assert {proof.values[0] for proof in proofs()} == {
        "two_tenders",
        "two_commit_sets",
        "commit_censored",
        "misaward",
    }
