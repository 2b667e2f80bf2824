"""The contract Reservations: capacity that is paid for a term."""

from skyops_p2p.adapters.contracts.calling import NOTHING, Contract, facts
from skyops_p2p.core.chain.facts import Order
from skyops_p2p.core.settlement.contract_facts import ReservationOffer, ReservationRefund, ReservationState
from skyops_p2p.core.settlement.funds import NO_ACCOUNT
from skyops_p2p.core.settlement.vouchers import compact
from skyops_p2p.crypto.hashing import keccak256
from skyops_p2p.crypto.typed_data import offer_digest
from skyops_p2p.crypto.wallet import Wallet
from skyops_p2p.types import Wei

OFFER = "(address,address,uint256,uint256,uint256,uint256,bytes32)"
_RESERVATION = (
    "(address,address,address,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256,bool)",
)


class Reservations(Contract):
    """Orders for it, and what it says. SKYOPS must be approved before; reservations are 32 bytes."""

    def reserve(
        self, offer: ReservationOffer, hours: int, starts_at_unix_s: int, *, signature: bytes, price: Wei
    ) -> Order:
        """Take an offer and pay the term.

        Args:
            offer: The worker's.
            hours: The term.
            starts_at_unix_s: From now to 30 days ahead.
            signature: The worker's under the offer: r, s and v.
            price: As `price` says; goes along if the offer is in the chain's coin.
        """
        types = f"reserve({OFFER},uint256,uint256,bytes32,bytes32)"
        value = price if offer.token == NO_ACCOUNT else NOTHING
        r, vs = compact(signature)
        return self.order(types, offer_tuple(offer), hours, starts_at_unix_s, r, vs, value_wei=value)

    def revoke_offer(self, salt: bytes) -> Order:
        """Make an offer void; by the worker."""
        return self.order("revoke_offer(bytes32)", salt)

    def record_usage(self, reservation: bytes, used_s: int, *, signature: bytes) -> Order:
        """Note what the requester has signed."""
        r, vs = compact(signature)
        return self.order("record_usage(bytes32,uint256,bytes32,bytes32)", reservation, used_s, r, vs)

    def leave(self, reservation: bytes, refund_least: Wei) -> Order:
        """Leave early, if at least so much comes back."""
        return self.order("leave(bytes32,uint256)", reservation, refund_least)

    def on_reservation(self, call: str, reservation: bytes) -> Order:
        """Return an order for `check_in`, `ask`, `draw`, `report_no_show` or `finish`."""
        assert call in {"check_in", "ask", "draw", "report_no_show", "finish"}
        return self.order(f"{call}(bytes32)", reservation)

    def collect(self, token: bytes, to: bytes) -> Order:
        """Pay out what the sender is owed."""
        return self.order("collect(address,address)", token, to)

    async def price(self, rate: Wei, hours: int) -> Wei:
        """Return what a term costs, with its discount."""
        return Wei(await self.number("price_of(uint256,uint256)", rate, hours))

    async def discount_bps(self, hours: int) -> int:
        """Return the discount of a term, hundredths of a per cent."""
        return await self.number("discount_of(uint256)", hours)

    async def refund(self, reservation: bytes, at_unix_s: int) -> ReservationRefund:
        """Return what leaving at a time would come to."""
        used, exit_fee, refund = await self.ask(
            "refund_of(bytes32,uint256)", ["uint256"] * 3, reservation, at_unix_s
        )
        return ReservationRefund(refund=Wei(refund), exit_fee=Wei(exit_fee), used=Wei(used))

    async def state(self, reservation: bytes) -> ReservationState:
        """Return a reservation; its end is 0 if there is none."""
        (found,) = await self.ask("reservations(bytes32)", _RESERVATION, reservation)
        return facts(ReservationState, found)

    async def owed(self, owner: bytes, token: bytes) -> Wei:
        """Return what an account may collect."""
        return Wei(await self.number("owed(address,address)", owner, token))


def reservation_id(chain_id: int, contract: bytes, worker: bytes, salt: bytes) -> bytes:
    """Return the id that an offer's reservation has."""
    accounts = (contract.rjust(32, b"\0"), worker.rjust(32, b"\0"))
    return keccak256(b"".join((chain_id.to_bytes(32, "big"), *accounts, salt)))


def sign_offer(wallet: Wallet, offer: ReservationOffer, *, chain_id: int, contract: bytes) -> bytes:
    """Sign an offer with its worker's wallet; return r, s and v."""
    digest = offer_digest(
        chain_id=chain_id,
        contract=contract,
        worker=offer.worker,
        token=offer.token,
        rate=offer.rate,
        hours=(offer.hours_least, offer.hours_most),
        expires_unix_s=offer.expires_at_unix_s,
        salt=offer.salt,
    )
    return wallet.sign_digest(digest)


def offer_tuple(offer: ReservationOffer) -> tuple[bytes, bytes, int, int, int, int, bytes]:
    """Return an offer as the contract takes it."""
    terms = (offer.rate, offer.hours_least, offer.hours_most, offer.expires_at_unix_s)
    return offer.worker, offer.token, *terms, offer.salt
