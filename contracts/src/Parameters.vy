# pragma version 0.4.3
"""
@title What may be tuned, within hard bounds and behind a timelock
@license Apache-2.0
@notice Roles: the governor proposes, the guardian (or the governor) takes a proposal back or pauses, anybody executes
        a proposal once its delay has passed. A pause stops new commitments only (deposits, jobs, stakes, reservations)
        and ends by itself; redemption, collection, disputes and withdrawals never look at it.
@dev Keys are the positions in DEFAULTS, LEAST and MOST. The roles and the two places where fees go are values, too, so
     that they change by the same way. Keys behind the roles have come later, so that no key ever means something else.
     Sources of the defaults: mechanism section 4, 6 and 11.
"""

event Proposed:
    key: indexed(uint256)
    amount: uint256
    ready_at: uint256

event Cancelled:
    key: indexed(uint256)

event Changed:
    key: indexed(uint256)
    before: uint256
    amount: uint256

event Paused:
    by: indexed(address)
    until: uint256

event Unpaused:
    by: indexed(address)

struct Proposal:
    amount: uint256
    ready_at: uint256  # Unix s; 0: none

KEYS: constant(uint256) = 32
FIRST_ADDRESS: constant(uint256) = 27  # governor, guardian, bonus pool, verification fund
GOVERNOR: constant(uint256) = 27
GUARDIAN: constant(uint256) = 28
REGISTRATION_BURN: constant(uint256) = 31

HOUR: constant(uint256) = 3600
DAY: constant(uint256) = 86400
UNIT: constant(uint256) = 10**18
ADDRESS_MAX: constant(uint256) = 2**160 - 1

GRACE_S: public(constant(uint256)) = 14 * DAY  # a proposal not executed by then is void
PAUSE_S: public(constant(uint256)) = 7 * DAY  # the longest pause, and the least time between two

# the first of a line has the number that its comment begins with
DEFAULTS: constant(uint256[FIRST_ADDRESS]) = [
    150, 100, 50,  # 0-2 fee to the bonus pool, to the verification fund, burned; basis points
    HOUR, DAY, 100 * UNIT,  # 3-5 challenge window, that of large values, what is large in SKYOPS wei; s, s, wei
    500, 2000,  # 6-7 least and most holdback; basis points
    2 * DAY,  # 8 delay of withdrawals; s
    1000,  # 9 what 1 ETH is worth in SKYOPS, for bonds, slashes and windows only
    2 * DAY,  # 10 delay of this timelock; s
    100 * UNIT, 14 * DAY, DAY,  # 11-13 least stake; unbonding; time without a mark until INACTIVE
    10, 5000, 7 * DAY,  # 14-16 slash of a wrong result in job values; challenger's bond, bp of the value; oldest job
    7, 10 * UNIT, UNIT, 1000,  # 17-20 jurors; stake a ticket and locked a seat; fee a juror; loss of the incoherent, bp
    HOUR // 2, 2 * HOUR, HOUR, 2 * HOUR,  # 21-24 draw, commit, reveal, appeal; s
    3000, HOUR,  # 25-26 exit fee of a reservation, bp of the remainder; time to check in, s
]
LEAST: constant(uint256[FIRST_ADDRESS]) = [
    0, 0, 0,
    600, HOUR, UNIT,
    0, 500,
    DAY,
    1,
    2 * DAY,
    UNIT, 7 * DAY, HOUR,
    2, 1000, DAY,
    3, UNIT, 10**15, 100,
    300, 600, 600, 600,
    0, 600,
]
MOST: constant(uint256[FIRST_ADDRESS]) = [
    200, 150, 100,
    DAY, 7 * DAY, 10**9 * UNIT,
    2000, 3000,
    7 * DAY,
    10**9,
    30 * DAY,
    10**6 * UNIT, 60 * DAY, 30 * DAY,
    20, 10000, 14 * DAY,
    7, 10**6 * UNIT, 1000 * UNIT, 5000,
    DAY, 2 * DAY, DAY, 3 * DAY,
    3000, DAY,
]

BURN_DEFAULT: constant(uint256) = 5 * UNIT  # half a job of the value whose slash takes the least stake; SKYOPS wei
BURN_MOST: constant(uint256) = 100 * UNIT

values: uint256[KEYS]
proposals: public(HashMap[uint256, Proposal])
paused_until: public(uint256)  # Unix s


@deploy
def __init__(governor: address, guardian: address, bonus_pool: address, verification_fund: address):
    roles: address[4] = [governor, guardian, bonus_pool, verification_fund]
    for i: uint256 in range(FIRST_ADDRESS):
        self.values[i] = DEFAULTS[i]
    for i: uint256 in range(4):
        assert roles[i] != empty(address), "bad_address"
        self.values[FIRST_ADDRESS + i] = convert(roles[i], uint256)
    self.values[REGISTRATION_BURN] = BURN_DEFAULT


@external
def propose(key: uint256, amount: uint256):
    """@notice Propose a value; it can be executed after the timelock's delay. Replaces an open proposal."""
    assert msg.sender == self._address(GOVERNOR), "not_governor"
    low: uint256 = 0
    high: uint256 = 0
    (low, high) = self._bounds(key)
    assert amount >= low and amount <= high, "out_of_bounds"
    ready_at: uint256 = block.timestamp + self.values[10]
    self.proposals[key] = Proposal(amount=amount, ready_at=ready_at)
    log Proposed(key=key, amount=amount, ready_at=ready_at)


@external
def cancel(key: uint256):
    """@notice Take a proposal back."""
    self._only_roles()
    assert self.proposals[key].ready_at != 0, "no_proposal"
    self.proposals[key] = empty(Proposal)
    log Cancelled(key=key)


@external
def execute(key: uint256):
    """@notice Put a proposal whose time has come into force. Anybody may."""
    proposal: Proposal = self.proposals[key]
    assert proposal.ready_at != 0, "no_proposal"
    assert block.timestamp >= proposal.ready_at, "too_soon"
    assert block.timestamp <= proposal.ready_at + GRACE_S, "too_late"
    before: uint256 = self.values[key]
    self.proposals[key] = empty(Proposal)
    self.values[key] = proposal.amount
    log Changed(key=key, before=before, amount=proposal.amount)


@external
def pause():
    """@notice Stop new commitments for PAUSE_S. Not again until as long after the end."""
    self._only_roles()
    assert self.paused_until == 0 or block.timestamp >= self.paused_until + PAUSE_S, "paused_lately"
    self.paused_until = block.timestamp + PAUSE_S
    log Paused(by=msg.sender, until=self.paused_until)


@external
def unpause():
    self._only_roles()
    assert block.timestamp < self.paused_until, "not_paused"
    self.paused_until = block.timestamp
    log Unpaused(by=msg.sender)


@external
@view
def is_paused() -> bool:
    return block.timestamp < self.paused_until


@external
@view
def get(key: uint256) -> uint256:
    assert key < KEYS, "unknown_key"
    return self.values[key]


@external
@view
def bounds(key: uint256) -> (uint256, uint256):
    return self._bounds(key)


@external
@view
def governor() -> address:
    return self._address(GOVERNOR)


@internal
@view
def _address(key: uint256) -> address:
    return convert(convert(self.values[key], uint160), address)


@internal
@view
def _only_roles():
    assert msg.sender == self._address(GOVERNOR) or msg.sender == self._address(GUARDIAN), "not_allowed"


@internal
@pure
def _bounds(key: uint256) -> (uint256, uint256):
    assert key < KEYS, "unknown_key"
    if key == REGISTRATION_BURN:
        return (0, BURN_MOST)
    if key >= FIRST_ADDRESS:
        return (1, ADDRESS_MAX)
    return (LEAST[key], MOST[key])
