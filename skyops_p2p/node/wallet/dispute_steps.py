"""Steps of disputes: opening, answering, appealing, sitting in a jury, and keeping them going."""

from collections.abc import Awaitable, Callable

from skyops_p2p import limits
from skyops_p2p.adapters.contracts.disputes import commitment, dispute_id
from skyops_p2p.adapters.contracts.parameters import Parameter
from skyops_p2p.core.chain.facts import Order
from skyops_p2p.core.settlement.amounts import SKYOPS, format_amount, wei_from_bytes
from skyops_p2p.core.settlement.contract_facts import DisputeCase, JuryState, ReceiptLeaf, ReceiptPlace
from skyops_p2p.core.settlement.receipts import DisputesDomain, open_signed
from skyops_p2p.core.verification.charge import Charge
from skyops_p2p.crypto.hashing import keccak256, sha256
from skyops_p2p.crypto.wallet import address_to_bytes
from skyops_p2p.errors import ChainRefusal, ExecutionError, RemoteProtocolError
from skyops_p2p.node.wallet.actions import (
    Advance,
    Appeal,
    Enrol,
    OpenDispute,
    OpenJobDispute,
    OpenResultDispute,
    Respond,
    Vote,
)
from skyops_p2p.node.wallet.dispute_phase import phase_of
from skyops_p2p.node.wallet.steps import Step, StepTools, instant
from skyops_p2p.types import WalletAddress, Wei
from skyops_p2p.wire.messages.settlement import Receipt

RIGHT, WRONG = 1, 2
_COMPLETED = 3
_OWN_WORK = "a worker cannot challenge its own work"
_DISPUTED = "this job has been disputed before"


async def open_steps(action: OpenDispute, tools: StepTools) -> tuple[Step, ...]:
    """Approve the bond, and challenge a receipt."""
    at = tools.at
    receipt = opened_receipt(action.receipt, at.chain.chain_id, at.places.disputes)
    amount = wei_from_bytes(receipt.amount)
    leaf = ReceiptLeaf(
        receipt.lane,
        receipt.result,
        receipt.log_head,
        receipt.metering_root,
        amount,
        receipt.ended_unix_ms // 1000,
    )
    place = ReceiptPlace(action.index, action.count, tuple(map(bytes.fromhex, action.path)))
    bond = await at.disputes.bond_for(receipt.token, amount)

    async def approve() -> Order | None:
        await _check_challenge(receipt, leaf, place, tools)
        return await _approval(bond, tools)

    async def challenge() -> Order:
        return at.disputes.open_receipt(
            receipt.requester,
            receipt.worker,
            receipt.token,
            leaf=leaf,
            place=place,
            evidence=bytes.fromhex(action.evidence),
        )

    return (
        _bond_step(bond, approve),
        Step("open", "challenges the job; its worker's money waits", challenge),
    )


async def open_job_steps(action: OpenJobDispute, tools: StepTools) -> tuple[Step, ...]:
    """Approve the bond, and challenge a job in escrow."""
    job = bytes.fromhex(action.job)
    found = await tools.at.settlement.job(job)
    if not found.state:
        raise ChainRefusal("there is no such job in escrow", code="unknown_dispute")
    bond = await tools.at.disputes.bond_for(found.token, found.payment)

    async def approve() -> Order | None:
        if found.worker == tools.account:
            raise _no_challenge(_OWN_WORK)
        if (await tools.at.disputes.case(job)).opened_at_unix_s:
            raise _no_challenge(_DISPUTED)
        if found.state != _COMPLETED:
            raise _no_challenge("the job is not completed, or was paid already")
        return await _approval(bond, tools)

    async def challenge() -> Order:
        return tools.at.disputes.open_job(job, bytes.fromhex(action.evidence))

    return (_bond_step(bond, approve), Step("open", "challenges the job; its payment waits", challenge))


async def open_result_steps(action: OpenResultDispute, tools: StepTools) -> tuple[Step, ...]:
    """Approve the bond, and challenge a result that was not paid."""
    at = tools.at
    charge = Charge(
        requester=address_to_bytes(WalletAddress(action.requester)),
        worker=address_to_bytes(WalletAddress(action.worker)),
        amount=Wei(action.amount),
        made_unix_s=action.made_unix_s,
        commitment=bytes.fromhex(action.commitment),
        proof=bytes.fromhex(action.proof),
    )
    node = await at.registry.node(charge.worker)
    at_stake = node.stake + node.unbonding
    worth = Wei(min(charge.amount, at_stake))
    bond = await at.disputes.bond_for(at.places.token, worth)

    async def approve() -> Order | None:
        await _check_charge(charge, worth, at_stake, tools)
        return await _approval(bond, tools)

    async def challenge() -> Order:
        return at.disputes.open_result(charge)

    return (
        _bond_step(bond, approve),
        Step("open", "accuses the worker of a wrong result; its stake stays until the end", challenge),
    )


async def respond_steps(action: Respond, tools: StepTools) -> tuple[Step, ...]:
    """Note evidence."""
    dispute = bytes.fromhex(action.dispute)
    await find_case(dispute, tools)

    async def make() -> Order:
        return tools.at.disputes.add_evidence(dispute, bytes.fromhex(action.evidence))

    return (Step("respond", f"notes the evidence {action.evidence[:16]}… in the dispute", make),)


async def appeal_steps(action: Appeal, tools: StepTools) -> tuple[Step, ...]:
    """Approve the larger bond, and appeal."""
    dispute = bytes.fromhex(action.dispute)
    case, jury, _ = await find_case(dispute, tools)
    fee = await tools.at.parameters.value(Parameter.JUROR_FEE)
    bond = max(case.bond << (case.round + 1), (jury.size * 2 + 1) * fee)

    async def approve() -> Order | None:
        phase = phase_of(case, jury, await tools.chain_now())
        if phase.phase != "appeal":
            raise _wrong_phase("nobody may appeal", phase.phase, phase.until_unix_s)
        losers = (case.worker,) if case.verdict == WRONG else (case.challenger, case.requester)
        if tools.account not in losers:
            raise _no_challenge("only the side that lost may appeal")
        return await _approval(bond, tools)

    async def make() -> Order:
        return tools.at.disputes.appeal(dispute, bytes.fromhex(action.evidence))

    return (_bond_step(bond, approve), Step("appeal", "calls a jury of twice as many and one", make))


async def enrol_steps(action: Enrol, tools: StepTools) -> tuple[Step, ...]:
    """Enrol with the ticket that has the best chance."""
    dispute = bytes.fromhex(action.dispute)

    async def make() -> Order:
        _, jury, _ = await find_case(dispute, tools)
        stake = (await tools.at.registry.node(tools.account)).stake
        count = min(stake // jury.seat_stake, limits.TICKETS_TRIED_MAX)
        if not count:
            raise ChainRefusal(
                f"a seat needs a stake of {format_amount(jury.seat_stake, SKYOPS)}",
                code="stake_short",
                hint="`skyops stake add AMOUNT` adds to it.",
            )
        return tools.at.disputes.enrol(dispute, best_ticket(jury.seed, tools.account, count))

    return (Step("enrol", "draws for a seat in the jury, which locks stake", make),)


async def vote_steps(action: Vote, tools: StepTools) -> tuple[Step, ...]:
    """Commit while jurors commit, reveal while they reveal; the salt follows from the wallet's key."""
    dispute = bytes.fromhex(action.dispute)
    case, jury, jury_id = await find_case(dispute, tools)
    now = await tools.chain_now()
    phase = phase_of(case, jury, now)
    vote, finding = RIGHT if action.is_worker_right else WRONG, bytes.fromhex(action.finding)
    salt = keccak256(tools.wallet.sign_digest(sha256(b"skyops/juror-salt/1" + jury_id)))

    async def commit() -> Order:
        sealed = commitment(jury_id, tools.account, vote=vote, finding=finding, salt=salt)
        return tools.at.disputes.commit(jury_id, sealed)

    async def reveal() -> Order:
        return tools.at.disputes.reveal(jury_id, vote=vote, finding=finding, salt=salt)

    if phase.phase == "commit":
        text = f"commits to the vote; reveal it after {instant(phase.until_unix_s)} with the same command"
        return (Step("commit", text, commit),)
    if phase.phase == "reveal":
        return (Step("reveal", "reveals the vote", reveal),)
    raise _wrong_phase("nobody votes", phase.phase, phase.until_unix_s)


async def advance_steps(action: Advance, tools: StepTools) -> tuple[Step, ...]:
    """Take the next step that anybody may take."""
    dispute, disputes = bytes.fromhex(action.dispute), tools.at.disputes
    case, jury, jury_id = await find_case(dispute, tools)
    phase = phase_of(case, jury, await tools.chain_now())
    by_phase = {
        "seed": ("fix-seed", "takes the seed of the draw", disputes.on_dispute("fix_seed", jury_id)),
        "drawn": ("close-draw", "closes the draw", disputes.on_dispute("close_draw", dispute)),
        "count": ("rule", "counts the votes", disputes.on_dispute("rule", dispute)),
        "close": ("close", "carries the verdict out", disputes.on_dispute("close", dispute)),
    }
    name, text, order = by_phase.get(phase.phase, ("", "", None))
    if phase.phase == "closed":
        for number in range(case.round + 1):
            if not await disputes.is_settled(await disputes.jury_of(dispute, number)):
                name, text = f"settle-{number}", f"pays or slashes the jurors of round {number + 1}"
                order = disputes.settle_jury(dispute, number)
                break
    if order is None:
        raise _wrong_phase("nothing is to be done", phase.phase, phase.until_unix_s)

    async def make() -> Order | None:
        return order

    return (Step(f"{name}-{case.round}", text, make),)


async def find_case(dispute: bytes, tools: StepTools) -> tuple[DisputeCase, JuryState, bytes]:
    """Return a dispute, the jury of its last round, and that jury's id.

    Raises:
        ChainRefusal: `unknown_dispute`.
    """
    case = await tools.at.disputes.case(dispute)
    if not case.opened_at_unix_s:
        raise ChainRefusal(
            f"there is no dispute {dispute.hex()}",
            code="unknown_dispute",
            hint="`skyops dispute open` prints its id, 64 hex digits; a job in escrow has its own.",
        )
    jury_id = await tools.at.disputes.jury_of(dispute, case.round)
    return case, await tools.at.disputes.jury(jury_id), jury_id


def opened_receipt(text: str, chain_id: int, disputes: bytes) -> Receipt:
    """Return the receipt inside a SignedReceipt.

    Args:
        text: Hex.
        chain_id: Of the chain.
        disputes: Account of the contract that its halves are signed for.

    Raises:
        ExecutionError: `receipt_unusable`.
    """
    try:
        return open_signed(bytes.fromhex(text), DisputesDomain(chain_id, disputes))[0]
    except RemoteProtocolError as error:
        raise ExecutionError(
            f"the receipt cannot be used here: {error.message}",
            code="receipt_unusable",
            hint="Take it from the node that has it, for the same contracts.",
        ) from error


def best_ticket(seed: bytes, juror: bytes, count: int) -> int:
    """Return which of the tickets 0 to count - 1 has the lowest hash. Source: contracts/src/parts/jurors.vy."""
    head = seed + juror.rjust(32, b"\0")
    return min(range(count), key=lambda ticket: keccak256(head + ticket.to_bytes(32, "big")))


async def _check_challenge(
    receipt: Receipt, leaf: ReceiptLeaf, place: ReceiptPlace, tools: StepTools
) -> None:
    """See that a receipt can be challenged, before its bond is approved.

    Raises:
        ChainRefusal: `not_disputable`.
    """
    settlement, pair = tools.at.settlement, (receipt.requester, receipt.worker, receipt.token)
    if receipt.worker == tools.account:
        raise _no_challenge(_OWN_WORK)
    if (await tools.at.disputes.case(dispute_id(*pair, receipt.lane))).opened_at_unix_s:
        raise _no_challenge(_DISPUTED)
    if not await settlement.is_proven(*pair, leaf=leaf, place=place):
        raise _no_challenge(
            "the receipt is not under the pair's newest redemption: take it anew from the node"
        )
    if not (await settlement.pair(*pair)).held:
        raise _no_challenge("nothing of this pair's money waits any more: the window has closed")


async def _check_charge(charge: Charge, worth: int, at_stake: int, tools: StepTools) -> None:
    """See that a worker can be charged, before the bond is approved. Source: contracts/src/Disputes.vy, open_result.

    Raises:
        ChainRefusal: `not_disputable`.
    """
    disputes, value = tools.at.disputes, tools.at.parameters.value
    if charge.worker == tools.account:
        raise _no_challenge(_OWN_WORK)
    if await disputes.is_charged(charge.commitment):
        raise _no_challenge("the worker was slashed for this result before")
    if (await disputes.case(charge.dispute)).opened_at_unix_s:
        raise _no_challenge("this worker has been disputed by this verdict before")
    if charge.made_unix_s + await value(Parameter.DISPUTE_AGE_S) < await tools.chain_now():
        raise _no_challenge(f"the verdict is too old: it was made at {instant(charge.made_unix_s)}")
    jury = await value(Parameter.JURORS) * await value(Parameter.JUROR_FEE)
    if at_stake // 2 < jury:
        raise _no_challenge(
            f"the worker has {format_amount(Wei(at_stake), SKYOPS)} at stake, half of which does not pay a jury"
        )
    if worth * await value(Parameter.SLASH_MULTIPLE) // 2 < jury:
        raise _no_challenge(
            f"a result worth {format_amount(Wei(worth), SKYOPS)} does not cost its worker what a jury costs"
        )


async def _approval(bond: int, tools: StepTools) -> Order | None:
    await tools.need_tokens(bond)
    return await tools.approval(tools.at.disputes.account, bond)


def _bond_step(bond: int, approve: Callable[[], Awaitable[Order | None]]) -> Step:
    return Step("approve", f"lets Disputes take the bond, {format_amount(Wei(bond), SKYOPS)}", approve)


def _no_challenge(why: str) -> ChainRefusal:
    return ChainRefusal(
        why, code="not_disputable", hint='docs/money.md, "A dispute", says who may challenge what, and when.'
    )


def _wrong_phase(what: str, phase: str, until_unix_s: int) -> ChainRefusal:
    until = f" until {instant(until_unix_s)}" if until_unix_s else ""
    return ChainRefusal(
        f"{what} now: the dispute is in the phase {phase}{until}",
        code="dispute_phase",
        hint="`skyops dispute status` says what comes next.",
    )
