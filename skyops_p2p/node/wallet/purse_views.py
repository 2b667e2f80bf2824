"""What is shown of a wallet's money. Amounts are wei, as texts of digits in JSON: they do not fit its numbers."""

from typing import Annotated, Literal

from pydantic import PlainSerializer

from skyops_p2p.node.views import View

WeiField = Annotated[int, PlainSerializer(str, return_type=str, when_used="json")]
StepState = Literal["done", "waiting", "open", "skipped"]


class StepView(View):
    """One transaction of an act."""

    name: str
    text: str
    """What it does, for people."""
    state: StepState
    """skipped: it was not needed; open: it comes after the others."""
    transaction: str = ""
    """Its hash, "0x…"; empty while it is not sent."""
    gas: int | None = None
    """Used; in a plan: about. None: not known yet."""
    fee_wei: WeiField | None = None
    """Paid in the chain's coin; in a plan: at present prices."""


class ActionView(View):
    """How far an act is."""

    key: str
    kind: str
    is_done: bool
    steps: tuple[StepView, ...]


class PlanView(View):
    """What an act would do; nothing was sent."""

    kind: str
    steps: tuple[StepView, ...]
    """Gas of a step that needs another one before it is not known."""
    coin_wei: WeiField
    """What the wallet has for the fees."""


class AllotmentView(View):
    """What is set aside for one worker."""

    worker: str
    amount_wei: WeiField
    held_wei: WeiField
    """Paid to it, and waiting for the end of its challenge window."""
    returns_at_unix_s: int | None
    """When it can be taken back; None: nobody has asked for it."""


class TokenView(View):
    """A wallet's money of one kind."""

    symbol: str
    wallet_wei: WeiField
    """In the wallet itself."""
    deposit_wei: WeiField
    """In Settlement, for all workers."""
    credit_wei: WeiField
    """In Settlement, earned: to be collected."""
    owed_wei: WeiField
    """In Disputes: to be collected."""
    withdrawal_wei: WeiField
    """Announced to leave the deposit."""
    withdrawal_at_unix_s: int
    """From when it can; 0: nothing is announced."""
    allotments: tuple[AllotmentView, ...]


class BalanceView(View):
    """All money of a wallet."""

    wallet: str
    chain_id: int
    chain_unix_s: int
    """The chain's clock."""
    is_paused: bool
    """New commitments are refused."""
    tokens: tuple[TokenView, ...]


class StakeView(View):
    """A wallet's node in NodeRegistry."""

    wallet: str
    chain_unix_s: int
    state: Literal["unknown", "pending", "active", "inactive", "slashed"]
    stake_wei: WeiField
    locked_wei: WeiField
    unbonding_wei: WeiField
    unbonded_at_unix_s: int
    """From when that can be paid out; 0: nothing is unbonding."""
    holds: int
    """Open disputes: while there are any, nothing leaves."""
    marked_at_unix_s: int
    binding: str
    metadata_uri: str
    least_wei: WeiField
    """The least stake of the network."""
    burn_wei: WeiField
    """Burned of a registration."""
    unbonding_s: int
    wallet_wei: WeiField
    """SKYOPS in the wallet."""


class DisputeView(View):
    """A dispute as it stands."""

    dispute: str
    chain_unix_s: int
    phase: str
    """seed, draw, drawn, commit, reveal, count, appeal, close or closed; said by the clock."""
    until_unix_s: int
    """When the phase ends; 0: when somebody goes on."""
    challenger: str
    requester: str
    worker: str
    symbol: str
    amount_wei: WeiField
    worth_wei: WeiField
    bond_wei: WeiField
    opened_at_unix_s: int
    round: int
    verdict: Literal["none", "worker_right", "worker_wrong"]
    """Of the last round that was counted."""
    jury: str
    seats: tuple[str, ...]
    seats_wanted: int
    rights: int
    wrongs: int
    seat_stake_wei: WeiField
    is_settled: bool
    """The jury of the round was paid or slashed."""
    proof: str = ""
    """Hex: the verdict that calls the result wrong; empty: the dispute is about a receipt or a job in escrow."""
    commitment: str = ""
    """Hex: of the worker to that result."""
    made_unix_s: int = 0
    """When the verdict was made, as who opened the dispute says."""
    doubts: tuple[str, ...] | None = None
    """What speaks against its being about a verdict that a juror was shown; None: none was shown."""


class OrderView(View):
    """A transaction that has not ended."""

    key: str
    """Whoever ordered it knows it by this; `chain cancel` takes it."""
    state: Literal["signed", "offered", "mined"]
    """signed: not offered yet; offered: it waits for a block; mined: in one, which is not deep enough."""
    nonce: int
    transaction: str
    """Hash of its newest form, "0x…"."""
    attempts: int
    """Forms signed so far: each pays more than the one before."""
    fee_wei_max: WeiField
    """Most that one gas may cost now."""
    is_cancelled: bool
    """Its newest form does nothing."""
    is_at_bound: bool
    """It may pay no more, and waits until fees fall."""
    taken_back: int = 0
    """How often a reorganisation has taken its block away since the node was started; it is offered again each time."""


class OrdersView(View):
    """All of them, lowest nonce first; each waits for those above it."""

    wallet: str
    orders: tuple[OrderView, ...]
    trouble: str
    """Why the chain did not take what was offered last; empty if it did."""
