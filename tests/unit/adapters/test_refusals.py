"""Every code that a contract can revert with is told in words."""

import re
from pathlib import Path

from eth_abi.abi import encode

from skyops_p2p.adapters.contracts.refusals import REASONS, explained, revert_reason
from skyops_p2p.errors import ChainRefusal

SOURCES = Path(__file__).parents[3] / "contracts" / "src"
CODE = re.compile(
    r'(?:assert .*|raise ), ?"([a-z_]+)"|raise "([a-z_]+)"|, "([a-z]+(?:_[a-z]+)*)"$', re.MULTILINE
)
ERROR = bytes.fromhex("08c379a0")


def _codes() -> set[str]:
    texts = [path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.vy")]
    return {name for text in texts for found in CODE.findall(text) for name in found if name}


def test_every_code_of_the_contracts_has_a_sentence_and_no_other() -> None:
    codes = _codes()
    assert len(codes) > 50
    assert set(REASONS) == codes


def test_a_revert_is_explained_and_keeps_its_code() -> None:
    data = ERROR + encode(["string"], ["too_soon"])
    said = explained(ChainRefusal("execution reverted", code="call_reverted", data=data))
    assert (said.code, said.reason, said.data) == ("call_reverted", "too_soon", data)
    assert said.message == f"{REASONS['too_soon']} (too_soon)"


def test_what_is_no_contracts_refusal_stays_as_it_is() -> None:
    for code, data in (
        ("funds_missing", b""),
        ("call_reverted", b""),
        ("call_reverted", b"\x01\x02\x03\x04"),
    ):
        refusal = ChainRefusal("as the chain said", code=code, data=data)
        assert explained(refusal) is refusal


def test_unknown_and_hostile_reasons_are_shown_short_and_plain() -> None:
    assert revert_reason(ERROR + encode(["string"], ["x\n\x1b[2Jy" * 40]))[:9] == "x  [2Jyx "
    assert len(revert_reason(ERROR + encode(["string"], ["x" * 500]))) == 64
    assert revert_reason(ERROR + b"\xff" * 64) == ""
    assert revert_reason(ERROR) == ""
    data = ERROR + encode(["string"], ["moon_phase"])
    said = explained(ChainRefusal("execution reverted", code="call_reverted", data=data))
    assert said.message == "the contract refuses: moon_phase"
