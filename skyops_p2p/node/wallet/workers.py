"""Which workers a person has set something aside for: the contract cannot list them, so the store remembers."""

from skyops_p2p.limits import WALLET_WORKERS_MAX
from skyops_p2p.node.settlement.journal import PAIR_STEM
from skyops_p2p.node.settlement.records import PairKey
from skyops_p2p.ports import Store

_NAME = "wallet-workers-{}"
_ACCOUNT_BYTES = 20


async def noted_workers(store: Store, settlement: bytes) -> tuple[bytes, ...]:
    """Return the wallets that were noted for a contract, oldest first."""
    kept = await store.value(_NAME.format(settlement.hex())) or b""
    return tuple(kept[at : at + _ACCOUNT_BYTES] for at in range(0, len(kept), _ACCOUNT_BYTES))


async def note_worker(store: Store, settlement: bytes, worker: bytes) -> None:
    """Remember a worker; beyond WALLET_WORKERS_MAX the oldest is forgotten.

    Args:
        store: The node's.
        settlement: The contract, 20 bytes.
        worker: Its wallet, 20 bytes.
    """
    known = await noted_workers(store, settlement)
    if worker not in known:
        kept = (*known, worker)[-WALLET_WORKERS_MAX:]
        await store.set_value(_NAME.format(settlement.hex()), b"".join(kept))


async def workers_of(store: Store, settlement: bytes) -> tuple[bytes, ...]:
    """Return the workers that were noted for a contract, and those that the node pays by vouchers."""
    pairs = {PairKey.parse(entry.key) for entry in await store.entries(PAIR_STEM)}
    paid = sorted(key.account for key in pairs if key.is_payer and key.contract == settlement)
    return tuple(dict.fromkeys((*await noted_workers(store, settlement), *paid)))
