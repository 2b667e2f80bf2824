"""A process that kills itself with SIGKILL at a named step of sending: python doomed_sender.py URL STORE STEP."""

import os
import signal
import sys
from pathlib import Path

import trio

from skyops_p2p.adapters.chain import KeySigner, open_chain, open_sender
from skyops_p2p.adapters.chain.client import JsonRpcChain
from skyops_p2p.adapters.chain.journal import SenderJournal
from skyops_p2p.adapters.sqlite import open_sqlite_store
from tests.ports.chain.conftest import ALICE, pay, terms


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def doom(step: str) -> None:
    ordered, offer, ended = SenderJournal.ordered, JsonRpcChain.offer, SenderJournal.ended

    async def ordered_then(*args, **kwargs):
        if step == "before_journal":
            die()
        await ordered(*args, **kwargs)
        if step == "after_journal":
            die()

    async def offer_then(*args, **kwargs):
        await offer(*args, **kwargs)
        if step == "after_offer":
            die()

    async def ended_then(*args, **kwargs):
        if step == "before_end":
            die()
        await ended(*args, **kwargs)

    SenderJournal.ordered, JsonRpcChain.offer, SenderJournal.ended = ordered_then, offer_then, ended_then


async def main(url: str, path: str) -> None:
    async with open_sqlite_store(Path(path)) as store, open_chain([url], chain_id=31337) as chain:
        sending = open_sender(chain, KeySigner(ALICE), store, terms=terms())
        async with sending as sender:
            await sender.send("rent", pay(100))
            await sender.wait("rent")


if __name__ == "__main__":
    doom(sys.argv[3])
    trio.run(main, sys.argv[1], sys.argv[2])
