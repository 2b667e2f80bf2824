"""When the wallet's passphrase is asked for, and when not."""

from pathlib import Path

import click
import pytest

from skyops_p2p.cli.identity import make_identity, open_identity
from skyops_p2p.errors import IdentityError


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sit at a terminal and always type "correct horse"; returns what was asked."""
    questions: list[str] = []

    def prompt(text: str, **_options: object) -> str:
        questions.append(text)
        return "correct horse"

    monkeypatch.setattr("os.isatty", lambda _descriptor: True)
    monkeypatch.setattr(click, "prompt", prompt)
    return questions


def test_protected_wallet_is_asked_for_once(tmp_path: Path, asked: list[str]) -> None:
    made = make_identity(tmp_path, "correct horse")
    assert open_identity(tmp_path, {}).wallet.address == made.wallet.address
    assert asked == ["Passphrase of the wallet"]


def test_unprotected_wallet_opens_without_a_question(tmp_path: Path, asked: list[str]) -> None:
    made = make_identity(tmp_path, "")
    assert open_identity(tmp_path, {}).wallet.address == made.wallet.address
    assert asked == []


def test_given_passphrase_is_not_asked_for_again(tmp_path: Path, asked: list[str]) -> None:
    make_identity(tmp_path, "correct horse")
    with pytest.raises(IdentityError) as error:
        open_identity(tmp_path, {"SKYOPS_WALLET_PASSPHRASE": "wrong"})
    assert (error.value.code, asked) == ("wrong_passphrase", [])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"crypto": 1}'])
def test_damaged_wallet_is_told_without_a_question(tmp_path: Path, asked: list[str], text: str) -> None:
    make_identity(tmp_path, "")
    (tmp_path / "wallet.json").write_text(text)
    with pytest.raises(IdentityError) as error:
        open_identity(tmp_path, {})
    assert (error.value.code, asked) == ("key_damaged", [])
