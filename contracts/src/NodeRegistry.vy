# pragma version 0.4.3
"""
@title NodeRegistry: who works, with which stake
@license Apache-2.0
@notice A wallet registers one node with a stake in SKYOPS. The binding hash is the EIP-712 digest of the node's Binding
        (protocol/01-identity.md): it names peer id, wallet, encryption key, network and expiry; nodes check it off
        chain. Heartbeats stay off chain; anybody may mark a node as alive, and is paid nothing for it.
@dev PENDING until the first mark, then ACTIVE; INACTIVE without a mark for a day or with too little stake, and ACTIVE
     again by the next; SLASHED for good by a proof. At least half of what is slashed is burned here, so that nobody
     gains by slashing himself through a friend.
"""
from ethereum.ercs import IERC20

interface Parameters:
    def get(key: uint256) -> uint256: view
    def is_paused() -> bool: view

interface Burnable:
    def burn(amount: uint256): nonpayable

event Registered:
    owner: indexed(address)
    binding: indexed(bytes32)
    metadata_uri: String[256]

event RegistrationBurned:
    owner: indexed(address)
    amount: uint256

event Updated:
    owner: indexed(address)
    binding: indexed(bytes32)
    metadata_uri: String[256]

event StateChanged:
    owner: indexed(address)
    before: uint256
    state: uint256

event Marked:
    owner: indexed(address)
    keeper: indexed(address)

event StakeAdded:
    owner: indexed(address)
    amount: uint256

event UnbondingStarted:
    owner: indexed(address)
    amount: uint256
    ready_at: uint256

event StakeWithdrawn:
    owner: indexed(address)
    to: address
    amount: uint256

event StakeLocked:
    owner: indexed(address)
    amount: uint256

event StakeUnlocked:
    owner: indexed(address)
    amount: uint256

event Held:
    owner: indexed(address)
    holds: uint256

event Slashed:
    owner: indexed(address)
    by: indexed(address)
    burned: uint256
    passed_on: uint256  # to the contract that proved the offence, which shares it out

event SlashersBound:
    disputes: address
    reservations: address

struct Node:
    state: uint256  # 0: never registered
    stake: uint256  # SKYOPS wei, what counts
    locked: uint256  # of the stake: jurors' seats, reservations
    unbonding: uint256  # no longer counts, can still be slashed
    unbonded_at: uint256  # Unix s
    holds: uint256  # open disputes: while there are any, nothing leaves
    marked_at: uint256  # Unix s
    registered_at: uint256  # Unix s; who comes after a dispute was opened is no juror of it
    binding: bytes32

PENDING: constant(uint256) = 1
ACTIVE: constant(uint256) = 2
INACTIVE: constant(uint256) = 3
SLASHED: constant(uint256) = 4

STAKE_LEAST: constant(uint256) = 11  # keys of Parameters
UNBONDING: constant(uint256) = 12
MARK_TIMEOUT: constant(uint256) = 13
REGISTRATION_BURN: constant(uint256) = 31
MARKS_MAX: constant(uint256) = 64

PARAMETERS: public(immutable(address))
TOKEN: public(immutable(address))

nodes: public(HashMap[address, Node])
metadata_uris: public(HashMap[address, String[256]])
is_slasher: public(HashMap[address, bool])
binder: address  # who may say who slashes: the deployer, once


@deploy
def __init__(parameters: address, token: address):
    assert parameters != empty(address) and token != empty(address), "bad_address"
    PARAMETERS = parameters
    TOKEN = token
    self.binder = msg.sender


@external
def bind_slashers(disputes: address, reservations: address):
    """@notice Say which two contracts lock and slash. Once, by the deployer, who has no other right and none after."""
    assert msg.sender == self.binder, "not_allowed"
    assert disputes.is_contract and reservations.is_contract, "bad_address"
    self.binder = empty(address)
    self.is_slasher[disputes] = True
    self.is_slasher[reservations] = True
    log SlashersBound(disputes=disputes, reservations=reservations)


@external
@nonreentrant
def register(binding: bytes32, metadata_uri: String[256], amount: uint256):
    """
    @notice Register the caller's node. The registration burn is the price of a new identity, also of an empty one.
    @param amount SKYOPS wei that are taken; what is not burned is the stake, and must be the least one or more.
    """
    assert self.nodes[msg.sender].state == 0, "registered_already"
    assert binding != empty(bytes32), "no_binding"
    self.nodes[msg.sender].binding = binding
    self.nodes[msg.sender].registered_at = block.timestamp
    self.metadata_uris[msg.sender] = metadata_uri
    log Registered(owner=msg.sender, binding=binding, metadata_uri=metadata_uri)
    self._set_state(msg.sender, PENDING)
    burned: uint256 = self._parameter(REGISTRATION_BURN)
    assert amount >= burned + self._parameter(STAKE_LEAST), "stake_too_small"
    log RegistrationBurned(owner=msg.sender, amount=burned)
    self._add(msg.sender, amount, burned)


@external
def update(binding: bytes32, metadata_uri: String[256]):
    """@notice Change the binding (they end) or the metadata."""
    self._assert_known(msg.sender)
    assert binding != empty(bytes32), "no_binding"
    self.nodes[msg.sender].binding = binding
    self.metadata_uris[msg.sender] = metadata_uri
    log Updated(owner=msg.sender, binding=binding, metadata_uri=metadata_uri)


@external
@nonreentrant
def add_stake(amount: uint256):
    self._assert_known(msg.sender)
    self._add(msg.sender, amount, 0)


@external
@nonreentrant
def unstake(amount: uint256):
    """@notice Take a part of the stake out of the count; it can be withdrawn after the unbonding time, which begins
            anew for all that is unbonding."""
    node: Node = self.nodes[msg.sender]
    assert amount > 0 and node.stake - node.locked >= amount, "stake_too_small"
    ready_at: uint256 = block.timestamp + self._parameter(UNBONDING)
    self.nodes[msg.sender].stake = node.stake - amount
    self.nodes[msg.sender].unbonding = node.unbonding + amount
    self.nodes[msg.sender].unbonded_at = ready_at
    log UnbondingStarted(owner=msg.sender, amount=amount, ready_at=ready_at)
    self._lower(msg.sender)


@external
@nonreentrant
def withdraw_stake(to: address) -> uint256:
    """@notice Pay what has been unbonding long enough. @return That."""
    assert to != empty(address), "bad_address"
    node: Node = self.nodes[msg.sender]
    assert node.unbonding > 0, "nothing_unbonding"
    assert block.timestamp >= node.unbonded_at, "too_soon"
    assert node.holds == 0, "disputed"
    self.nodes[msg.sender].unbonding = 0
    log StakeWithdrawn(owner=msg.sender, to=to, amount=node.unbonding)
    assert extcall IERC20(TOKEN).transfer(to, node.unbonding), "transfer_failed"
    return node.unbonding


@external
def mark(owners: DynArray[address, MARKS_MAX]):
    """@notice Say that nodes are alive. Anybody may, also their owners; unknown and slashed ones are passed over."""
    least: uint256 = self._parameter(STAKE_LEAST)
    for owner: address in owners:
        state: uint256 = self.nodes[owner].state
        if state == 0 or state == SLASHED:
            continue
        self.nodes[owner].marked_at = block.timestamp
        log Marked(owner=owner, keeper=msg.sender)
        if state != ACTIVE and self.nodes[owner].stake >= least:
            self._set_state(owner, ACTIVE)


@external
def mark_missing(owner: address):
    """@notice Make an ACTIVE node INACTIVE that nobody has marked for the time that Parameters says. Anybody may."""
    assert self.nodes[owner].state == ACTIVE, "not_active"
    assert block.timestamp > self.nodes[owner].marked_at + self._parameter(MARK_TIMEOUT), "too_soon"
    self._set_state(owner, INACTIVE)


@external
@nonreentrant
def lock(owner: address, amount: uint256):
    """@notice Keep a part of the stake from being unstaked. By a slasher."""
    self._only_slasher()
    assert self.nodes[owner].stake - self.nodes[owner].locked >= amount, "stake_too_small"
    self.nodes[owner].locked += amount
    log StakeLocked(owner=owner, amount=amount)


@external
@nonreentrant
def unlock(owner: address, amount: uint256):
    self._only_slasher()
    freed: uint256 = min(amount, self.nodes[owner].locked)  # a slash may have taken some of it
    self.nodes[owner].locked -= freed
    log StakeUnlocked(owner=owner, amount=freed)


@external
@nonreentrant
def hold(owner: address, is_held: bool):
    """@notice While a dispute is open, keep also what is unbonding. By a slasher."""
    self._only_slasher()
    if is_held:
        self.nodes[owner].holds += 1
    else:
        self.nodes[owner].holds -= 1
    log Held(owner=owner, holds=self.nodes[owner].holds)


@external
@nonreentrant
def slash(owner: address, amount: uint256, is_final: bool) -> uint256:
    """
    @notice Take from the stake, then from what is unbonding; burn half or one wei more, pass the rest on to the caller.
    @param is_final The node is SLASHED and its wallet never works again.
    @return What was passed on.
    """
    self._only_slasher()
    node: Node = self.nodes[owner]
    from_stake: uint256 = min(amount, node.stake)
    from_unbonding: uint256 = min(amount - from_stake, node.unbonding)
    taken: uint256 = from_stake + from_unbonding
    passed_on: uint256 = taken // 2
    self.nodes[owner].stake = node.stake - from_stake
    self.nodes[owner].unbonding = node.unbonding - from_unbonding
    self.nodes[owner].locked = min(node.locked, node.stake - from_stake)
    log Slashed(owner=owner, by=msg.sender, burned=taken - passed_on, passed_on=passed_on)
    if is_final and node.state != 0:
        self._set_state(owner, SLASHED)
    else:
        self._lower(owner)
    extcall Burnable(TOKEN).burn(taken - passed_on)
    assert extcall IERC20(TOKEN).transfer(msg.sender, passed_on), "transfer_failed"
    return passed_on


@external
@view
def is_active(owner: address) -> bool:
    return self.nodes[owner].state == ACTIVE


@external
@view
def standing(owner: address) -> (bool, uint256, uint256):
    """@return Whether it is ACTIVE, its stake, and since when it is registered, Unix s."""
    node: Node = self.nodes[owner]
    return (node.state == ACTIVE, node.stake, node.registered_at)


@external
@view
def stake_of(owner: address) -> uint256:
    """@return What counts: no unbonding part, and nothing of a node that was slashed for good."""
    return self.nodes[owner].stake


@internal
def _add(owner: address, amount: uint256, burned: uint256):
    assert not staticcall Parameters(PARAMETERS).is_paused(), "paused"
    self.nodes[owner].stake += amount - burned
    log StakeAdded(owner=owner, amount=amount - burned)
    assert extcall IERC20(TOKEN).transferFrom(owner, self, amount), "transfer_failed"
    if burned > 0:
        extcall Burnable(TOKEN).burn(burned)


@internal
def _lower(owner: address):
    """@notice Make an ACTIVE node INACTIVE whose stake has become too small."""
    if self.nodes[owner].state == ACTIVE and self.nodes[owner].stake < self._parameter(STAKE_LEAST):
        self._set_state(owner, INACTIVE)


@internal
def _set_state(owner: address, state: uint256):
    before: uint256 = self.nodes[owner].state
    self.nodes[owner].state = state
    log StateChanged(owner=owner, before=before, state=state)


@internal
@view
def _assert_known(owner: address):
    assert self.nodes[owner].state != 0, "not_registered"
    assert self.nodes[owner].state != SLASHED, "slashed"


@internal
@view
def _only_slasher():
    assert self.is_slasher[msg.sender], "not_slasher"


@internal
@view
def _parameter(key: uint256) -> uint256:
    return staticcall Parameters(PARAMETERS).get(key)
