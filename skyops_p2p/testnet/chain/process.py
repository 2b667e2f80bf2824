"""The process of the embedded chain: opens its state, serves it, and writes where it is."""

import json
import os
import signal
from pathlib import Path

import trio

from skyops_p2p.errors import ChainError
from skyops_p2p.testnet.chain.place import ChainPlace, note_of


def serve_chain(place: ChainPlace, *, port: int, chain_id: int, block_s: float = 0.0) -> None:
    """Serve the chain of a directory until SIGTERM or SIGINT.

    Args:
        place: Its directory.
        port: TCP port on loopback; 0 picks a free one.
        chain_id: Its EVM chain id; a directory keeps the one with which it began.
        block_s: Seconds after which it makes a block though nobody sends anything; 0: never.

    Raises:
        ChainError: `chain_not_installed`, `chain_store_unusable`, `chain_port_taken`.
    """
    try:
        from skyops_p2p.testnet.chain.disk import ChainDisk
        from skyops_p2p.testnet.chain.evm import EmbeddedChain
        from skyops_p2p.testnet.chain.rpc import Rpc
        from skyops_p2p.testnet.chain.server import serve
    except ImportError as error:
        raise ChainError(
            f"the embedded chain is not installed: {error}",
            code="chain_not_installed",
            hint="It comes with the package: pip install --force-reinstall skyops-p2p",
        ) from error
    place.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    chain = EmbeddedChain(ChainDisk(place.state), chain_id=chain_id)

    async def main() -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:

                def is_ready(bound: int) -> None:
                    _write(place.note, note_of(bound, chain_id=chain_id, pid=os.getpid()))

                async def until_signal() -> None:
                    async for _ in signals:
                        nursery.cancel_scope.cancel()
                        return

                async def make_blocks() -> None:
                    while block_s:
                        await trio.sleep(block_s)
                        chain.mine()

                nursery.start_soon(until_signal)
                nursery.start_soon(make_blocks)
                await serve(Rpc(chain).answer, port=port, is_ready=is_ready)

    try:
        trio.run(main, strict_exception_groups=False)
    except OSError as error:
        raise ChainError(f"port {port}: {error.strerror or error}", code="chain_port_taken") from error
    finally:
        chain.close()
        place.note.unlink(missing_ok=True)


def _write(path: Path, note: dict[str, object]) -> None:
    """Write whole or not at all."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(note), encoding="utf-8")
    new.replace(path)
