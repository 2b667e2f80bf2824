"""Reservations with stake: bob makes offers, alice takes them."""

from typing import Any

import boa
from boa.contracts.vyper.vyper_contract import VyperContract

from tests.contracts.chain import ETH, HOUR, UNIT, Person, deploy, domain_of, person, sha256
from tests.contracts.court import BURN
from tests.contracts.settled import Settled

OFFER = [
    ("worker", "address"), ("token", "address"), ("rate", "uint256"), ("hoursLeast", "uint256"),
    ("hoursMost", "uint256"), ("expiresAt", "uint256"), ("salt", "bytes32"),
]  # fmt: skip
USAGE = [("reservation", "bytes32"), ("usedS", "uint256")]
RATE = 2 * UNIT
STAKE = 1000 * UNIT
SALT = sha256(b"offer")
OVER, LEFT, NO_SHOW = 1, 2, 3


class Reserved:
    """Bob has a stake and makes offers; alice takes them."""

    def __init__(self) -> None:
        self.settled = Settled(has_stake=True)
        self.token = self.settled.token
        self.registry: VyperContract = self.settled.registry
        self.contract = deploy(
            "Reservations", self.settled.parameters.address, self.registry.address, self.token.address
        )
        self.registry.bind_slashers(self.contract.address, self.contract.address)
        bob = person("bob").address
        self.token.approve(self.registry.address, STAKE + BURN, sender=bob)
        self.registry.register(SALT, "", STAKE + BURN, sender=bob)
        self.registry.mark([bob])
        self.token.approve(self.contract.address, 2**256 - 1, sender=person("alice").address)

    def offer(self, worker: Person, **changes: Any) -> tuple[Any, ...]:
        """Return the fields of an offer, in the order of the type."""
        fields = {
            "token": self.token.address, "rate": RATE, "hoursLeast": 1, "hoursMost": 366 * 24,
            "expiresAt": boa.env.timestamp + HOUR, "salt": SALT, **changes,
        }  # fmt: skip
        return (worker.address, *fields.values())

    def sign(self, signer: Person, offer: tuple[Any, ...]) -> tuple[bytes, bytes]:
        """Sign an offer."""
        fields = dict(zip([name for name, _ in OFFER], offer, strict=True))
        return signer.sign_compact(
            domain_of("Skyops Reservations", self.contract), OFFER, _type="Offer", **fields
        )

    def reserve(
        self, requester: Person, worker: Person, hours: int = 10, *, after: int = 0, **changes: Any
    ) -> bytes:
        """Take an offer for so many hours, to begin after so many seconds."""
        offer = self.offer(worker, **changes)
        sent = self.contract.price_of(offer[2], hours) if offer[1] == ETH else 0
        return bytes(
            self.contract.reserve(
                offer,
                hours,
                boa.env.timestamp + after,
                *self.sign(worker, offer),
                sender=requester.address,
                value=sent,
            )
        )

    def checked_in(self, requester: Person, worker: Person, hours: int = 10, **changes: Any) -> bytes:
        """Reserve from now, with the worker there."""
        reservation = self.reserve(requester, worker, hours, **changes)
        self.contract.check_in(reservation, sender=worker.address)
        return reservation

    def owed(self, owner: Person, token: str | None = None) -> int:
        """Return what somebody can collect."""
        return int(self.contract.owed(owner.address, self.token.address if token is None else token))

    def assert_all_is_owed(self) -> None:
        """What the contract has is owed to somebody, or fees; and it can all be taken out."""
        people = [person("alice"), person("bob")]
        token = self.token.address
        assert self.token.balanceOf(self.contract.address) == sum(
            map(self.owed, people)
        ) + self.contract.fees(token)
        for owner in people:
            self.contract.collect(token, owner.address, sender=owner.address)
        self.contract.pay_fees(token)
        assert self.token.balanceOf(self.contract.address) == 0
