"""What a node shows of its payments. Amounts are wei, as texts of digits in JSON: they do not fit its numbers."""

from typing import Annotated, Literal

from pydantic import PlainSerializer

from skyops_p2p.node.views import View

WeiField = Annotated[int, PlainSerializer(str, return_type=str, when_used="json")]
GroupName = Literal["job", "day", "mode"]


class LaneView(View):
    """One lease, as it is paid."""

    lane: str
    """Hex, 64 digits: names the lease on chain."""
    peer_id: str
    """The other side."""
    wallet: str
    """Its wallet."""
    job_id: str
    """Hex, 32 digits: the job, or that of a replica of it."""
    shard: int
    epoch: int
    is_open: bool
    code: str
    """How it ended: `paid`, or why not in full; empty while it is open."""
    rate_wei: WeiField
    """For an hour."""
    runtime_ms: int
    """Paid: the smaller count of both sides, without pauses."""
    metered_ms: int
    """What this side has metered; more than `runtime_ms` while an interval is under way."""
    gpu_ms: int
    """Integral of the GPUs' utilisation, as the worker says it, like the next three; 0: none, or it cannot tell."""
    cpu_ms: int = 0
    memory_peak_bytes: int = 0
    disk_bytes: int = 0
    """Written by the program."""
    moved_bytes: int
    """Plaintext of inputs, outputs and logs: sizes that both sides know."""
    is_usage_signed: bool = False
    """The worker has signed these figures; else its beats have said them, and they may still grow."""
    paid_wei: WeiField
    began_unix_ms: int
    ended_unix_ms: int
    """0 while it is open."""
    has_receipt: bool
    is_replica: bool = False
    """It computed the same as another lease of the job, to check it."""


class BillingView(View):
    """What a job has cost this node."""

    job_id: str
    name: str
    symbol: str
    is_paid: bool
    """False: nothing is paid here, or by none of its leases; it runs free."""
    paid_wei: WeiField
    replicas_wei: WeiField = 0
    """Of `paid_wei`, what those cost that computed the same, to check it."""
    runtime_ms: int
    gpu_ms: int
    """As the workers say, like the next three: nothing is charged for it."""
    cpu_ms: int = 0
    memory_peak_bytes: int = 0
    """Of the lease that had most."""
    disk_bytes: int = 0
    moved_bytes: int = 0
    fee_wei: WeiField
    """Of `paid_wei`, what the contract keeps of it when it is redeemed."""
    budget_wei: WeiField | None
    """The bound of the whole job with its replicas (price.total_max)."""
    refund_wei: WeiField
    """What of deposit and allotments comes back if everything stops now, over all workers of the job."""
    promised_wei: WeiField
    """By the newest vouchers of this node for the job's workers, for all its jobs there."""
    redeemed_wei: WeiField
    """Of that, what was redeemed when the node looked last."""
    lanes: tuple[LaneView, ...]


class EarningRowView(View):
    """What was earned by one job, on one day, or in one mode."""

    key: str
    leases: int
    runtime_ms: int
    gpu_ms: int
    paid_wei: WeiField
    """By vouchers, before the contract's fee."""
    receipts: int


class EarningsView(View):
    """What this node has earned as a worker."""

    symbol: str
    by: GroupName
    rows: tuple[EarningRowView, ...]
    paid_wei: WeiField
    """Of all rows."""
    unredeemed_wei: WeiField
    """What vouchers are worth beyond what was redeemed."""
    unsecured_wei: WeiField
    """Of that, what nobody has set aside for this node."""
    held_wei: WeiField
    """Redeemed, and waiting for a challenge window."""


class EarnedLaneView(View):
    """One lease with all that its pay follows from; figures of the receipt are 0 where there is none."""

    lane: LaneView
    outcome: str
    """How the run ended, as both sides have signed it."""
    class_milli: int
    """Class index of the devices, thousandths; the bid's price has it in it."""
    requester_ms: int
    """What the requester has metered in all."""
    worker_ms: int
    """And what this node has; the smaller one is paid."""
    receipt_wei: WeiField
    fee_wei: WeiField
    """Of what is paid, what the contract keeps."""
    holdback_bps: int
    """Of what is redeemed, what waits for the challenge window, hundredths of a per cent."""
    held_wei: WeiField


class EarnedJobView(View):
    """Why a job brought what it brought."""

    job_id: str
    name: str
    mode: str
    fee_bps: int
    lanes: tuple[EarnedLaneView, ...]


class PairView(View):
    """One pair of this node."""

    peer_id: str
    wallet: str
    role: Literal["requester", "worker"]
    """Which side this node is."""
    is_linked: bool
    lanes: int
    """Open ones."""
    state: str
    promised_wei: WeiField
    """Of the newest voucher."""
    redeemed_wei: WeiField
    held_wei: WeiField
    allotted_wei: WeiField
    shared_wei: WeiField
    """The requester's deposit, for whoever redeems first."""
    runway_s: int | None
    """For how long the money lasts at the present rates; null while nothing runs."""
    receipts: int
    chain_trouble: str
    """Why the chain could not be asked the last time; empty if it could."""


class QuoteView(View):
    """What redeeming everything now would bring."""

    vouchers: int
    credited_wei: WeiField
    gas: int
    fee_wei: WeiField
    """Of the chain's coin."""
    cost_bps: int
    """What it costs of what it brings, in hundredths of a per cent."""
    is_worth: bool
    """Whether the node would redeem that by itself when it is due."""
    releases: int = 0
    """Holdbacks that are free beside that, each released by a transaction of its own."""


class SettledView(View):
    """A redemption that has ended."""

    vouchers: int
    transaction_hash: str
    """Empty if there was nothing to redeem."""
    releases: int = 0
    """Holdbacks that were released."""
    fee_wei: WeiField


class ReceiptView(View):
    """A receipt, and the proof that it is under a root of its pair."""

    lane: str
    receipt: str
    """Hex of the encoded SignedReceipt."""
    is_signed_by_both: bool
    index: int
    count: int
    path: tuple[str, ...]
    """Hex, from the leaf upwards."""
    leaf: str
    root: str
    is_on_chain: bool
    """The root is that of the newest redemption; else of the newest voucher."""
    amount_wei: WeiField
    outcome: str
    result: str
    """Digest of the worker's ResultReceipt, hex."""
