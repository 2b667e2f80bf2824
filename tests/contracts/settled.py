"""A settlement with its parameters, token and people, and the signing of vouchers and receipts for it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import boa
from boa.contracts.vyper.vyper_contract import VyperContract
from eth_abi import encode

from tests.contracts.chain import ETH, TEST_SOURCES, UNIT, Person, deploy, domain_of, person, sha256

VOUCHER = [
    ("worker", "address"),
    ("token", "address"),
    ("cumulative", "uint96"),
    ("holdbackBps", "uint16"),
    ("receiptsRoot", "bytes32"),
]
ROOT = bytes(range(32))
PEOPLE = ("alice", "bob", "carol", "mallory")
SUPPLY = 10**9 * UNIT
FEE_BPS = 300


class Receipt(NamedTuple):
    """One job, as it is a leaf of the pair's tree."""

    job_id: bytes
    execution_hash: bytes
    log_hash: bytes
    metering_hash: bytes
    amount: int
    ended_unix_s: int

    @property
    def leaf(self) -> bytes:
        """The hash of the leaf, made apart from the contract's code."""
        return sha256(b"\x00" + encode(["bytes32"] * 4 + ["uint256"] * 2, list(self)))


class PairState(NamedTuple):
    """Of a requester, worker and token."""

    redeemed: int
    held: int
    allotted: int
    until: int
    disputes: int


def receipt(number: int, amount: int = UNIT) -> Receipt:
    """Return a receipt whose hashes differ from those of other numbers."""
    parts = [sha256(f"{part} {number}".encode()) for part in ("job", "execution", "log", "metering")]
    return Receipt(*parts, amount, boa.env.timestamp)


class Settled:
    """The contracts, deployed as in production, with or without the real registry."""

    def __init__(self, *, has_stake: bool = False) -> None:
        self.parameters = deploy("Parameters", *(person(n).address for n in ("gov", "guard", "pool", "fund")))
        self.token = deploy("SkyopsToken", boa.env.eoa, SUPPLY, 0)
        if has_stake:
            self.registry = deploy("NodeRegistry", self.parameters.address, self.token.address)
        else:
            self.registry = self.active = deploy("ActiveList", folder=TEST_SOURCES)
        self.settlement = deploy(
            "Settlement", self.parameters.address, self.token.address, self.registry.address
        )
        self.arbiter = deploy("Arbiter", self.settlement.address, folder=TEST_SOURCES)
        for name in PEOPLE:
            self.fund(person(name).address)

    def bind_arbiter(self) -> None:
        """Make the stand-in for Disputes the arbiter."""
        self.settlement.bind_arbiter(self.arbiter.address)

    def fund(self, account: str, amount: int = 10_000 * UNIT) -> None:
        """Give an account SKYOPS, approved to the settlement, and ETH."""
        self.token.transfer(account, amount)
        self.token.approve(self.settlement.address, 2**256 - 1, sender=account)
        boa.env.set_balance(account, amount)

    def deposit(self, owner: Person, amount: int, *, token: str | None = None, worker: str = ETH) -> int:
        """Deposit SKYOPS, or what is given as the token."""
        token = self.token.address if token is None else token
        sent = amount if token == ETH else 0
        return int(self.settlement.deposit(token, amount, worker, sender=owner.address, value=sent))

    def voucher(
        self,
        requester: Person,
        worker: Person,
        cumulative: int,
        *,
        token: str | None = None,
        holdback: int = 1000,
        root: bytes = ROOT,
        signer: Person | None = None,
        domain: dict[str, Any] | None = None,
    ) -> tuple[Any, ...]:
        """Return a signed voucher as the contract takes it."""
        r, vs = (signer or requester).sign_compact(
            domain or domain_of("Skyops Settlement", self.settlement),
            VOUCHER,
            _type="Voucher",
            worker=worker.address,
            token=self.token.address if token is None else token,
            cumulative=cumulative,
            holdbackBps=holdback,
            receiptsRoot=root,
        )
        return requester.address, cumulative, holdback, root, r, vs

    def redeem(self, requester: Person, worker: Person, cumulative: int, **options: Any) -> int:
        """Sign a voucher and redeem it as its worker; return what was credited."""
        token = options.get("token") or self.token.address
        signed = self.voucher(requester, worker, cumulative, **options)
        return int(self.settlement.redeem(worker.address, token, signed, sender=worker.address))

    def state(self, requester: Person, worker: Person, token: str | None = None) -> PairState:
        """Return what the settlement knows of a pair."""
        token = self.token.address if token is None else token
        return PairState(*self.settlement.pair_state(requester.address, worker.address, token))

    def deposit_of(self, owner: Person, token: str | None = None) -> int:
        """Return a deposit in wei."""
        return int(self.settlement.deposits(owner.address, self.token.address if token is None else token))

    def credit_of(self, owner: Person, token: str | None = None) -> int:
        """Return a credit in wei."""
        return int(self.settlement.credits(owner.address, self.token.address if token is None else token))

    def set_parameter(self, key: int, amount: int) -> None:
        """Change a value through the timelock; two days pass."""
        self.parameters.propose(key, amount, sender=person("gov").address)
        boa.env.time_travel(seconds=self.parameters.get(10))
        self.parameters.execute(key)
        self.settlement.renew_terms()

    def pause(self) -> None:
        """Pause as the guardian."""
        self.parameters.pause(sender=person("guard").address)


def pay_parts(taken: int, holdback: int = 1000) -> tuple[int, int, int]:
    """Return (credited, held, fee) of a payment, by the published rule."""
    fee = taken * FEE_BPS // 10_000
    held = (taken - fee) * holdback // 10_000
    return taken - fee - held, held, fee


def custody(settled: Settled, token: VyperContract | None) -> int:
    """Return what the settlement has of a token, or of ETH."""
    address = settled.settlement.address
    return int(token.balanceOf(address)) if token is not None else int(boa.env.get_balance(address))


def total_owed(settled: Settled, token: str, people: Sequence[Person]) -> int:
    """Return the sum of all that is owed to anybody in a token, but for escrowed jobs."""
    contract = settled.settlement
    owed = int(contract.fees(token))
    for one in people:
        owed += int(contract.deposits(one.address, token)) + int(contract.credits(one.address, token))
        for other in people:
            state = settled.state(one, other, token)
            owed += state.held + state.allotted
    return owed
