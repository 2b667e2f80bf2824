"""`dispute open --verdict` and `dispute status --verdict`: from a verdict to an accusation; what jurors are told."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from skyops_p2p.cli.invocation import Invocation
from skyops_p2p.cli.main import run_main
from skyops_p2p.core.verification.charge import Charge, charges_of
from skyops_p2p.core.verification.check import check_verdict
from skyops_p2p.crypto.wallet import address_from_bytes
from skyops_p2p.node.wallet.purse_views import DisputeView
from tests.gateway.fake_payments import FakePayments
from tests.unit.cli.test_money_commands import Said, ScriptedMoney
from tests.vectors.people import BOB, MALLORY, RULES
from tests.vectors.verification_examples import PRICE, Part, drawn_after, sealed_verdict

WRONG = Part(BOB, output=2)
OTHERS = [Part(who) for who in drawn_after(WRONG)[:2]]
DECIDED = sealed_verdict([WRONG, *OTHERS])
ONE = 10**18


def charge_in(data: bytes) -> Charge:
    (found,) = charges_of(check_verdict(data))
    return found


@dataclass
class Money(ScriptedMoney):
    """With one dispute about a result."""

    charge: Charge = field(default_factory=lambda: charge_in(DECIDED))

    def dispute(self, dispute: str) -> DisputeView:
        view = super().dispute("ab" * 32)
        return view.model_copy(
            update={
                "dispute": dispute,
                "proof": self.charge.proof.hex(),
                "commitment": self.charge.commitment.hex(),
                "made_unix_s": self.charge.made_unix_s,
            }
        )


@dataclass
class Client:
    """What `Invocation.client` gives."""

    money: Money = field(default_factory=Money)
    payments: FakePayments = field(default_factory=FakePayments)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Client:
    client = Client()
    monkeypatch.setattr(Invocation, "client", lambda _self: client)
    return client


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Run one command in this process, in the network of the vectors; return its exit code and what it said."""
    monkeypatch.setenv("SKYOPS_NETWORK_NAME", RULES.network)

    def run(*words: str) -> Said:
        code = run_main(list(words))
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def written(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def test_a_verdict_that_is_held_accuses_who_was_wrong(node: Client, say: Callable[..., Said]) -> None:
    (row,) = node.payments.verdicts().verdicts
    code, out, err = say("dispute", "open", "--verdict", row.digest[:8])
    assert code == 0, err
    (request,) = node.money.asked
    said = request.action.model_dump()
    held = charge_in(bytes.fromhex(node.payments.verdict(row.digest).data))
    assert (said["kind"], said["proof"]) == ("open_result_dispute", row.digest)
    assert [said["worker"]] == list(row.at_fault)
    assert (said["amount"], said["commitment"]) == (PRICE * 10**12, held.commitment.hex())
    assert f"Dispute {held.dispute.hex()}" in out
    assert "Show jurors the verdict" in out


def test_a_file_accuses_as_well(node: Client, say: Callable[..., Said], tmp_path: Path) -> None:
    path = written(tmp_path / "one.verdict", DECIDED)
    assert say("dispute", "open", "--verdict", path)[0] == 0
    assert node.money.asked[0].action.model_dump()["proof"] == charge_in(DECIDED).proof.hex()


def test_of_several_who_were_wrong_one_is_named(
    node: Client, say: Callable[..., Said], tmp_path: Path
) -> None:
    right = replace(WRONG, output=1)
    drawn = drawn_after(right)
    parts = [right, *(Part(who, output=2) for who in drawn[:2]), *map(Part, drawn[2:4])]
    data = sealed_verdict(parts)
    path = written(tmp_path / "one.verdict", data)
    code, _, err = say("dispute", "open", "--verdict", path)
    assert (code, "error[not_chargeable]" in err, "--worker" in err) == (2, True, True)
    wallets = [address_from_bytes(one.worker) for one in charges_of(check_verdict(data))]
    assert all(wallet in err for wallet in wallets)
    assert say("dispute", "open", "--verdict", path, "--worker", wallets[1].lower())[0] == 0
    assert node.money.asked[0].action.model_dump()["worker"] == wallets[1]
    code, _, err = say("dispute", "open", "--verdict", path, "--worker", address_from_bytes(bytes(20)))
    assert (code, "nobody with the wallet" in err) == (2, True)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (sealed_verdict([replace(WRONG, output=1), Part(drawn_after(replace(WRONG, output=1))[0])]),
         "not_chargeable"),
        (sealed_verdict([WRONG, *OTHERS], binding=None), "not_chargeable"),
        (sealed_verdict([WRONG, *OTHERS], MALLORY), "verdict_unusable"),
        (b"no verdict", "verdict_unusable"),
    ],
    ids=["nobody is wrong", "whose it is is not said", "forged", "no verdict"],
)  # fmt: skip
def test_what_accuses_nobody_is_refused(
    node: Client, say: Callable[..., Said], tmp_path: Path, data: bytes, code: str
) -> None:
    path = written(tmp_path / "one.verdict", data)
    exit_code, _, err = say("dispute", "open", "--verdict", path)
    assert (exit_code, f"error[{code}]" in err, node.money.asked) == (2, True, [])


def test_a_verdict_of_another_chain_accuses_nobody_here(
    node: Client, say: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKYOPS_NETWORK_CHAIN_ID", "5")
    path = written(tmp_path / "one.verdict", DECIDED)
    code, _, err = say("dispute", "open", "--verdict", path)
    assert (code, "error[verdict_unusable]" in err, node.money.asked) == (2, True, [])


def test_a_verdict_that_nobody_has_is_said_so(node: Client, say: Callable[..., Said], tmp_path: Path) -> None:
    assert "error[no_verdict]" in say("dispute", "open", "--verdict", "ffff0000")[2]
    assert "error[verdict_unusable]" in say("dispute", "open", "--verdict", str(tmp_path / "none"))[2]
    assert node.money.asked == []


@pytest.mark.parametrize(
    "words",
    [
        ["open"],
        ["open", "ab" * 32],
        ["open", "ab" * 32, "--verdict", "abcd"],
        ["open", "--verdict", "abcd", "--evidence", "EVIDENCE"],
        ["open", "--job", "ab" * 32, "--worker", "0x00", "--evidence", "EVIDENCE"],
    ],
)
def test_one_thing_is_challenged_and_with_what_belongs_to_it(
    node: Client, say: Callable[..., Said], tmp_path: Path, words: list[str]
) -> None:
    evidence = written(tmp_path / "run.log", b"abc")
    assert say("dispute", *(evidence if word == "EVIDENCE" else word for word in words))[0] == 2
    assert node.money.asked == []


def test_a_juror_is_told_whether_a_dispute_is_about_a_verdict(
    node: Client, say: Callable[..., Said], tmp_path: Path
) -> None:  # VER-29
    name = node.money.charge.dispute.hex()
    path = written(tmp_path / "one.verdict", DECIDED)
    code, out, _ = say("dispute", "status", name)
    assert (code, node.money.charge.proof.hex() in out, "bear" in out) == (0, True, False)
    code, out, _ = say("dispute", "status", name, "--verdict", path)
    assert (code, "says what this verdict says" in out, "see for yourself" in out) == (0, True, True)
    code, out, _ = say("dispute", "status", "cd" * 32, "--verdict", path)
    assert (code, "does not bear it out" in out, "is not what the verdict says" in out) == (13, True, True)
    code, out, _ = say("dispute", "status", "cd" * 32, "--verdict", path, "--json")
    assert (code, len(json.loads(out)["doubts"])) == (13, 1)


def test_a_verdict_says_what_its_dispute_would_be(say: Callable[..., Said], tmp_path: Path) -> None:  # VER-28
    path = written(tmp_path / "one.verdict", DECIDED)
    _, out, _ = say("verdict", "--check", path)
    charge = charge_in(DECIDED)
    assert f"wallet 0x{charge.worker.hex()}: worth 2 SKYOPS, dispute {charge.dispute.hex()}" in out
    assert "`skyops dispute open --verdict" in out
    found = json.loads(say("verdict", "--check", path, "--json")[1])["judged"][0]
    assert (found["worth_wei"], found["dispute"]) == (str(2 * ONE), charge.dispute.hex())
    assert found["commitment"] == charge.commitment.hex()
