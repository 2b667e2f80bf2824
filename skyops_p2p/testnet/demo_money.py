"""The demonstration's stages about money: a deposit, what the training has cost, and how the chain settles it.

The figures come from both nodes and from the contracts, and must agree to the wei.
"""

import trio

from skyops_p2p.adapters.chain import open_chain
from skyops_p2p.adapters.contracts.finding import Contracts, contracts_at, read_directory
from skyops_p2p.core.settlement.amounts import ETH, SKYOPS, format_amount, wei_from_bytes
from skyops_p2p.core.settlement.contract_facts import ReceiptLeaf, ReceiptPlace
from skyops_p2p.core.settlement.prices import charge
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.settlement.settlement_views import BillingView, LaneView, ReceiptView
from skyops_p2p.node.wallet.actions import ActionRequest, Deposit
from skyops_p2p.node.wallet.purse_views import TokenView
from skyops_p2p.testnet.chain.development import directory_account
from skyops_p2p.testnet.demo_stage import Demo, failed, wait_until
from skyops_p2p.testnet.demo_verdict import compared_lanes
from skyops_p2p.wire.messages.settlement import Receipt, SignedReceipt
from skyops_p2p.wire.model import decode_message

DEPOSIT_WEI = 25 * SKYOPS.one
_DEPOSIT_KEY = "demo-deposit"


def deposit(demo: Demo) -> str:
    """Put down a deposit, as `skyops wallet deposit` does."""
    before = _skyops(demo.client)
    action = Deposit(symbol=SKYOPS.symbol, amount=DEPOSIT_WEI)
    request = ActionRequest(key=_DEPOSIT_KEY, action=action)
    wait_until(demo, lambda: demo.client.money.act(request).is_done, "the deposit is in a block")
    after = _skyops(demo.client)
    if after.deposit_wei - before.deposit_wei != DEPOSIT_WEI:
        raise failed("the deposit is not on chain")
    demo.set_aside_wei = _set_aside(after)
    workers = [entry.name for entry in demo.network.record.nodes if entry.is_worker]
    demo.credits_wei = {name: _skyops(demo.node(name)).credit_wei for name in workers}
    return (
        f"skyops wallet deposit 25 SKYOPS: {format_amount(before.deposit_wei, SKYOPS)} -> "
        f"{format_amount(after.deposit_wei, SKYOPS)}, {format_amount(after.wallet_wei, SKYOPS)} left in the wallet;\n"
        "the chain holds money only: what follows waits for no block."
    )


def bill(demo: Demo) -> str:
    """Compare what the requester has paid with what each worker says that it has earned."""
    job = demo.training.job_id
    wait_until(demo, lambda: _agree(demo, job), "both sides of each lease say the same of its pay")
    bill = demo.client.payments.billing(job)
    _check_once(demo, bill)
    demo.figures["paid_wei"] = str(bill.paid_wei)
    sentences = [f"{demo.name_of(lane.peer_id)}: {_told(lane, job)}" for lane in bill.lanes]
    return (
        f"skyops billing {job[:12]}: {format_amount(bill.paid_wei, SKYOPS)}, by vouchers, an interval at a time;\n"
        + ";\n".join(sentences)
        + "."
    )


def settle(demo: Demo) -> str:
    """Have each worker redeem its vouchers, and look at every balance before and after."""
    bill = demo.client.payments.billing(demo.training.job_id)
    compared = [lane for job in demo.compared for lane in compared_lanes(demo, job)]
    sentences, drawn = [], 0
    for peer in dict.fromkeys(lane.peer_id for lane in (*bill.lanes, *compared) if lane.paid_wei):
        told, taken = _settle_one(demo, peer)
        sentences.append(told)
        drawn += taken
    before, after = demo.set_aside_wei, _set_aside(_skyops(demo.client))
    if before - after != drawn:
        raise failed(f"{before - after} wei have left the deposit, and the workers have drawn {drawn}")
    demo.figures["set_aside_wei"] = {"before": str(before), "after": str(after)}
    return (
        ";\n".join(sentences)
        + f";\nthe requester's deposit: {format_amount(before, SKYOPS)} -> {format_amount(after, SKYOPS)}, to the wei."
    )


def prove(demo: Demo) -> str:
    """Have the contract prove the receipt of the lease that ended well under the root that was redeemed."""
    bill = demo.client.payments.billing(demo.training.job_id)
    lane = next((lane for lane in bill.lanes if lane.has_receipt), None)
    if lane is None:
        raise failed("no lease of the training has a receipt")
    view = demo.node(demo.name_of(lane.peer_id)).payments.receipt(lane.lane)
    if not view.is_signed_by_both or not trio.run(_is_proven, demo, view):
        raise failed("the contract does not know the receipt")
    forged = view.model_copy(update={"result": bytes(32).hex()})
    if trio.run(_is_proven, demo, forged):
        raise failed("the contract has proven a receipt with another result")
    return (
        f"receipt of lease {lane.lane[:12]}: signed by both, execution hash {view.result[:16]}…, "
        f"{format_amount(view.amount_wei, SKYOPS)};\nSettlement.prove_receipt: yes; with another hash: no."
    )


# --- telling ------------------------------------------------------------------------------------------------------
def _told(lane: LaneView, job: str) -> str:
    part = "" if lane.job_id == job else "to compare, "
    receipt = (
        ", with a receipt that both have signed" if lane.has_receipt else ", and no more for the rest of it"
    )
    rate, paid = format_amount(lane.rate_wei, SKYOPS), format_amount(lane.paid_wei, SKYOPS)
    return f"{part}{lane.runtime_ms / 1000:.1f} s at {rate} an hour = {paid}{receipt}"


# --- looking ------------------------------------------------------------------------------------------------------
def _settle_one(demo: Demo, peer: str) -> tuple[str, int]:
    """Redeem what one worker has; return what was seen, and how many wei it has drawn since the deposit.

    A part may have been redeemed before, as workers do when it is due.
    """
    name = demo.name_of(peer)
    worker = demo.node(name)
    settled = worker.payments.settle()
    wait_until(demo, lambda: not worker.payments.quote().vouchers, f"{name} has redeemed")
    credited = _skyops(worker).credit_wei - demo.credits_wei[name]
    pair = next(pair for pair in worker.payments.pairs() if pair.wallet == _wallet(demo.client))
    drawn = pair.redeemed_wei
    fee = drawn - credited - pair.held_wei
    if drawn <= 0 or fee < 0 or pair.promised_wei - drawn >= SKYOPS.pair_unit:
        raise failed(f"{name} has not redeemed what it was promised: {drawn} of {pair.promised_wei} wei")
    now, later = format_amount(credited, SKYOPS), format_amount(pair.held_wei, SKYOPS)
    told = (
        f"skyops settle on {name}: {format_amount(drawn, SKYOPS)} of the deposit = {now} at once\n"
        f"  + {later} after the challenge window + {format_amount(fee, SKYOPS)} fee; "
        f"gas {format_amount(settled.fee_wei, ETH)}"
    )
    return told, drawn


def _check_once(demo: Demo, bill: BillingView) -> None:
    """See that no lease is paid twice, or above what was metered, and that one alone has run to its receipt.

    The same of each replica, where it was compared; whoever lied has none.

    Raises:
        TestnetError: `demo_failed`.
    """
    lanes = bill.lanes
    if len({(lane.job_id, lane.shard, lane.epoch) for lane in lanes}) != len(lanes):
        raise failed("one lease has two lanes")
    receipts = dict.fromkeys((lane.job_id for lane in lanes), 0)
    for lane in lanes:
        receipts[lane.job_id] += lane.has_receipt
    of_liar = {lane.job_id for lane in lanes if demo.name_of(lane.peer_id) == demo.liar}
    wanted = {job: int(job not in of_liar) for job in receipts}
    if receipts != wanted:
        raise failed(f"receipts of the training and its replicas: {receipts}")
    for lane in lanes:
        if lane.paid_wei > charge(lane.rate_wei, lane.metered_ms) + SKYOPS.pair_unit:
            raise failed(f"lease {lane.epoch} was paid {lane.paid_wei} wei for {lane.metered_ms} ms")


def _agree(demo: Demo, job: str) -> bool:
    bill: BillingView = demo.client.payments.billing(job)
    if not bill.lanes or any(lane.is_open for lane in bill.lanes):
        return False
    parts = {(lane.peer_id, lane.job_id) for lane in bill.lanes}
    return all(_earned(demo, peer, one) == _paid(bill.lanes, peer, one) for peer, one in parts)


def _paid(lanes: tuple[LaneView, ...], peer: str, job: str) -> int:
    return sum(lane.paid_wei for lane in lanes if (lane.peer_id, lane.job_id) == (peer, job))


def _earned(demo: Demo, peer: str, job: str) -> int:
    rows = demo.node(demo.name_of(peer)).payments.earnings(by="job").rows
    return sum(row.paid_wei for row in rows if row.key == job)


def _skyops(client: ControlClient) -> TokenView:
    return next(token for token in client.money.balance().tokens if token.symbol == SKYOPS.symbol)


def _set_aside(token: TokenView) -> int:
    """Return all that the contract holds for a requester."""
    return token.deposit_wei + sum(allotment.amount_wei for allotment in token.allotments)


def _wallet(client: ControlClient) -> str:
    return client.money.balance().wallet


async def _is_proven(demo: Demo, view: ReceiptView) -> bool:
    chain_entry = demo.network.record.chain
    assert chain_entry is not None, "a network without a chain has no money"
    receipt = decode_message(Receipt, decode_message(SignedReceipt, bytes.fromhex(view.receipt)).receipt)
    leaf = ReceiptLeaf(
        receipt.lane,
        bytes.fromhex(view.result),
        receipt.log_head,
        receipt.metering_root,
        wei_from_bytes(receipt.amount),
        receipt.ended_unix_ms // 1000,
    )
    place = ReceiptPlace(view.index, view.count, tuple(bytes.fromhex(node) for node in view.path))
    async with open_chain([chain_entry.url], chain_id=demo.network.record.chain_id) as chain:
        found: Contracts = contracts_at(chain, await read_directory(chain, directory_account()))
        parties = (receipt.requester, receipt.worker, receipt.token)
        return await found.settlement.is_proven(*parties, leaf=leaf, place=place)
