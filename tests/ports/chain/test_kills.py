"""kill -9 at each step of sending: the next process pays once, neither twice nor never."""

import signal
import subprocess
import sys

import pytest
import trio

from skyops_p2p.adapters.chain import KeySigner, open_sender
from skyops_p2p.adapters.sqlite import open_sqlite_store
from skyops_p2p.core.chain.transaction import Ending
from tests.ports.chain.conftest import ALICE, BOB, World, pay, terms
from tests.repo.source_tree import ROOT

pytestmark = [pytest.mark.process, pytest.mark.net]


@pytest.mark.parametrize("step", ["before_journal", "after_journal", "after_offer", "before_end"])
async def test_a_killed_sender_pays_once(anvil: World, tmp_path, step: str) -> None:
    path = tmp_path / "store.db"
    command = [sys.executable, "-m", "tests.ports.chain.doomed_sender", anvil.url, str(path), step]
    with trio.fail_after(60):
        done = await trio.run_process(
            command, cwd=ROOT, check=False, capture_stderr=True, stdin=subprocess.DEVNULL
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        async with anvil.open() as chain, open_sqlite_store(path) as store:
            async with open_sender(chain, KeySigner(ALICE), store, terms=terms()) as sender:
                is_kept = step != "before_journal"
                assert sender.open_count == is_kept
                await sender.send("rent", pay(100))
                assert (await sender.wait("rent")).ending is Ending.CONFIRMED
            assert await chain.balance(BOB) == 100
