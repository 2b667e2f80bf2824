"""RCP-1, RCP-5, RCP-13: receipts of whole nodes reach those who had no part in them, and so do double histories."""

from pathlib import Path

import trio
from trio.testing import MockClock

from skyops_p2p import limits
from skyops_p2p.core.settlement.receipts import ChainPlace, sign_half, with_half
from skyops_p2p.node.evidence.desk import EvidenceDesk
from skyops_p2p.node.runtime import Node
from skyops_p2p.wire.messages.settlement import Receipt, SignedReceipt
from skyops_p2p.wire.model import decode_message, encode_message
from tests.unit.node.jobs.job_world import WORKERS, ended, spec
from tests.unit.node.jobs.paid_world import SKYOPS, PaidWorld, paid_world
from tests.unit.node.small_world import account, identity


def evidence(world: PaidWorld, name: str) -> EvidenceDesk:
    desk = world.desk(name).evidence
    assert desk is not None
    return desk


async def one_receipt(world: PaidWorld, folder: Path) -> tuple[bytes, str, str]:
    """Have a job of alice's run; return its receipt, its worker, and the worker that had no part in it."""
    job = await world.nodes["alice"].submit(spec(), base_dir=folder)
    assert (await ended(job)).state == "succeeded"
    await trio.sleep(5)
    (lane,) = [one for one in world.lanes("alice") if one.code == "paid"]
    kept = world.desk("alice").tools.ledger.receipt_of(lane)
    assert kept is not None
    assert kept.data is not None
    worker = next(name for name in WORKERS if account(name) == lane.account)
    return kept.data, worker, next(name for name in WORKERS if name != worker)


async def held_by(world: PaidWorld, name: str, data: bytes) -> None:
    """Wait until a node holds a receipt."""

    def is_held(_node: Node) -> bool:
        return data in [item.data for item in evidence(world, name).exchange.shelf.all()]

    await world.nodes[name].wait_for(is_held, timeout_s=5 * limits.RECEIPT_SYNC_S)


async def test_who_had_no_part_in_a_job_has_its_receipt_and_keeps_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with paid_world(tmp_path) as world:
        data, worker, idle = await one_receipt(world, tmp_path)
        for name in ("alice", worker, idle):
            await held_by(world, name, data)
        await world.stop(idle)
        await world.start(idle)
        assert [item.data for item in evidence(world, idle).exchange.shelf.all()] == [data]
        for name in ("alice", *WORKERS):
            evidence(world, name).exchange.check_invariants()


async def test_a_requester_with_two_histories_loses_its_stake_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:  # SET-17, RCP-12, RCP-13
    async with paid_world(tmp_path) as world:
        world.bank.stakes[account("alice")] = 5 * SKYOPS
        data, _, idle = await one_receipt(world, tmp_path)
        for name in WORKERS:
            await held_by(world, name, data)
        receipt = decode_message(Receipt, decode_message(SignedReceipt, data).receipt)
        other = encode_message(receipt.model_copy(update={"worker": account(idle), "lane": bytes(32)}))
        domain = evidence(world, idle).exchange.scope.domain
        half, _ = sign_half(other, ChainPlace(), identity("alice").wallet, domain)
        evidence(world, idle).keep_own(with_half(other, requester=half))
        await world.nodes["bob"].wait_for(
            lambda _node: not world.bank.stakes[account("alice")], timeout_s=1800
        )
        await trio.sleep(2 * limits.ACCUSATION_SPREAD_S)
        assert world.bank.sent["history"] == 1
        for name in WORKERS:
            assert account("alice") in evidence(world, name).exchange.histories
            assert evidence(world, name).exchange.shelf.all() == []
        assert "two histories" in " ".join(evidence(world, "alice").warnings)
