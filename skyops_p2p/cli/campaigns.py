"""What commands share that run a network of their own to its end: signals, taking down, reports, and how it is told."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import click

from skyops_p2p.errors import TestnetError

if TYPE_CHECKING:
    from skyops_p2p.testnet.launcher import Testnet

REPORT_NAME = "report.md"
Ended_co = TypeVar("Ended_co", covariant=True)
Ended = TypeVar("Ended")


class Breach(Protocol):
    """Something that does not hold."""

    @property
    def text(self) -> str:
        """What, in a sentence."""


class Campaign(Protocol[Ended_co]):
    """Runs on a network that it makes."""

    @property
    def testnet(self) -> "Testnet | None":
        """That network; None before it is made."""

    def run(self) -> Ended_co:
        """Run to the end."""


def end_in_order() -> None:
    """Take SIGTERM and SIGHUP as Ctrl-C, so that the network is taken down; one that is ignored stays so (nohup)."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def run_campaign(campaign: Campaign[Ended], *, keep: bool, progress: Callable[[str], None]) -> Ended:
    """Run a campaign and take its network down, whatever happens.

    Args:
        campaign: A fresh one.
        keep: Leave the network up at the end; not after Ctrl-C.
        progress: Told what goes on.
    """
    try:
        return campaign.run()
    except KeyboardInterrupt:
        keep = False
        raise
    finally:
        if campaign.testnet is not None and not keep:
            progress("taking the network down")
            campaign.testnet.down()


def make_folder(folder: Path | None) -> None:
    """Make the folder of a report before anything is run for it.

    Raises:
        TestnetError: `report_unwritable`.
    """
    if folder is not None:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say in one line that a report cannot be written.

    Raises:
        TestnetError: `report_unwritable`.
    """
    try:
        yield
    except OSError as error:
        raise TestnetError(
            f"cannot write the report into {folder}: {error.strerror}",
            code="report_unwritable",
            hint="Name another folder, or make room.",
        ) from error


def tell_breaches(breaches: Sequence[Breach], *, code: str, command: str) -> None:
    """End with an error if something does not hold.

    Args:
        breaches: What does not.
        code: Of the error.
        command: Runs the same again.

    Raises:
        TestnetError: Under that code.
    """
    if breaches:
        raise TestnetError(
            f"{len(breaches)} things do not hold, the first: {breaches[0].text}",
            code=code,
            hint=f"{command} does the same again; with --keep the nodes and their logs stay.",
        )


def tell_kept(name: str, *, keep: bool) -> None:
    """Say how to look at a network that was left up."""
    if keep:
        click.echo(f"The network is still up: skyops testnet status --name {name}")
