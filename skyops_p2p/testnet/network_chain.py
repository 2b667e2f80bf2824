"""The embedded chain of a test network: a process beside the nodes, on a port that stays the same."""

import signal
from collections.abc import Sequence
from pathlib import Path

from skyops_p2p import limits
from skyops_p2p.testnet.chain.place import ChainPlace, chain_place, find_chain, launch_chain, wait_chain
from skyops_p2p.testnet.creation import chain_dir, node_dir
from skyops_p2p.testnet.processes import send_signal, state_of, wait_state
from skyops_p2p.testnet.record import ChainEntry, NodeEntry, TestnetRecord


class NetworkChain:
    """One network's chain.

    Args:
        directory: The network's.
        record: It has a chain.
    """

    def __init__(self, directory: Path, record: TestnetRecord) -> None:
        assert record.chain is not None
        self._directory = directory
        self._record = record
        self.entry: ChainEntry = record.chain
        self.place: ChainPlace = chain_place(chain_dir(directory))

    @property
    def process(self) -> tuple[int, str]:
        """Its process id and the kernel's start time of it; (0, "") if it is not there."""
        found = find_chain(self.place)
        return (found.pid, found.process_start) if found is not None else (0, "")

    def state(self) -> str:
        """Return "running", "stopped" (by SIGSTOP) or "dead"."""
        return state_of(*self.process)

    def launch(self) -> tuple[int, str] | None:
        """Start it if it is dead, and do not wait; return its process if it was started."""
        if self.state() != "dead":
            return None
        return launch_chain(
            self.place,
            port=self.entry.port,
            chain_id=self._record.chain_id,
            block_s=self.entry.block_s,
        )

    def start(self) -> bool:
        """Start it if it is dead, with the blocks that it had; tell whether it was.

        Raises:
            ChainError: `chain_start_failed`.
        """
        process = self.launch()
        if process is not None:
            wait_chain(self.place, process)
        return process is not None

    def finish_start(self, process: tuple[int, str] | None) -> None:
        """Wait for what `launch` has started, and put the contracts on it if it has none.

        Raises:
            ChainError, ChainRefusal: It did not start, or is no fresh chain.
        """
        from skyops_p2p.testnet.chain.market import prepare_contracts

        if process is not None:
            wait_chain(self.place, process)
        prepare_contracts(self.entry.url, chain_id=self._record.chain_id)

    def give_nodes_money(self) -> None:
        """Give every node's wallet coin, SKYOPS, a deposit, and a stake if it is a worker.

        Raises:
            ChainError, ChainRefusal: It could not be given.
            TestnetError: `testnet_busy`.
        """
        self._give([(node_dir(self._directory, entry.name), entry) for entry in self._record.nodes])

    def give_guest_money(self, data_dir: Path) -> None:
        """Give a peer that joins from outside the same, without a stake; once."""
        self._give([(data_dir, None)])

    def reorganise(self, blocks: int, *, is_dropped: bool) -> int:
        """Have an empty branch take the place of the last blocks; return the number of its last one.

        Args:
            blocks: How many, 1 to CHAIN_REORG_BLOCKS_MAX.
            is_dropped: Their transactions are forgotten, until whoever sent them offers them again; else they wait for
                the next block.

        Raises:
            ChainError: It cannot be asked.
            ChainRefusal: It has not as many.
        """
        import trio

        from skyops_p2p.adapters.chain.endpoint import Endpoint

        async def ask() -> str:
            endpoint = Endpoint(self.entry.url)
            try:
                return str(await endpoint.ask("skyops_reorg", blocks, is_dropped))
            finally:
                await endpoint.aclose()

        return int(trio.run(ask), 16)

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; tell whether the chain was there."""
        return send_signal(*self.process, number)

    def stop(self) -> bool:
        """Stop it, also if it was frozen; its blocks are kept. Tell whether it was there."""
        process = self.process
        if not send_signal(*process, signal.SIGTERM):
            return False
        send_signal(*process, signal.SIGCONT)
        if not wait_state([process], "dead", timeout_s=limits.CHAIN_STOP_TIMEOUT_S):
            send_signal(*process, signal.SIGKILL)
            wait_state([process], "dead", timeout_s=limits.CHAIN_STOP_TIMEOUT_S)
        return True

    def _give(self, who: Sequence[tuple[Path, NodeEntry | None]]) -> None:
        import trio

        from skyops_p2p.node.identity import load_identity
        from skyops_p2p.testnet.chain.market import Person, give_money, giving

        people = []
        for data_dir, entry in who:
            identity = trio.run(load_identity, data_dir, "")
            is_worker = entry is not None and entry.is_worker
            people.append(Person(identity.wallet, identity.node_key, self._record.network, is_worker))
        with giving(self.place.directory):
            give_money(self.entry.url, chain_id=self._record.chain_id, people=people)


def network_chain(directory: Path, record: TestnetRecord) -> NetworkChain | None:
    """Return the chain of a network, or None if it was made without."""
    return NetworkChain(directory, record) if record.chain is not None else None
