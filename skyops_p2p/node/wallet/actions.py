"""What a person can have done with money: one model for each act, the same for the command line and the control API."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from skyops_p2p import limits
from skyops_p2p.core.settlement.amounts import WEI_MAX

Amount = Annotated[int, Field(ge=0, le=WEI_MAX), PlainSerializer(str, return_type=str, when_used="json")]
"""Wei; a text of digits in JSON, whose numbers are too small."""
Account = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Symbol = Literal["SKYOPS", "ETH"]
ContractName = Literal["Settlement", "NodeRegistry", "Disputes", "Reservations"]


class Act(BaseModel):
    """Base of all."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Deposit(Act):
    """Pay into the deposit, or into the allotment for one worker; SKYOPS by a permit, so in one transaction."""

    kind: Literal["deposit"] = "deposit"
    symbol: Symbol
    amount: Amount
    worker: Account | None = None


class RequestWithdrawal(Act):
    """Announce that money leaves the deposit; 0 takes the announcement back."""

    kind: Literal["request_withdrawal"] = "request_withdrawal"
    symbol: Symbol
    amount: Amount


class Withdraw(Act):
    """Take out what was announced, after its delay."""

    kind: Literal["withdraw"] = "withdraw"
    symbol: Symbol


class ReturnAllotment(Act):
    """Ask for an allotment back; once it was asked for and its delay is over, move it to the deposit."""

    kind: Literal["return_allotment"] = "return_allotment"
    symbol: Symbol
    worker: Account


class Collect(Act):
    """Pay out the credit: what was earned, and what disputes have brought."""

    kind: Literal["collect"] = "collect"
    symbol: Symbol


class Approve(Act):
    """Let a contract take up to so many SKYOPS; replaces what was allowed before."""

    kind: Literal["approve"] = "approve"
    contract: ContractName
    amount: Amount


class SetOperator(Act):
    """Let another account redeem this wallet's vouchers, or end that; what they bring stays this wallet's."""

    kind: Literal["set_operator"] = "set_operator"
    operator: Account
    is_allowed: bool


class AddStake(Act):
    """Register the node with a stake, or add to its stake; then have it marked as alive."""

    kind: Literal["add_stake"] = "add_stake"
    amount: Amount
    """Becomes stake; the registration burn comes on top of it."""
    binding: Hash
    """Digest of the node's Binding."""
    metadata_uri: str = Field("", max_length=256)


class Unstake(Act):
    """Begin to take stake out."""

    kind: Literal["unstake"] = "unstake"
    amount: Amount


class WithdrawStake(Act):
    """Pay out what has been unbonding long enough."""

    kind: Literal["withdraw_stake"] = "withdraw_stake"


class OpenDispute(Act):
    """Challenge a job that was paid by voucher."""

    kind: Literal["open_dispute"] = "open_dispute"
    receipt: str = Field(pattern=r"^([0-9a-f]{2}){1,4096}$")
    """The SignedReceipt, hex."""
    index: int = Field(ge=0, lt=2**32)
    count: int = Field(ge=1, le=2**32)
    path: tuple[Hash, ...] = Field(max_length=32)
    evidence: Hash


class OpenJobDispute(Act):
    """Challenge a completed job in escrow."""

    kind: Literal["open_job_dispute"] = "open_job_dispute"
    job: Hash
    evidence: Hash


class OpenResultDispute(Act):
    """Challenge a result that a verdict calls wrong, and that was not paid; see core.verification.charge.Charge."""

    kind: Literal["open_result_dispute"] = "open_result_dispute"
    requester: Account
    worker: Account
    amount: Amount
    """What the result was worth, SKYOPS."""
    made_unix_s: int = Field(ge=0, lt=2**53)
    """When the verdict was made."""
    commitment: Hash
    proof: Hash
    """Digest of the verdict."""


class Respond(Act):
    """Note the hash of evidence in a dispute."""

    kind: Literal["respond"] = "respond"
    dispute: Hash
    evidence: Hash


class Appeal(Act):
    """Ask for another, larger jury."""

    kind: Literal["appeal"] = "appeal"
    dispute: Hash
    evidence: Hash


class Enrol(Act):
    """Draw for a seat in the jury, with the best ticket."""

    kind: Literal["enrol"] = "enrol"
    dispute: Hash


class Vote(Act):
    """Commit to a vote; in the time for revealing, reveal it."""

    kind: Literal["vote"] = "vote"
    dispute: Hash
    is_worker_right: bool
    finding: Hash


class Advance(Act):
    """Take the next step of a dispute that anybody may take."""

    kind: Literal["advance"] = "advance"
    dispute: Hash


Action = Annotated[
    Deposit
    | RequestWithdrawal
    | Withdraw
    | ReturnAllotment
    | Collect
    | Approve
    | SetOperator
    | AddStake
    | Unstake
    | WithdrawStake
    | OpenDispute
    | OpenJobDispute
    | OpenResultDispute
    | Respond
    | Appeal
    | Enrol
    | Vote
    | Advance,
    Field(discriminator="kind"),
]


class ActionRequest(Act):
    """An act, and the name under which it is carried out once: the same again goes on, or tells how it ended."""

    key: str = Field(pattern=r"^[A-Za-z0-9_-]+$", min_length=1, max_length=limits.WALLET_KEY_CHARS_MAX)
    action: Action


class PlanRequest(Act):
    """An act that is only to be shown."""

    action: Action


class CancelRequest(Act):
    """A transaction that its owner does not want any more."""

    key: str = Field(min_length=1, max_length=limits.CHAIN_KEY_CHARS_MAX)
