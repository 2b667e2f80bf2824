"""`wallet`, `stake` and `dispute`: what they ask the running node for, what they print, and what they refuse."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from skyops_p2p.cli.invocation import Invocation
from skyops_p2p.cli.main import run_main
from skyops_p2p.errors import ChainRefusal, NetworkError
from skyops_p2p.node.wallet.actions import Action, ActionRequest
from skyops_p2p.node.wallet.purse_views import (
    ActionView,
    AllotmentView,
    BalanceView,
    DisputeView,
    PlanView,
    StakeView,
    StepView,
    TokenView,
)

ALICE = "0xAb5801a7D398351b8bE11C439e05C5B3259aeC9B"
BOB = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
SENT = "0x" + "cd" * 32
ID = "ab" * 32
ONE = 10**18
READY = 1_800_000_000
DONE = StepView(name="deposit", text="moves it", state="done", transaction=SENT, gas=98_123, fee_wei=10**14)
WAITING = StepView(name="deposit", text="moves it", state="waiting", transaction=SENT)


@dataclass
class ScriptedMoney:
    """A node whose money goes through a script; the last view stays."""

    script: list[list[StepView]] = field(default_factory=lambda: [[DONE]])
    asked: list[ActionRequest] = field(default_factory=list)
    planned: list[Action] = field(default_factory=list)
    refusal: Exception | None = None

    def act(self, request: ActionRequest) -> ActionView:
        if self.refusal is not None:
            raise self.refusal
        self.asked.append(ActionRequest.model_validate(request.model_dump(mode="json")))  # as it travels
        steps = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        is_done = all(step.state in ("done", "skipped") for step in steps)
        return ActionView(key=request.key, kind=request.action.kind, is_done=is_done, steps=tuple(steps))

    def plan(self, action: Action) -> PlanView:
        self.planned.append(action)
        first = StepView(name="approve", text="lets it", state="open", gas=46_000, fee_wei=46_000 * 10**9)
        second = StepView(name="stake", text="registers", state="open")
        return PlanView(kind=action.kind, steps=(first, second), coin_wei=2 * ONE)

    def balance(self) -> BalanceView:
        empty = {
            "credit_wei": 0,
            "owed_wei": 0,
            "withdrawal_wei": 0,
            "withdrawal_at_unix_s": 0,
            "allotments": (),
        }
        allotment = AllotmentView(worker=BOB, amount_wei=7 * ONE, held_wei=ONE, returns_at_unix_s=READY)
        token = empty | {
            "owed_wei": 2 * ONE,
            "credit_wei": ONE // 2,
            "withdrawal_wei": 40 * ONE,
            "withdrawal_at_unix_s": READY,
            "allotments": (allotment,),
        }
        return BalanceView(
            wallet=ALICE,
            chain_id=31337,
            chain_unix_s=READY,
            is_paused=True,
            tokens=(
                TokenView(symbol="SKYOPS", wallet_wei=12 * ONE, deposit_wei=100 * ONE, **token),
                TokenView(symbol="ETH", wallet_wei=0, deposit_wei=1, **empty),
            ),
        )

    def stake(self) -> StakeView:
        return StakeView(
            wallet=ALICE,
            chain_unix_s=READY,
            state="inactive",
            stake_wei=70 * ONE,
            locked_wei=0,
            unbonding_wei=30 * ONE,
            unbonded_at_unix_s=READY,
            holds=0,
            marked_at_unix_s=READY,
            binding=ID,
            metadata_uri="",
            least_wei=100 * ONE,
            burn_wei=5 * ONE,
            unbonding_s=14 * 86_400,
            wallet_wei=3 * ONE,
        )

    def dispute(self, dispute: str) -> DisputeView:
        if dispute != ID:
            raise ChainRefusal(f"there is no dispute {dispute}", code="unknown_dispute", hint="Copy it.")
        return DisputeView(
            dispute=dispute,
            chain_unix_s=READY,
            phase="commit",
            until_unix_s=READY,
            challenger=ALICE,
            requester=ALICE,
            worker=BOB,
            symbol="SKYOPS",
            amount_wei=20 * ONE,
            worth_wei=20 * ONE,
            bond_wei=10 * ONE,
            opened_at_unix_s=READY - 60,
            round=0,
            verdict="none",
            jury=ID,
            seats=(BOB,),
            seats_wanted=7,
            rights=0,
            wrongs=0,
            seat_stake_wei=10 * ONE,
            is_settled=False,
        )


@dataclass
class ScriptedClient:
    """What `Invocation.client` gives."""

    money: ScriptedMoney


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> ScriptedMoney:
    money = ScriptedMoney()
    monkeypatch.setattr(Invocation, "client", lambda _self: ScriptedClient(money))
    return money


Said = tuple[int, str, str]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run one command in this process; return its exit code and what it said."""

    def run(*words: str) -> Said:
        code = run_main(list(words))
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("wallet deposit 12.5 SKYOPS", {"kind": "deposit", "symbol": "SKYOPS", "amount": 125 * ONE // 10}),
        ("wallet deposit 0.1 ETH", {"kind": "deposit", "symbol": "ETH", "amount": ONE // 10}),
        ("wallet deposit 100 wei --token ETH", {"kind": "deposit", "symbol": "ETH", "amount": 100}),
        (
            f"wallet deposit 7 skyops --for {BOB.lower()}",
            {"kind": "deposit", "worker": BOB, "amount": 7 * ONE},
        ),
        ("wallet withdraw 40 SKYOPS", {"kind": "request_withdrawal", "amount": 40 * ONE}),
        ("wallet withdraw 0 SKYOPS", {"kind": "request_withdrawal", "amount": 0}),
        ("wallet withdraw", {"kind": "withdraw", "symbol": "SKYOPS"}),
        ("wallet withdraw --token ETH", {"kind": "withdraw", "symbol": "ETH"}),
        (f"wallet withdraw --for {BOB}", {"kind": "return_allotment", "worker": BOB}),
        ("wallet collect", {"kind": "collect", "symbol": "SKYOPS"}),
        (
            "wallet approve reservations 50",
            {"kind": "approve", "contract": "Reservations", "amount": 50 * ONE},
        ),
        ("stake unstake 30", {"kind": "unstake", "amount": 30 * ONE}),
        ("stake unstake", {"kind": "withdraw_stake"}),
        (
            f"dispute vote 0x{ID} wrong",
            {"kind": "vote", "dispute": ID, "is_worker_right": False, "finding": "00" * 32},
        ),
        (f"dispute enrol {ID.upper()}", {"kind": "enrol", "dispute": ID}),
        (f"dispute advance {ID}", {"kind": "advance", "dispute": ID}),
    ],
)
def test_a_command_asks_the_running_node_for_one_act(
    node: ScriptedMoney, say: Callable[..., Said], words: str, wanted: dict[str, object]
) -> None:
    code, out, _ = say(*words.split(), "--key", "mine")
    assert code == 0
    assert f"Done: moves it\n  transaction  {SENT}\n  gas          98,123, 0.0001 ETH" in out
    (request,) = node.asked
    assert (request.key, wanted.items() <= request.action.model_dump().items()) == ("mine", True)


def test_evidence_is_named_by_its_hash(node: ScriptedMoney, say: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "run.log").write_bytes(b"abc")
    evidence = ("--evidence", str(tmp_path / "run.log"))
    assert say("dispute", "respond", ID, *evidence)[0] == 0
    assert say("dispute", "open", "--job", ID, *evidence)[0] == 0
    hashes = {request.action.model_dump()["evidence"] for request in node.asked}
    assert hashes == {"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}


def test_an_act_is_asked_for_again_until_it_is_done(
    node: ScriptedMoney, say: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    node.script = [[WAITING], [WAITING], [DONE]]
    code, out, err = say("wallet", "deposit", "1", "SKYOPS")
    assert (code, out.startswith("Done: "), f"waiting for {SENT}" in err) == (0, True, True)
    assert len({request.key for request in node.asked}) == 1
    say("wallet", "deposit", "1", "SKYOPS")
    assert len({request.key for request in node.asked}) == 2  # another command is another act


def test_what_is_under_way_is_told_with_its_hash_and_its_key(
    node: ScriptedMoney, say: Callable[..., Said]
) -> None:
    node.script = [[WAITING]]
    code, out, _ = say("wallet", "deposit", "1", "SKYOPS", "--no-wait", "--key", "mine")
    assert (code, f"Sent: moves it\n  transaction  {SENT}" in out, "--key mine" in out) == (0, True, True)
    assert len(node.asked) == 1
    code, out, _ = say("wallet", "deposit", "1", "SKYOPS", "--no-wait", "--json")
    assert (code, json.loads(out)["is_done"]) == (0, False)


def test_a_dry_run_sends_nothing(node: ScriptedMoney, say: Callable[..., Said]) -> None:
    code, out, _ = say("wallet", "deposit", "1", "SKYOPS", "--dry-run")
    assert (code, node.asked, len(node.planned)) == (0, [], 1)
    assert "approve: lets it (about 46,000 gas, 0.000046 ETH now)" in out
    assert "stake: registers (gas not known before the step above is done)" in out
    assert json.loads(say("wallet", "deposit", "1", "SKYOPS", "--dry-run", "--json")[1])["coin_wei"] == str(
        2 * ONE
    )


def test_balance_shows_what_is_where_and_what_comes_next(
    node: ScriptedMoney, say: Callable[..., Said]
) -> None:
    _, out, _ = say("wallet", "balance")
    lines = out.splitlines()
    assert lines[1].split("  ")[0] == "TOKEN"
    assert lines[2].split() == ["SKYOPS", "12", "100", "7", "0.5", "2"]
    assert lines[3].split() == ["ETH", "0", "0.000000000000000001", "0", "0", "0"]
    assert "from 2027-01-15 08:00:00 UTC" in lines[6]
    assert "40 SKYOPS can leave the deposit from 2027-01-15 08:00:00 UTC: `skyops wallet withdraw`." in out
    assert "2.5 SKYOPS can be collected" in out
    assert "no ETH" in out
    assert "paused" in out
    assert json.loads(say("wallet", "balance", "--json")[1])["tokens"][0]["deposit_wei"] == str(100 * ONE)


def test_stake_and_dispute_say_what_comes_next(node: ScriptedMoney, say: Callable[..., Said]) -> None:
    _, out, _ = say("stake", "status")
    assert "Not ACTIVE: `skyops stake add` up to 100 SKYOPS makes it so." in out
    assert "What is unbonding can leave from 2027-01-15 08:00:00 UTC" in out
    _, out, _ = say("dispute", "status", ID)
    assert "commit, until 2027-01-15 08:00:00 UTC" in out
    assert "`skyops dispute vote`" in out
    code, _, err = say("dispute", "status", "00" * 32)
    assert (code, "error[unknown_dispute]" in err) == (7, True)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("wallet deposit 12.5", "amount_invalid"),
        ("wallet deposit -1 SKYOPS", None),
        ("wallet deposit 1e3 SKYOPS", "amount_invalid"),
        ("wallet deposit 1 DOGE", "amount_invalid"),
        ("wallet deposit 0.1 ETH --token SKYOPS", "amount_invalid"),
        ("wallet deposit 0.0000000000000000001 ETH", "amount_invalid"),
        ("wallet deposit 1 SKYOPS --for 0x12", "account_invalid"),
        (f"wallet deposit 1 SKYOPS --for {BOB.replace('f39F', 'F39f')}", "account_invalid"),
        (f"wallet withdraw 1 SKYOPS --for {BOB}", None),
        ("wallet approve Nobody 1", None),
        ("stake add 1 ETH", "amount_invalid"),
        ("dispute status 12", "hash_invalid"),
        (f"dispute vote {ID} maybe", None),
    ],
)
def test_wrong_input_is_refused_before_anything_is_asked(
    node: ScriptedMoney, say: Callable[..., Said], words: str, code: str | None
) -> None:
    exit_code, _, err = say(*words.split())
    assert (exit_code, node.asked) == (2, [])
    assert code is None or f"error[{code}]" in err


def test_a_refusal_of_the_node_comes_out_as_it_is(node: ScriptedMoney, say: Callable[..., Said]) -> None:
    node.refusal = ChainRefusal("the deposit holds 1 SKYOPS", code="deposit_short", hint="Ask for less.")
    code, _, err = say("wallet", "withdraw", "2", "SKYOPS")
    assert (code, err) == (7, "error[deposit_short]: the deposit holds 1 SKYOPS -> Ask for less.\n")


def test_a_node_that_hangs_is_not_gone_round(
    monkeypatch: pytest.MonkeyPatch, say: Callable[..., Said]
) -> None:
    def hang(_self: Invocation) -> ScriptedClient:
        raise NetworkError("it does not answer", code="node_not_answering")

    monkeypatch.setattr(Invocation, "client", hang)
    code, _, err = say("wallet", "balance")
    assert (code, "error[node_not_answering]" in err) == (4, True)


def test_without_contracts_a_command_says_how_to_get_them(own_home: Path, say: Callable[..., Said]) -> None:
    here = str(own_home / "node")
    assert say("init", "--testnet", "testnet-money", "--data-dir", here)[0] == 0
    for words in (("wallet", "balance"), ("wallet", "deposit", "1", "SKYOPS"), ("stake", "status")):
        code, _, err = say("--data-dir", here, *words)
        assert (code, "error[payment_not_configured]" in err, "payment.directory" in err) == (2, True, True)


def test_a_wallet_is_made_imported_and_never_overwritten(own_home: Path, say: Callable[..., Said]) -> None:
    here, there = str(own_home / "one"), str(own_home / "two")
    phrase = own_home / "phrase"
    phrase.touch(mode=0o600)
    phrase.write_text("correct horse\n")
    given = ("--passphrase-file", str(phrase))
    code, out, _ = say("wallet", "import", str(_secret_file(own_home)), "--data-dir", here, *given, "--json")
    told = json.loads(out)
    assert (code, told["wallet"]) == (0, BOB)
    wallet = own_home / "one" / "wallet.json"
    assert wallet.stat().st_mode & 0o777 == 0o600
    assert "ac0974bec39a17e3" not in wallet.read_text() + out
    assert say("wallet", "address", "--data-dir", here)[1] == BOB + "\n"
    before = wallet.read_bytes()
    for words in (("wallet", "new"), ("wallet", "import", str(wallet))):
        code, _, err = say(*words, "--data-dir", here, *given)
        assert (code, "error[identity_exists]" in err) == (3, True)
    assert wallet.read_bytes() == before
    taken = ("wallet", "import", str(wallet), "--data-dir", there, *given)
    code, _, err = say(*taken)
    assert (code, "--old-passphrase-file" in err) == (3, True)
    assert json.loads(say(*taken, "--old-passphrase-file", str(phrase), "--json")[1])["wallet"] == BOB


def _secret_file(folder: Path) -> Path:
    path = folder / "secret.txt"
    path.write_text("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80\n")
    return path


def test_a_secret_that_is_none_is_not_repeated(own_home: Path, say: Callable[..., Said]) -> None:
    path = own_home / "secret.txt"
    path.write_text("hunter2 " * 8)
    code, out, err = say("wallet", "import", str(path), "--data-dir", str(own_home / "x"))
    assert (code, "error[key_damaged]" in err, "hunter2" in out + err) == (3, True, False)
