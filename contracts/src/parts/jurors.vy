# pragma version 0.4.3
"""
@title Juries: drawn by stake, blind until all have committed
@license Apache-2.0
@notice A ticket is so much stake; a juror brings its best ticket, and the lowest hashes with a seed that nobody knew
        before the dispute win the seats. So the chance is proportional to stake, however many wallets it is split
        over. Who registered after the dispute was opened cannot enrol, or wallets would be made to fit the seed.
@dev The seed is the hash of a block after the opening; who proposes that block can try once, by losing it.
"""

interface NodeRegistry:
    def standing(owner: address) -> (bool, uint256, uint256): view
    def lock(owner: address, amount: uint256): nonpayable
    def unlock(owner: address, amount: uint256): nonpayable

interface Parameters:
    def get(key: uint256) -> uint256: view

event JuryCalled:
    jury: indexed(bytes32)
    size: uint256
    seed_block: uint256
    draw_ends: uint256

event SeedFixed:
    jury: indexed(bytes32)
    seed: bytes32

event JurorSeated:
    jury: indexed(bytes32)
    juror: indexed(address)
    score: uint256

event JurorUnseated:
    jury: indexed(bytes32)
    juror: indexed(address)

event DrawClosed:
    jury: indexed(bytes32)
    seats: uint256
    commit_ends: uint256
    reveal_ends: uint256

event VoteCommitted:
    jury: indexed(bytes32)
    juror: indexed(address)

event VoteRevealed:
    jury: indexed(bytes32)
    juror: indexed(address)
    vote: uint256
    finding: bytes32

struct Jury:
    size: uint256  # seats that are to be filled
    opened_at: uint256  # Unix s, of the dispute
    seed_block: uint256
    seed: bytes32
    draw_ends: uint256  # Unix s, as those below; commit_ends is 0 until the draw is closed
    commit_ends: uint256
    reveal_ends: uint256
    seat_stake: uint256  # SKYOPS wei locked a seat
    rights: uint256  # votes that the worker is right
    wrongs: uint256

RIGHT: constant(uint256) = 1  # votes and verdicts; 0: none
WRONG: constant(uint256) = 2
SEATS_MAX: constant(uint256) = 31
SEATS_LEAST: constant(uint256) = 3
SEED_DELAY: constant(uint256) = 2  # blocks

TICKET: constant(uint256) = 18  # keys of Parameters
DRAW: constant(uint256) = 21
COMMIT: constant(uint256) = 22
REVEAL: constant(uint256) = 23

PARAMETERS: public(immutable(address))
REGISTRY: public(immutable(address))

juries: public(HashMap[bytes32, Jury])
seats: HashMap[bytes32, DynArray[address, SEATS_MAX]]
scores: public(HashMap[bytes32, HashMap[address, uint256]])  # jury -> juror -> score + 1; 0: not seated
commits: public(HashMap[bytes32, HashMap[address, bytes32]])
votes: public(HashMap[bytes32, HashMap[address, uint256]])


@deploy
def __init__(parameters: address, registry: address):
    assert parameters != empty(address) and registry != empty(address), "bad_address"
    PARAMETERS = parameters
    REGISTRY = registry


@external
def fix_seed(jury: bytes32):
    """@notice Take the seed from its block, or name another block if it is too old to be known. Anybody may."""
    found: Jury = self.juries[jury]
    assert found.size > 0 and found.seed == empty(bytes32) and found.commit_ends == 0, "wrong_phase"
    assert block.number > found.seed_block, "too_soon"
    if block.number - found.seed_block > 255:
        self._arm(jury)
        return
    seed: bytes32 = keccak256(concat(blockhash(found.seed_block), jury))
    self.juries[jury].seed = seed
    log SeedFixed(jury=jury, seed=seed)


@external
@view
def seats_of(jury: bytes32) -> DynArray[address, SEATS_MAX]:
    return self.seats[jury]


@external
def commit(jury: bytes32, commitment: bytes32):
    """@notice Commit to keccak256(abi.encode(jury, juror, vote, finding, salt)). Once, by a seated juror."""
    assert block.timestamp < self.juries[jury].commit_ends, "wrong_phase"
    assert self.scores[jury][msg.sender] > 0, "not_seated"
    assert self.commits[jury][msg.sender] == empty(bytes32), "committed_already"
    assert commitment != empty(bytes32), "bad_commitment"
    self.commits[jury][msg.sender] = commitment
    log VoteCommitted(jury=jury, juror=msg.sender)


@external
def reveal(jury: bytes32, vote: uint256, finding: bytes32, salt: bytes32):
    """
    @notice Open the commitment.
    @param vote 1: the worker is right; 2: it is wrong.
    @param finding What the referee found, such as the hash of the bisection's transcript with its first wrong step.
    """
    found: Jury = self.juries[jury]
    assert block.timestamp >= found.commit_ends and block.timestamp < found.reveal_ends, "wrong_phase"
    assert vote == RIGHT or vote == WRONG, "bad_vote"
    assert self.votes[jury][msg.sender] == 0, "revealed_already"
    commitment: bytes32 = keccak256(abi_encode(jury, msg.sender, vote, finding, salt))
    assert self.commits[jury][msg.sender] == commitment, "bad_commitment"
    self.votes[jury][msg.sender] = vote
    if vote == RIGHT:
        self.juries[jury].rights = found.rights + 1
    else:
        self.juries[jury].wrongs = found.wrongs + 1
    log VoteRevealed(jury=jury, juror=msg.sender, vote=vote, finding=finding)


@internal
def _call(jury: bytes32, size: uint256, opened_at: uint256):
    self.juries[jury].size = min(size, SEATS_MAX)
    self.juries[jury].opened_at = opened_at
    self.juries[jury].seat_stake = self._parameter(TICKET)
    self._arm(jury)


@internal
def _arm(jury: bytes32):
    draw_ends: uint256 = block.timestamp + self._parameter(DRAW)
    self.juries[jury].seed_block = block.number + SEED_DELAY
    self.juries[jury].draw_ends = draw_ends
    log JuryCalled(
        jury=jury, size=self.juries[jury].size, seed_block=block.number + SEED_DELAY, draw_ends=draw_ends
    )


@internal
def _enrol(jury: bytes32, juror: address, ticket: uint256):
    """@notice Seat a juror whose ticket is better than the worst of a full jury."""
    found: Jury = self.juries[jury]
    assert found.seed != empty(bytes32) and block.timestamp < found.draw_ends, "wrong_phase"
    assert self.scores[jury][juror] == 0, "seated_already"
    is_active: bool = False
    stake: uint256 = 0
    since: uint256 = 0
    (is_active, stake, since) = staticcall NodeRegistry(REGISTRY).standing(juror)
    assert is_active and since < found.opened_at, "no_juror"
    assert ticket < stake // found.seat_stake, "no_such_ticket"
    score: uint256 = (convert(keccak256(abi_encode(found.seed, juror, ticket)), uint256) >> 1) + 1
    if len(self.seats[jury]) < found.size:
        self.seats[jury].append(juror)
    else:
        worst: uint256 = self._worst(jury)
        loser: address = self.seats[jury][worst]
        assert score < self.scores[jury][loser], "seats_taken"
        self.seats[jury][worst] = juror
        self._unseat(jury, loser, found.seat_stake)
    self.scores[jury][juror] = score
    log JurorSeated(jury=jury, juror=juror, score=score)
    extcall NodeRegistry(REGISTRY).lock(juror, found.seat_stake)


@internal
def _close_draw(jury: bytes32) -> bool:
    """@return Whether there are enough jurors; an even number loses its worst, so that there is a majority."""
    found: Jury = self.juries[jury]
    assert found.size > 0 and found.commit_ends == 0 and block.timestamp >= found.draw_ends, "wrong_phase"
    count: uint256 = len(self.seats[jury])
    if count >= SEATS_LEAST and count % 2 == 0:
        worst: uint256 = self._worst(jury)
        loser: address = self.seats[jury][worst]
        last: address = self.seats[jury].pop()
        if last != loser:
            self.seats[jury][worst] = last
        self._unseat(jury, loser, found.seat_stake)
        count -= 1
    commit_ends: uint256 = block.timestamp + self._parameter(COMMIT)
    reveal_ends: uint256 = commit_ends + self._parameter(REVEAL)
    self.juries[jury].commit_ends = commit_ends
    self.juries[jury].reveal_ends = reveal_ends
    log DrawClosed(jury=jury, seats=count, commit_ends=commit_ends, reveal_ends=reveal_ends)
    return count >= SEATS_LEAST


@internal
def _unseat(jury: bytes32, juror: address, seat_stake: uint256):
    self.scores[jury][juror] = 0
    log JurorUnseated(jury=jury, juror=juror)
    extcall NodeRegistry(REGISTRY).unlock(juror, seat_stake)


@internal
@view
def _verdict(jury: bytes32) -> uint256:
    """@return What most revealed; RIGHT if as many said the one as the other; 0 if nobody revealed."""
    found: Jury = self.juries[jury]
    assert found.commit_ends != 0 and block.timestamp >= found.reveal_ends, "wrong_phase"
    if found.rights + found.wrongs == 0:
        return 0
    return WRONG if found.wrongs > found.rights else RIGHT


@internal
@view
def _worst(jury: bytes32) -> uint256:
    worst: uint256 = 0
    highest: uint256 = 0
    at: uint256 = 0
    for juror: address in self.seats[jury]:
        if self.scores[jury][juror] > highest:
            highest = self.scores[jury][juror]
            worst = at
        at += 1
    return worst


@internal
@view
def _parameter(key: uint256) -> uint256:
    return staticcall Parameters(PARAMETERS).get(key)
