"""Looks at all that a campaign is judged by: jobs, lanes, earnings, pairs and receipts of both sides, and the chain."""

from collections.abc import Iterable

import trio

from skyops_p2p.adapters.chain import open_chain
from skyops_p2p.adapters.contracts.finding import contracts_at, read_directory
from skyops_p2p.crypto.wallet import address_to_bytes
from skyops_p2p.errors import SkyopsError
from skyops_p2p.node.control_client import ControlClient
from skyops_p2p.node.identity import load_identity
from skyops_p2p.node.jobs.job_views import JobView
from skyops_p2p.testnet.chain.development import directory_account, governor
from skyops_p2p.testnet.chaos.seen import (
    ChainSeen,
    EarnedSeen,
    JobSeen,
    LaneSeen,
    Observation,
    PairSeen,
    ReceiptSeen,
)
from skyops_p2p.testnet.chaos.submitting import Followed, Follower
from skyops_p2p.testnet.creation import node_dir
from skyops_p2p.testnet.launcher import Testnet
from skyops_p2p.types import WalletAddress

_WHOLE_LOOKS_MAX = 20
"""A look at the chain is repeated if a block was made meanwhile."""


class Reader:
    """Reads a network's nodes and chain.

    Args:
        testnet: All of it alive and quiet.
    """

    def __init__(self, testnet: Testnet) -> None:
        self._testnet = testnet
        self._names = {entry.peer_id: entry.name for entry in testnet.record.nodes}
        self.wallets: dict[str, WalletAddress] = {
            entry.name: trio.run(load_identity, node_dir(testnet.directory, entry.name), "").wallet.address
            for entry in testnet.record.nodes
        }
        self._owners = {str(address): name for name, address in self.wallets.items()}

    @property
    def workers(self) -> list[str]:
        """Names of the workers."""
        return [entry.name for entry in self._testnet.record.nodes if entry.is_worker]

    @property
    def submitters(self) -> list[str]:
        """Names of the nodes that pay."""
        return [entry.name for entry in self._testnet.record.nodes if not entry.is_worker]

    def client(self, name: str) -> ControlClient:
        """Return a client of a node that may take its time."""
        return self._testnet.client(name, timeout_s=60.0)

    def look(self, follower: Follower, before: ChainSeen, troubles: Iterable[tuple[str, str]]) -> Observation:
        """Return everything that can be seen; what cannot is told in the observation."""
        failed = list(troubles)
        jobs: list[JobSeen] = []
        earned: list[EarnedSeen] = []
        pairs: list[PairSeen] = []
        for job in follower.jobs:
            try:
                jobs.append(self._job(job))
            except SkyopsError as error:
                failed.append((error.code, f"{job.plan.name}: {error.message}"))
        for name in self._names.values():
            try:
                pairs += self._pairs(name)
                earned += self._earned(name) if name in self.workers else []
            except SkyopsError as error:
                failed.append((error.code, f"{name}: {error.message}"))
        receipts = [one for job in jobs for one in self._receipts(job)]
        return Observation(
            tuple(jobs), tuple(earned), tuple(receipts), tuple(pairs), before, self.chain(), tuple(failed)
        )

    def chain(self) -> ChainSeen:
        """Return all SKYOPS of the network, as of one block.

        Raises:
            ChainError, ChainRefusal: It cannot be asked.
        """
        return trio.run(self._chain)

    def _job(self, job: Followed) -> JobSeen:
        plan = job.plan
        if not job.job_id:
            return JobSeen(plan.name, "", plan.by, plan.allowed, False, job.refused, (), None, ())
        client = self.client(plan.by)
        view: JobView = client.jobs.show(job.job_id)
        bill = client.payments.billing(job.job_id)
        attempts = [(shard.index, one.epoch, one.code) for shard in view.shards for one in shard.attempts]
        lanes = tuple(
            LaneSeen(
                lane.lane,
                lane.shard,
                lane.epoch,
                self._names.get(lane.peer_id, lane.peer_id),
                lane.is_open,
                lane.rate_wei,
                max(lane.metered_ms, job.metered_ms.get(lane.lane, 0)),
                lane.paid_wei,
                lane.has_receipt,
            )
            for lane in bill.lanes
        )
        return JobSeen(
            plan.name,
            job.job_id,
            plan.by,
            plan.allowed,
            view.is_over,
            view.code,
            tuple(attempts),
            bill.budget_wei,
            lanes,
        )

    def _earned(self, worker: str) -> list[EarnedSeen]:
        rows = self.client(worker).payments.earnings(by="job").rows
        return [EarnedSeen(worker, row.key, row.paid_wei, row.receipts) for row in rows]

    def _pairs(self, name: str) -> list[PairSeen]:
        return [
            PairSeen(
                name,
                self._owners.get(pair.wallet, pair.wallet),
                pair.role == "requester",
                pair.promised_wei,
                pair.redeemed_wei,
            )
            for pair in self.client(name).payments.pairs()
        ]

    def _receipts(self, job: JobSeen) -> list[ReceiptSeen]:
        wanted = [lane for lane in job.lanes if lane.has_receipt]
        return [self._receipt(lane.lane, name) for lane in wanted for name in (job.by, lane.worker)]

    def _receipt(self, lane: str, name: str) -> ReceiptSeen:
        try:
            found = self.client(name).payments.receipt(lane)
        except SkyopsError as error:
            return ReceiptSeen(lane, name, False, "", 0, error.code)
        return ReceiptSeen(lane, name, found.is_signed_by_both, found.leaf, found.amount_wei)

    async def _chain(self) -> ChainSeen:
        entry = self._testnet.record.chain
        assert entry is not None, "a campaign's network has a chain"
        everybody = {name: address_to_bytes(address) for name, address in self.wallets.items()}
        pairs = [(everybody[by], everybody[worker]) for by in self.submitters for worker in self.workers]
        async with open_chain([entry.url], chain_id=self._testnet.record.chain_id) as chain:
            at = contracts_at(chain, await read_directory(chain, directory_account()))
            token, settlement = at.token, at.settlement
            holders = [*everybody.values(), address_to_bytes(governor().address), at.registry.account]
            for _ in range(_WHOLE_LOOKS_MAX):
                head = (await chain.head()).number
                funds = [await settlement.pair(payer, payee, token.account) for payer, payee in pairs]
                seen = ChainSeen(
                    wallets=sum([await token.balance(one) for one in holders]),
                    deposits=sum(
                        [await settlement.deposited(one, token.account) for one in everybody.values()]
                    ),
                    allotments=sum(one.allotted for one in funds),
                    held=sum(one.held for one in funds),
                    credits=sum([await settlement.credit(one, token.account) for one in everybody.values()]),
                    fees=await settlement.number("fees(address)", token.account),
                    settlement=await token.balance(settlement.account),
                    supply=await token.supply(),
                )
                if (await chain.head()).number == head:
                    break
            return seen
