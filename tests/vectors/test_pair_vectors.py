"""Conversations of a pair: our machines do what the steps say, and each message follows by the second reader."""

import copy

import pytest

from skyops_p2p.crypto.wallet import Wallet
from tests.vectors.pair_talk import sides_of
from tests.vectors.second_crypto import RefusedError
from tests.vectors.second_pair import Pair, read
from tests.vectors.test_settlement_vectors import pair_of
from tests.vectors.test_vectors import Case, cases, everything, raw


@everything("pairs")
def test_our_machines_do_what_the_steps_say(
    case: Case,
) -> None:  # SET-4 to SET-13, SET-16, SET-18 to SET-22, SET-24
    wallets = (Wallet.from_secret(raw(case, name)) for name in ("requester_secret", "worker_secret"))
    sides = sides_of(pair_of(case["pair"]), *wallets)
    for number, step in enumerate(case["steps"]):
        outcome = sides[step["who"]].take(step)
        assert outcome == {name: step[name] for name in ("effects", "deadline_ms") if name in step}, (
            f"step {number}"
        )


@everything("pairs")
def test_every_message_follows_by_the_second_reader(
    case: Case,
) -> None:  # SET-5 to SET-15, SET-19, SET-20, SET-25
    _read_again(case)


def _read_again(case: Case) -> None:
    pair = Pair(case)
    for step in case["steps"]:
        pair.take(step)


def _said(name: str) -> list[tuple[int, int]]:
    """Return where in the first conversation a message of a kind is sent: (step, effect)."""
    found = []
    for number, step in enumerate(cases("pairs")[0]["steps"]):
        for place, effect in enumerate(step["effects"]):
            if effect["effect"] == "send" and read(bytes.fromhex(effect["bytes"]))[0] == name:
                found.append((number, place))
    return found


@pytest.mark.parametrize("name", ["lane-offer", "lane-answer", "meter", "voucher", "voucher-answer"])
def test_second_reader_notices_another_message(name: str) -> None:
    """The same kind of message of a later step, or with a changed byte in the middle, does not follow."""
    case = copy.deepcopy(cases("pairs")[0])
    number, place = _said(name)[-1]
    effect = case["steps"][number]["effects"][place]
    data = bytearray(bytes.fromhex(effect["bytes"]))
    data[-1] ^= 1
    effect["bytes"] = data.hex()
    with pytest.raises((AssertionError, RefusedError, KeyError)):
        _read_again(case)


def test_second_reader_notices_what_was_sent_before_it_was_stored() -> None:  # SET-19
    case = copy.deepcopy(cases("pairs")[0])
    number, place = _said("voucher")[0]
    effects = case["steps"][number]["effects"]
    effects.insert(0, effects.pop(place))
    with pytest.raises(AssertionError, match="SET-19"):
        _read_again(case)


def test_conversations_hold_every_effect_and_the_codes_of_refusal() -> None:
    effects = [effect for case in cases("pairs") for step in case["steps"] for effect in step["effects"]]
    kinds = {"store", "send", "start", "pause", "resume", "stop", "close", "keep_receipt", "redeem", "warn"}
    assert {effect["effect"] for effect in effects} == kinds
    answers = [read(bytes.fromhex(effect["bytes"])) for effect in effects if effect["effect"] == "send"]
    codes = {fields["code"] for name, fields in answers if name == "voucher-answer"}
    assert codes == {
        "taken",
        "bad_signature",
        "wrong_amount",
        "wrong_interval",
        "unknown_lane",
        "stale_voucher",
    }
