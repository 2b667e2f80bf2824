"""What commands of campaigns share: the network is taken down, a report has a place before anything runs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from skyops_p2p.cli.campaigns import make_folder, run_campaign, tell_breaches, tell_kept, writing
from skyops_p2p.errors import TestnetError
from skyops_p2p.testnet.launcher import Testnet


@dataclass
class FakeNetwork:
    downs: int = 0

    def down(self) -> int:
        self.downs += 1
        return 3


@dataclass
class FakeCampaign:
    error: BaseException | None = None
    network: FakeNetwork = field(default_factory=FakeNetwork)

    @property
    def testnet(self) -> Testnet:
        return cast("Testnet", self.network)

    def run(self) -> str:
        if self.error is not None:
            raise self.error
        return "ended"


@dataclass
class FakeBreach:
    text: str


@pytest.mark.parametrize(("keep", "downs"), [(False, 1), (True, 0)])
def test_the_network_is_taken_down_unless_it_is_kept(keep: bool, downs: int) -> None:
    campaign, told = FakeCampaign(), list[str]()
    assert run_campaign(campaign, keep=keep, progress=told.append) == "ended"
    assert (campaign.network.downs, len(told)) == (downs, downs)


def test_ctrl_c_takes_it_down_also_if_it_was_to_be_kept() -> None:
    campaign = FakeCampaign(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run_campaign(campaign, keep=True, progress=lambda _text: None)
    assert campaign.network.downs == 1


def test_a_failure_leaves_what_was_to_be_kept() -> None:
    campaign = FakeCampaign(TestnetError("it broke", code="testnet_failed"))
    with pytest.raises(TestnetError):
        run_campaign(campaign, keep=True, progress=lambda _text: None)
    assert campaign.network.downs == 0


def test_a_folder_that_cannot_be_made_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    make_folder(None)
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    with pytest.raises(TestnetError) as caught:
        make_folder(tmp_path / "file" / "b")
    assert caught.value.code == "report_unwritable"


def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(TestnetError, match="No space left") as caught, writing(tmp_path):
        raise OSError(28, "No space left on device")
    assert caught.value.code == "report_unwritable"


def test_what_does_not_hold_is_an_error_that_says_how_to_see_it_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell_breaches((), code="trust_failed", command="skyops testnet trust --seed 1")
    with pytest.raises(TestnetError) as caught:
        tell_breaches(
            [FakeBreach("one"), FakeBreach("two")],
            code="trust_failed",
            command="skyops testnet trust --seed 1",
        )
    assert (caught.value.code, caught.value.message) == (
        "trust_failed",
        "2 things do not hold, the first: one",
    )
    assert "--seed 1" in caught.value.hint
    tell_kept("trust-1", keep=False)
    tell_kept("trust-1", keep=True)
    assert capsys.readouterr().out == "The network is still up: skyops testnet status --name trust-1\n"
