"""A settlement with stake and disputes, a pool of jurors, and the way of a dispute from its opening to its end."""

from typing import Any

import boa
from boa.contracts.vyper.vyper_contract import VyperContract
from eth_abi import encode
from eth_utils import keccak

from skyops_p2p.core.auction.merkle import MerkleTree
from tests.contracts.chain import HOUR, TEST_SOURCES, UNIT, Person, deploy, domain_of, person, sha256
from tests.contracts.settled import Receipt, Settled, receipt

RIGHT, WRONG = 1, 2
SEAT = 10 * UNIT
FEE = UNIT
STAKE = 1000 * UNIT
JUROR_STAKE = 100 * UNIT
BURN = 5 * UNIT  # of a registration
DRAW, COMMIT, REVEAL, APPEAL = HOUR // 2, 2 * HOUR, HOUR, 2 * HOUR
SALT = sha256(b"salt")
FINDING = sha256(b"step 4711 differs")
MADE_AGO = 60  # seconds since a verdict was made, where nothing else is said
STATEMENT = [("lane", "bytes32"), ("sequence", "uint64"), ("content", "bytes32")]


class Court:
    """Alice buys from bob; carol watches; jurors j0 to j32 have a stake."""

    def __init__(self, *, jurors: int = 9) -> None:
        self.settled = Settled(has_stake=True)
        self.token = self.settled.token
        self.registry: VyperContract = self.settled.registry
        self.disputes = deploy(
            "Disputes",
            self.settled.parameters.address,
            self.registry.address,
            self.settled.settlement.address,
        )
        self.slasher = deploy("Slasher", self.registry.address, folder=TEST_SOURCES)
        self.registry.bind_slashers(self.disputes.address, self.slasher.address)
        self.settled.settlement.bind_arbiter(self.disputes.address)
        self.jurors = [person(f"j{number}") for number in range(jurors)]
        self.stake(person("bob"), STAKE)
        for juror in self.jurors:
            self.stake(juror, JUROR_STAKE)
        boa.env.time_travel(seconds=1)  # who registers with the opening or after it is no juror
        for name in ("alice", "bob", "carol"):
            self.token.approve(self.disputes.address, 2**256 - 1, sender=person(name).address)

    def stake(self, owner: Person, amount: int) -> None:
        """Register a node with a stake, and mark it."""
        self.token.transfer(owner.address, amount + BURN)
        self.token.approve(self.registry.address, amount + BURN, sender=owner.address)
        self.registry.register(sha256(owner.name.encode()), "", amount + BURN, sender=owner.address)
        self.registry.mark([owner.address])

    def paid_job(
        self, requester: Person, worker: Person, amount: int
    ) -> tuple[Receipt, int, int, list[bytes]]:
        """Pay a worker for three jobs, the second of which costs so much; return how that one is proven."""
        receipts = [receipt(0, UNIT), receipt(1, amount), receipt(2, UNIT)]
        tree = MerkleTree([one.leaf for one in receipts])
        self.settled.deposit(requester, amount + 2 * UNIT)
        self.settled.redeem(requester, worker, amount + 2 * UNIT, root=tree.root)
        return receipts[1], 1, 3, list(tree.path(1))

    def open(self, challenger: Person, requester: Person, worker: Person, amount: int) -> bytes:
        """Open a dispute over a job paid by voucher."""
        proof = self.paid_job(requester, worker, amount)
        where = (requester.address, worker.address, self.token.address)
        return bytes(
            self.disputes.open_receipt(*where, *proof, sha256(b"evidence"), sender=challenger.address)
        )

    def open_result(
        self, challenger: Person, claim: tuple[Person, Person, int], commit: bytes, proof: bytes
    ) -> bytes:
        """Open a dispute over a result of (requester, worker, amount) that was not paid, by a verdict just made."""
        requester, worker, amount = claim
        made_at = boa.env.timestamp - MADE_AGO
        args = (requester.address, worker.address, amount, made_at, commit, proof)
        dispute = bytes(self.disputes.open_result(*args, sender=challenger.address))
        assert dispute == result_dispute(*args)
        return dispute

    def jury(self, dispute: bytes, number: int = 0) -> bytes:
        """Return the id of a round's jury."""
        return bytes(self.disputes.jury_of(dispute, number))

    def draw(self, dispute: bytes, jurors: list[Person] | None = None, *, number: int = 0) -> list[Person]:
        """Fix the seed, enrol jurors with their best tickets, close the draw; return who sits."""
        jury = self.jury(dispute, number)
        boa.env.time_travel(blocks=3)
        self.disputes.fix_seed(jury)
        seed = self.disputes.juries(jury).seed
        for juror in jurors if jurors is not None else self.jurors:
            try:
                self.disputes.enrol(dispute, best_ticket(seed, juror)[1], sender=juror.address)
            except boa.BoaError:
                assert best_ticket(seed, juror)[0] > self.worst_score(jury)
        boa.env.time_travel(seconds=DRAW)
        self.disputes.close_draw(dispute)
        return self.seated(dispute, number)

    def seated(self, dispute: bytes, number: int) -> list[Person]:
        """Return who sits in the jury of a round."""
        names = {juror.address: juror for juror in self.jurors}
        return [names[address] for address in self.disputes.seats_of(self.jury(dispute, number))]

    def worst_score(self, jury: bytes) -> int:
        """Return the highest score of those seated."""
        return max(int(self.disputes.scores(jury, address)) for address in self.disputes.seats_of(jury))

    def vote(self, dispute: bytes, votes: list[tuple[Person, int]], *, number: int = 0) -> None:
        """Commit, reveal and count; a vote of 0 commits nothing."""
        jury = self.jury(dispute, number)
        for juror, choice in votes:
            if choice:
                self.disputes.commit(jury, commitment(jury, juror, choice), sender=juror.address)
        boa.env.time_travel(seconds=COMMIT)
        for juror, choice in votes:
            if choice:
                self.disputes.reveal(jury, choice, FINDING, SALT, sender=juror.address)
        boa.env.time_travel(seconds=REVEAL)
        self.disputes.rule(dispute)

    def finish(self, dispute: bytes) -> None:
        """Let the time for appeals pass, and carry out the verdict."""
        boa.env.time_travel(seconds=APPEAL)
        self.disputes.close(dispute)

    def owed(self, owner: Person) -> int:
        """Return what somebody can collect."""
        return int(self.disputes.owed(owner.address))

    def stake_of(self, owner: Person) -> int:
        """Return a stake."""
        return int(self.registry.stake_of(owner.address))

    def assert_nothing_is_left(self, *rounds: tuple[bytes, int]) -> None:
        """Settle the juries of (dispute, round); then all that the contract has is owed to somebody."""
        for dispute, number in rounds:
            self.disputes.settle_jury(dispute, number)
        people = [person(name) for name in ("alice", "bob", "carol", "mallory", "fund")] + self.jurors
        assert self.token.balanceOf(self.disputes.address) == sum(map(self.owed, people))
        assert all(self.registry.nodes(juror.address).locked == 0 for juror in self.jurors)
        for owner in people:
            self.disputes.collect(owner.address, sender=owner.address)
        assert self.token.balanceOf(self.disputes.address) == 0

    def statement(self, signer: Person, lane: bytes, sequence: int, content: bytes) -> tuple[bytes, bytes]:
        """Sign a statement of one of a wallet's chains."""
        domain: dict[str, Any] = domain_of("Skyops Disputes", self.disputes)
        return signer.sign_compact(
            domain, STATEMENT, _type="Statement", lane=lane, sequence=sequence, content=content
        )


def commitment(jury: bytes, juror: Person, vote: int) -> bytes:
    """Return the commitment to a vote, made apart from the contract's code."""
    types = ["bytes32", "address", "uint256", "bytes32", "bytes32"]
    return bytes(keccak(encode(types, [jury, juror.address, vote, FINDING, SALT])))


def result_dispute(*claim: Any) -> bytes:
    """Return the id of a dispute over a result, made apart from the contract's code."""
    return bytes(keccak(encode(["address", "address", "uint256", "uint256", "bytes32", "bytes32"], claim)))


def best_ticket(seed: bytes, juror: Person, *, stake: int = JUROR_STAKE) -> tuple[int, int]:
    """Return (score, ticket) of a juror's best ticket."""
    tickets = range(stake // SEAT)
    types = ["bytes32", "address", "uint256"]
    return min(
        ((int.from_bytes(keccak(encode(types, [seed, juror.address, n])), "big") >> 1) + 1, n)
        for n in tickets
    )
