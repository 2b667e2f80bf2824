"""What a chain tells, checked for form but not for truth. Source: ethereum/execution-apis."""

from dataclasses import dataclass

from skyops_p2p.types import WalletAddress, Wei

_NOTHING = Wei(0)


@dataclass(frozen=True, slots=True)
class Block:
    """A block's header, as far as it is used."""

    number: int
    hash: bytes
    """32 bytes."""
    parent_hash: bytes
    timestamp_unix_s: int
    base_fee_wei: Wei
    """Price of one gas that is burnt (EIP-1559)."""


@dataclass(frozen=True, slots=True)
class Log:
    """An event of a contract."""

    address: WalletAddress
    topics: tuple[bytes, ...]
    """At most 4 of 32 bytes each; the first is the event's signature."""
    data: bytes
    block_number: int
    block_hash: bytes
    transaction_hash: bytes
    index: int
    """Its place in the block: with the block's hash it names the event once and for all."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a transaction in a block."""

    transaction_hash: bytes
    block_number: int
    block_hash: bytes
    is_success: bool
    """False: it reverted; the fee is gone all the same."""
    gas_used: int
    fee_wei: Wei
    """Paid in all."""
    created: WalletAddress | None
    """The contract that it created."""
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class Fees:
    """What a transaction pays for one gas (EIP-1559)."""

    max_fee_wei: Wei
    """At most, with the base fee."""
    tip_wei: Wei
    """To whoever makes the block."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a transaction is to do."""

    to: WalletAddress | None
    """None: create a contract."""
    data: bytes = b""
    """At most CHAIN_DATA_BYTES_MAX."""
    value_wei: Wei = _NOTHING
    gas_max: int | None = None
    """None: as estimated, with CHAIN_GAS_MARGIN_PERCENT more."""


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which events are wanted."""

    addresses: tuple[WalletAddress, ...]
    """Of these contracts."""
    topics: tuple[bytes, ...] = ()
    """With one of these signatures; empty: any."""

    def admits(self, log: Log) -> bool:
        """Return whether an event is one of them."""
        is_named = not self.topics or (bool(log.topics) and log.topics[0] in self.topics)
        return log.address in self.addresses and is_named
