"""Brings data that is no file of this machine here, for a job's inputs: outputs of other jobs, and IPFS content.

What passes through lies in a private directory until it is sealed, and is gone afterwards.
"""

import secrets
from collections.abc import Callable
from pathlib import Path

import trio

from skyops_p2p.errors import ExecutionError, RemoteProtocolError
from skyops_p2p.node.content.ipfs import IpfsExchange
from skyops_p2p.node.content.links import Holder
from skyops_p2p.node.content.shelf import no_progress
from skyops_p2p.node.jobs.inputs import INPUT_BYTES_MAX, Source
from skyops_p2p.node.jobs.job_task import JobTask
from skyops_p2p.node.jobs.results import open_result
from skyops_p2p.wire.cid import parse_cid

NAME = "content"
"""What a fetched file is called: always alike, so that it is sealed alike."""


class OtherJobs:
    """Resolves `job:ID` and `job:ID/path`.

    Args:
        folder: For what passes through.
        find: Returns the job of an id or a name.
    """

    def __init__(self, folder: Path, find: Callable[[str], JobTask]) -> None:
        self._folder = folder
        self._find = find

    async def resolve(self, uri: str) -> Source:
        """Wait for the job to end, and open what the URI names.

        Raises:
            ExecutionError: `unknown_job`, `no_result`, or `input_missing`.
        """
        name, _, path = uri.removeprefix("job:").partition("/")
        task = self._find(name)
        await task.wait_over()
        passage = self._folder / secrets.token_hex(8)
        await open_result(task, passage, progress=no_progress)
        found = passage / path if path else passage
        if not await trio.to_thread.run_sync(found.exists):
            raise ExecutionError(
                f"{uri}: the outputs of {name} hold no {path}",
                code="input_missing",
                hint=f"`skyops result {name}` shows what they hold.",
            )
        return Source(found, is_file=found.is_file(), passage=passage)


class IpfsContent:
    """Resolves `ipfs://CID/path` and `cid:CID/path` by Bitswap.

    Args:
        folder: For what passes through.
        exchange: Asks other nodes.
        peers: Whom to ask: IPFS nodes of the settings, and connected peers.
    """

    def __init__(self, folder: Path, exchange: IpfsExchange, peers: Callable[[], list[Holder]]) -> None:
        self._folder = folder
        self._exchange = exchange
        self._peers = peers

    async def resolve(self, uri: str) -> Source:
        """Fetch a graph, check it block by block, and write it out.

        Raises:
            ExecutionError: `input_unusable` (no CID), or `input_missing` (nobody that was asked has it, or it holds no
                such path).
        """
        text, _, path = uri.partition(":")[2].removeprefix("//").partition("/")
        passage = self._folder / secrets.token_hex(8)
        lone = passage / secrets.token_hex(
            8
        )  # where one file goes; of a directory the entries go into the passage
        try:
            root = parse_cid(text)
            owner = f"ipfs/{root}"
            await self._exchange.fetch(root, self._peers(), owner=owner, bytes_max=INPUT_BYTES_MAX)
            await trio.to_thread.run_sync(lambda: passage.mkdir(mode=0o700, parents=True))
            await self._exchange.export(root, passage, lone.name)
        except RemoteProtocolError as error:
            raise ExecutionError(f"{uri}: {error.message}", code="input_unusable") from error
        base = passage
        if await trio.to_thread.run_sync(lone.exists):
            base = await trio.to_thread.run_sync(lone.rename, passage / NAME)
        found = base / path if path else base
        if not await trio.to_thread.run_sync(found.exists):
            raise ExecutionError(f"{uri} holds no {path}", code="input_missing")
        return Source(found, is_file=found.is_file(), passage=passage)
