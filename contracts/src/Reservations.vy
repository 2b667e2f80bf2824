# pragma version 0.4.3
"""
@title Reservations: Commit mode, prepaid with a discount, with a refund that is known beforehand
@license Apache-2.0
@notice A worker signs an offer; the requester that takes it pays the whole term at once. The worker earns second by
        second. Who leaves early has back what is not used, less the exit fee, which goes to the worker. A worker that
        does not check in when it is asked to gives the unused part back whole, and an hour's rate from its stake.
@dev EIP-712, domain "Skyops Reservations", "1", chain, contract. Types Offer and Usage. In SKYOPS or ETH only, since
     the stake must be worth something in it.
"""
from .parts import signatures
from .parts import till
from .parts import tokens

initializes: till

exports: (
    till.PARAMETERS,
    till.TOKEN,
    till.collect,
    till.fees,
    till.owed,
    till.pay_fees,
)

interface Parameters:
    def is_paused() -> bool: view

interface NodeRegistry:
    def lock(owner: address, amount: uint256): nonpayable
    def unlock(owner: address, amount: uint256): nonpayable
    def slash(owner: address, amount: uint256, is_final: bool) -> uint256: nonpayable

event Reserved:
    reservation: indexed(bytes32)
    requester: indexed(address)
    worker: indexed(address)
    token: address
    prepaid: uint256
    starts_at: uint256
    ends_at: uint256

event Asked:
    reservation: indexed(bytes32)
    answer_by: uint256

event CheckedIn:
    reservation: indexed(bytes32)

event UsageRecorded:
    reservation: indexed(bytes32)
    used_s: uint256

event Drawn:
    reservation: indexed(bytes32)
    amount: uint256
    fee: uint256

event Ended:
    reservation: indexed(bytes32)
    reason: uint256  # 1 over, 2 the requester left, 3 the worker did not show up
    refund: uint256
    exit_fee: uint256
    compensation: uint256  # SKYOPS wei from the stake

event OfferRevoked:
    worker: indexed(address)
    salt: indexed(bytes32)

struct Offer:
    worker: address
    token: address
    rate: uint256  # wei an hour, before the discount
    hours_least: uint256
    hours_most: uint256
    expires_at: uint256  # Unix s
    salt: bytes32  # an offer is taken once

struct Reservation:
    requester: address
    worker: address
    token: address
    rate: uint256
    prepaid: uint256
    drawn: uint256  # by the worker, fee included
    starts_at: uint256
    ends_at: uint256
    checked_in_at: uint256  # 0: never
    answer_by: uint256  # 0: not asked
    asked_at: uint256
    used_s: uint256  # as the requester has signed
    locked: uint256  # of the worker's stake, SKYOPS wei
    is_ended: bool

OFFER_TYPE: constant(bytes32) = keccak256(
    "Offer(address worker,address token,uint256 rate,uint256 hoursLeast,uint256 hoursMost,uint256 expiresAt,bytes32 salt)"
)
USAGE_TYPE: constant(bytes32) = keccak256("Usage(bytes32 reservation,uint256 usedS)")
NAME_HASH: constant(bytes32) = keccak256("Skyops Reservations")

HOUR: constant(uint256) = 3600
DAY: constant(uint256) = 86400
HOURS_MAX: public(constant(uint256)) = 366 * 24
ASK_INTERVAL_S: public(constant(uint256)) = DAY
AMOUNT_MAX: constant(uint256) = 2**96 - 1

# Terms of at least so many hours have so much off, basis points.
TERMS: constant(uint256[6]) = [24, 7 * 24, 30 * 24, 90 * 24, 180 * 24, 365 * 24]
DISCOUNTS: constant(uint256[6]) = [500, 1000, 2000, 3000, 4000, 5000]

SKYOPS_PER_ETH: constant(uint256) = 9  # keys of Parameters
EXIT_FEE: constant(uint256) = 25
CHECK_IN: constant(uint256) = 26

OVER: constant(uint256) = 1
LEFT: constant(uint256) = 2
NO_SHOW: constant(uint256) = 3

REGISTRY: public(immutable(address))

reservations: public(HashMap[bytes32, Reservation])
taken: public(HashMap[address, HashMap[bytes32, bool]])  # worker -> salt -> taken or revoked
@deploy
def __init__(parameters: address, registry: address, token: address):
    for given: address in [parameters, registry, token]:
        assert given != empty(address), "bad_address"
    REGISTRY = registry
    till.__init__(parameters, token)


@external
@payable
@nonreentrant
def reserve(offer: Offer, hours: uint256, starts_at: uint256, r: bytes32, vs: bytes32) -> bytes32:
    """
    @notice Take an offer and pay it. ETH comes with the call, SKYOPS have been approved.
    @param starts_at Unix s, from now to 30 days ahead.
    @return The reservation.
    """
    assert not staticcall Parameters(till.PARAMETERS).is_paused(), "paused"
    assert offer.token == till.TOKEN or offer.token == tokens.ETH, "bad_token"
    assert block.timestamp <= offer.expires_at, "offer_expired"
    assert hours >= offer.hours_least and hours <= min(offer.hours_most, HOURS_MAX) and hours > 0, "bad_term"
    assert starts_at >= block.timestamp and starts_at <= block.timestamp + 30 * DAY, "bad_start"
    assert not self.taken[offer.worker][offer.salt], "offer_taken"
    self._assert_signed(self._offer_hash(offer), offer.worker, r, vs)
    prepaid: uint256 = self._price(offer.rate, hours)
    assert prepaid > 0 and prepaid <= AMOUNT_MAX, "bad_price"
    self.taken[offer.worker][offer.salt] = True
    reservation: bytes32 = keccak256(abi_encode(chain.id, self, offer.worker, offer.salt))
    found: Reservation = empty(Reservation)
    found.requester = msg.sender
    found.worker = offer.worker
    found.token = offer.token
    found.rate = offer.rate
    found.prepaid = prepaid
    found.starts_at = starts_at
    found.ends_at = starts_at + hours * HOUR
    found.locked = 2 * self._in_skyops(offer.token, offer.rate)  # half of a slash is burned
    self.reservations[reservation] = found
    log Reserved(
        reservation=reservation,
        requester=msg.sender,
        worker=offer.worker,
        token=offer.token,
        prepaid=prepaid,
        starts_at=starts_at,
        ends_at=found.ends_at,
    )
    extcall NodeRegistry(REGISTRY).lock(offer.worker, found.locked)
    assert tokens._pull(offer.token, msg.sender, prepaid, msg.value) == prepaid, "transfer_failed"
    return reservation


@external
def revoke_offer(salt: bytes32):
    """@notice Make an offer that nobody has taken void. By the worker."""
    self.taken[msg.sender][salt] = True
    log OfferRevoked(worker=msg.sender, salt=salt)


@external
def check_in(reservation: bytes32):
    """@notice Show that the worker is there: at the start, and when the requester asks."""
    found: Reservation = self._running(reservation)
    assert msg.sender == found.worker, "not_worker"
    assert block.timestamp >= found.starts_at, "wrong_time"
    assert found.checked_in_at != 0 or block.timestamp <= found.starts_at + till._parameter(CHECK_IN), "too_late"
    assert found.answer_by == 0 or block.timestamp <= found.answer_by, "too_late"
    self.reservations[reservation].checked_in_at = block.timestamp
    self.reservations[reservation].answer_by = 0
    log CheckedIn(reservation=reservation)


@external
def ask(reservation: bytes32):
    """@notice Ask the worker to check in, at most once a day, from the start on. By the requester."""
    found: Reservation = self._running(reservation)
    assert msg.sender == found.requester, "not_requester"
    assert block.timestamp >= found.starts_at and block.timestamp < found.ends_at, "wrong_time"
    assert found.answer_by == 0 and block.timestamp >= found.asked_at + ASK_INTERVAL_S, "asked_lately"
    answer_by: uint256 = block.timestamp + till._parameter(CHECK_IN)
    self.reservations[reservation].answer_by = answer_by
    self.reservations[reservation].asked_at = block.timestamp
    log Asked(reservation=reservation, answer_by=answer_by)


@external
def record_usage(reservation: bytes32, used_s: uint256, r: bytes32, vs: bytes32):
    """@notice Record how long the capacity was used, as the requester has signed; only more than before."""
    found: Reservation = self.reservations[reservation]
    assert used_s > found.used_s, "stale_usage"
    self._assert_signed(keccak256(abi_encode(USAGE_TYPE, reservation, used_s)), found.requester, r, vs)
    self.reservations[reservation].used_s = used_s
    log UsageRecorded(reservation=reservation, used_s=used_s)


@external
@nonreentrant
def draw(reservation: bytes32) -> uint256:
    """@notice Credit the worker what it has earned until an hour ago. Anybody may, unless the worker owes an answer."""
    found: Reservation = self._running(reservation)
    assert found.checked_in_at != 0 and found.answer_by == 0, "not_checked_in"
    earned: uint256 = self._earned(found, block.timestamp - till._parameter(CHECK_IN))
    assert earned > found.drawn, "nothing_to_draw"
    return self._credit_worker(reservation, found, earned - found.drawn)


@external
@nonreentrant
def leave(reservation: bytes32, refund_least: uint256) -> uint256:
    """@notice End a reservation early; `refund_of` shows the refund. By the requester. @return The refund."""
    found: Reservation = self._running(reservation)
    assert msg.sender == found.requester, "not_requester"
    assert block.timestamp < found.ends_at, "over"
    used: uint256 = 0
    fee: uint256 = 0
    refund: uint256 = 0
    (used, fee, refund) = self._exit(found, block.timestamp)
    assert refund >= refund_least, "refund_too_small"
    self._end(reservation, found, used + fee - found.drawn, refund, LEFT, fee)
    return refund


@external
@nonreentrant
def report_no_show(reservation: bytes32) -> uint256:
    """
    @notice End a reservation whose worker did not check in at its start, or when it was asked. By the requester, or by
            the worker, who has what it had earned.
    @return The refund: all that was not earned before the worker was last seen.
    """
    found: Reservation = self._running(reservation)
    assert msg.sender == found.requester or msg.sender == found.worker, "not_party"
    is_absent: bool = found.answer_by != 0 and block.timestamp > found.answer_by
    if found.checked_in_at == 0 and block.timestamp > found.starts_at + till._parameter(CHECK_IN):
        is_absent = True
    assert is_absent, "not_absent"
    seen_until: uint256 = 0
    if found.checked_in_at != 0:
        seen_until = max(found.asked_at, found.starts_at)
    earned: uint256 = max(self._earned(found, seen_until), found.drawn)
    self._end(reservation, found, earned - found.drawn, found.prepaid - earned, NO_SHOW, 0)
    return found.prepaid - earned


@external
@nonreentrant
def finish(reservation: bytes32):
    """@notice Pay the rest of a reservation that is over. Anybody may, a check-in's time after its end."""
    found: Reservation = self._running(reservation)
    assert block.timestamp >= found.ends_at + till._parameter(CHECK_IN), "too_soon"
    assert found.checked_in_at != 0 and found.answer_by == 0, "not_checked_in"
    self._end(reservation, found, found.prepaid - found.drawn, 0, OVER, 0)


@external
@view
def refund_of(reservation: bytes32, at: uint256) -> (uint256, uint256, uint256):
    """@return What leaving at a time (Unix s) would make of the prepaid: used, exit fee, refund."""
    return self._exit(self.reservations[reservation], at)


@external
@view
def price_of(rate: uint256, hours: uint256) -> uint256:
    """@return What a term costs, discount taken off, rounded up."""
    return self._price(rate, hours)


@external
@view
def discount_of(hours: uint256) -> uint256:
    """@return Basis points."""
    return self._discount(hours)


@internal
def _end(
    reservation: bytes32, found: Reservation, to_worker: uint256, refund: uint256, reason: uint256, exit_fee: uint256
):
    self.reservations[reservation].is_ended = True
    self.reservations[reservation].answer_by = 0
    extcall NodeRegistry(REGISTRY).unlock(found.worker, found.locked)
    compensation: uint256 = 0
    if reason == NO_SHOW:
        compensation = extcall NodeRegistry(REGISTRY).slash(found.worker, found.locked, False)
        till.owed[found.requester][till.TOKEN] += compensation
    till.owed[found.requester][found.token] += refund
    if to_worker > 0:
        self._credit_worker(reservation, found, to_worker)
    log Ended(reservation=reservation, reason=reason, refund=refund, exit_fee=exit_fee, compensation=compensation)


@internal
def _credit_worker(reservation: bytes32, found: Reservation, amount: uint256) -> uint256:
    self.reservations[reservation].drawn = found.drawn + amount
    fee: uint256 = till._earn(found.worker, found.token, amount)
    log Drawn(reservation=reservation, amount=amount - fee, fee=fee)
    return amount - fee


@internal
@view
def _exit(found: Reservation, at: uint256) -> (uint256, uint256, uint256):
    used: uint256 = max(self._earned(found, at), found.drawn)
    remainder: uint256 = found.prepaid - used
    fee: uint256 = self._up(remainder * till._parameter(EXIT_FEE), till.BP)
    return (used, fee, remainder - fee)


@internal
@view
def _earned(found: Reservation, at: uint256) -> uint256:
    """@return What the time until then is worth at the price that was paid, rounded up to whole wei."""
    if at <= found.starts_at:
        return 0
    passed: uint256 = min(at, found.ends_at) - found.starts_at
    return self._up(found.prepaid * passed, found.ends_at - found.starts_at)


@internal
@pure
def _price(rate: uint256, hours: uint256) -> uint256:
    return self._up(rate * hours * (till.BP - self._discount(hours)), till.BP)


@internal
@pure
def _discount(hours: uint256) -> uint256:
    found: uint256 = 0
    for i: uint256 in range(6):
        if hours >= TERMS[i]:
            found = DISCOUNTS[i]
    return found


@internal
@pure
def _up(number: uint256, divisor: uint256) -> uint256:
    return (number + divisor - 1) // divisor


@internal
@view
def _running(reservation: bytes32) -> Reservation:
    found: Reservation = self.reservations[reservation]
    assert found.ends_at != 0 and not found.is_ended, "not_running"
    return found


@internal
@view
def _in_skyops(token: address, amount: uint256) -> uint256:
    if token == till.TOKEN:
        return amount
    return amount * till._parameter(SKYOPS_PER_ETH)


@internal
@view
def _assert_signed(struct_hash: bytes32, account: address, r: bytes32, vs: bytes32):
    digest: bytes32 = signatures._digest(signatures._separator(NAME_HASH), struct_hash)
    signer: address = signatures._compact_signer(digest, r, vs)
    assert signer == account and signer != empty(address), "bad_signature"


@internal
@pure
def _offer_hash(offer: Offer) -> bytes32:
    return keccak256(
        abi_encode(
            OFFER_TYPE, offer.worker, offer.token, offer.rate,
            offer.hours_least, offer.hours_most, offer.expires_at, offer.salt,
        )
    )
