"""The contract Disputes: challenges, juries and proofs of a double history."""

from skyops_p2p.adapters.contracts.calling import Contract, account_bytes, facts
from skyops_p2p.adapters.contracts.settlement import LEAF, leaf_tuple
from skyops_p2p.core.chain.facts import Order
from skyops_p2p.core.settlement.contract_facts import (
    DisputeCase,
    DisputedResult,
    JuryState,
    ReceiptLeaf,
    ReceiptPlace,
)
from skyops_p2p.core.settlement.vouchers import compact
from skyops_p2p.core.verification.charge import Charge
from skyops_p2p.crypto.hashing import keccak256
from skyops_p2p.types import Wei

_CASE = (
    "(address,address,address,address,bytes32,uint256,uint256,uint256,uint256,uint256,uint256,uint256,bool,uint256)",
)
_JURY = ("(uint256,uint256,uint256,bytes32,uint256,uint256,uint256,uint256,uint256,uint256)",)


class Disputes(Contract):
    """Orders for it, and what it says. A bond must be approved before; disputes and juries are 32 bytes."""

    def open_receipt(
        self,
        requester: bytes,
        worker: bytes,
        token: bytes,
        *,
        leaf: ReceiptLeaf,
        place: ReceiptPlace,
        evidence: bytes,
    ) -> Order:
        """Challenge a job that was paid by voucher, while the pair's holdback waits."""
        types = f"open_receipt(address,address,address,{LEAF},uint256,uint256,bytes32[],bytes32)"
        proof = (leaf_tuple(leaf), place.index, place.count, list(place.path))
        return self.order(types, requester, worker, token, *proof, evidence)

    def open_job(self, job: bytes, evidence: bytes) -> Order:
        """Challenge a completed job in escrow."""
        return self.order("open_job(bytes32,bytes32)", job, evidence)

    def open_result(self, charge: Charge) -> Order:
        """Challenge a result that a verdict calls wrong, and that was not paid."""
        types = "open_result(address,address,uint256,uint256,bytes32,bytes32)"
        claim = (charge.amount, charge.made_unix_s, charge.commitment, charge.proof)
        return self.order(types, charge.requester, charge.worker, *claim)

    def add_evidence(self, dispute: bytes, evidence: bytes) -> Order:
        """Note the hash of more evidence."""
        return self.order("add_evidence(bytes32,bytes32)", dispute, evidence)

    def enrol(self, dispute: bytes, ticket: int) -> Order:
        """Draw for a seat in the jury."""
        return self.order("enrol(bytes32,uint256)", dispute, ticket)

    def commit(self, jury: bytes, commitment: bytes) -> Order:
        """Commit to a vote; see `commitment`."""
        return self.order("commit(bytes32,bytes32)", jury, commitment)

    def reveal(self, jury: bytes, *, vote: int, finding: bytes, salt: bytes) -> Order:
        """Open the vote."""
        return self.order("reveal(bytes32,uint256,bytes32,bytes32)", jury, vote, finding, salt)

    def appeal(self, dispute: bytes, evidence: bytes) -> Order:
        """Ask for another, larger jury; by who lost."""
        return self.order("appeal(bytes32,bytes32)", dispute, evidence)

    def settle_jury(self, dispute: bytes, round_number: int) -> Order:
        """Pay or slash the jurors of a round."""
        return self.order("settle_jury(bytes32,uint256)", dispute, round_number)

    def on_dispute(self, call: str, dispute: bytes) -> Order:
        """Return an order for `close_draw`, `rule` or `close` of a dispute, or `fix_seed` of a jury."""
        assert call in {"close_draw", "rule", "close", "fix_seed"}
        return self.order(f"{call}(bytes32)", dispute)

    def prove_equivocation(
        self,
        account: bytes,
        lane: bytes,
        sequence: int,
        *,
        contents: tuple[bytes, bytes],
        signatures: tuple[bytes, bytes],
    ) -> Order:
        """Show two statements that one account has signed for one place.

        Args:
            account: Who signed.
            lane: Name of its chain, 32 bytes.
            sequence: Place in it.
            contents: What the statements say, 32 bytes each, in the order of the signatures.
            signatures: r, s and v of each.
        """
        types = "prove_equivocation(address,bytes32,uint64,bytes32[2],bytes32[2],bytes32[2])"
        (r1, vs1), (r2, vs2) = map(compact, signatures)
        return self.order(types, account, lane, sequence, list(contents), [r1, r2], [vs1, vs2])

    def collect(self, to: bytes) -> Order:
        """Pay out what the sender is owed."""
        return self.order("collect(address)", to)

    async def case(self, dispute: bytes) -> DisputeCase:
        """Return a dispute; `opened_at_unix_s` is 0 if there is none."""
        (found,) = await self.ask("cases(bytes32)", _CASE, dispute)
        return facts(DisputeCase, found)

    async def result(self, dispute: bytes) -> DisputedResult:
        """Return what result a dispute is about; `commitment` is zero if it is about something else."""
        found = await self.ask("results(bytes32)", ["bytes32", "bytes32", "uint256"], dispute)
        return facts(DisputedResult, found)

    async def is_charged(self, commitment: bytes) -> bool:
        """Return whether a worker was slashed for its result."""
        (found,) = await self.ask("is_charged(bytes32)", ["bool"], commitment)
        return bool(found)

    async def jury(self, jury: bytes) -> JuryState:
        """Return the jury of a round."""
        (found,) = await self.ask("juries(bytes32)", _JURY, jury)
        return facts(JuryState, found)

    async def jury_of(self, dispute: bytes, round_number: int) -> bytes:
        """Return the id of a round's jury."""
        (found,) = await self.ask("jury_of(bytes32,uint256)", ["bytes32"], dispute, round_number)
        return bytes(found)

    async def seats(self, jury: bytes) -> tuple[bytes, ...]:
        """Return the jurors, in the order of their tickets."""
        (found,) = await self.ask("seats_of(bytes32)", ["address[]"], jury)
        return tuple(map(account_bytes, found))

    async def is_settled(self, jury: bytes) -> bool:
        """Return whether the jurors of a round were paid or slashed."""
        (found,) = await self.ask("is_settled(bytes32)", ["bool"], jury)
        return bool(found)

    async def bond_for(self, token: bytes, amount: Wei) -> Wei:
        """Return what challenging a job of that value costs, SKYOPS."""
        return Wei(await self.number("bond_for(address,uint256)", token, amount))

    async def owed(self, owner: bytes) -> Wei:
        """Return what an account may collect, SKYOPS."""
        return Wei(await self.number("owed(address)", owner))


def dispute_id(requester: bytes, worker: bytes, token: bytes, job_id: bytes) -> bytes:
    """Return the id of a dispute about a receipt."""
    accounts = (account.rjust(32, b"\0") for account in (requester, worker, token))
    return keccak256(b"".join((*accounts, job_id)))


def commitment(jury: bytes, juror: bytes, *, vote: int, finding: bytes, salt: bytes) -> bytes:
    """Return what a juror commits to."""
    words = (jury, juror.rjust(32, b"\0"), vote.to_bytes(32, "big"), finding, salt)
    return keccak256(b"".join(words))
