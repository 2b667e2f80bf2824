# pragma version 0.4.3
"""
@title Cases: verdicts and what follows from them
@license Apache-2.0
@notice The payout table is in contracts/README.md. What somebody is to get is owed, and collected by himself.
"""
from ethereum.ercs import IERC20
from . import jurors

uses: jurors

struct Job:
    requester: address
    worker: address
    token: address
    payment: uint256
    deadline: uint256
    release_at: uint256
    state: uint256
    is_frozen: bool
    spec_hash: bytes32
    execution_hash: bytes32
    log_hash: bytes32
    metering_hash: bytes32

struct Case:
    challenger: address
    requester: address
    worker: address
    token: address
    job: bytes32  # in escrow; zero: a receipt of the pair, or a result
    amount: uint256  # of the job, wei of the token
    worth: uint256  # the same in SKYOPS wei; 0 for tokens that nobody knows the worth of
    bond: uint256
    opened_at: uint256
    round: uint256
    verdict: uint256  # of the last round: 0 none yet, 1 the worker is right, 2 it is wrong
    appeal_ends: uint256  # Unix s; 0 while a jury is at work
    is_closed: bool
    juror_pay: uint256  # of each coherent juror, known once closed

struct Appeal:
    appellant: address
    bond: uint256
    against: uint256  # the verdict that it wants overturned

struct Result:  # that was not paid, for a verdict calls it wrong
    commitment: bytes32  # of the worker; zero: the dispute is about something else
    proof: bytes32  # the verdict
    made_at: uint256  # of that, Unix s

interface Settlement:
    def resolve(requester: address, worker: address, token: address, amount: uint256) -> uint256: nonpayable
    def resolve_job(job: bytes32, is_refunded: bool): nonpayable

interface NodeRegistry:
    def hold(owner: address, is_held: bool): nonpayable
    def unlock(owner: address, amount: uint256): nonpayable
    def slash(owner: address, amount: uint256, is_final: bool) -> uint256: nonpayable

interface Burnable:
    def burn(amount: uint256): nonpayable

event Ruled:
    dispute: indexed(bytes32)
    round: uint256
    verdict: uint256

event Closed:
    dispute: indexed(bytes32)
    verdict: uint256
    seized: uint256  # given back to the requester, wei of the token
    slashed: uint256  # passed on of the worker's stake, as much or one wei more was burned
    juror_pay: uint256

event JurySettled:
    jury: indexed(bytes32)
    coherent: uint256

event Paid:
    owner: indexed(address)
    to: address
    amount: uint256

ETH: constant(address) = empty(address)
APPEALS_MAX: constant(uint256) = 2
BP: constant(uint256) = 10_000

SKYOPS_PER_ETH: constant(uint256) = 9  # keys of Parameters
SLASH: constant(uint256) = 14
JUROR_FEE: constant(uint256) = 19
JUROR_LOSS: constant(uint256) = 20
APPEAL: constant(uint256) = 24
VERIFICATION_FUND: constant(uint256) = 30

SETTLEMENT: public(immutable(address))
TOKEN: public(immutable(address))

cases: public(HashMap[bytes32, Case])
appeals: public(HashMap[bytes32, HashMap[uint256, Appeal]])  # dispute -> round that it asked for -> appeal
results: public(HashMap[bytes32, Result])  # dispute -> the result that it is about
is_charged: public(HashMap[bytes32, bool])  # commitment -> its worker has been slashed for it
is_settled: public(HashMap[bytes32, bool])  # jury -> its jurors have been paid
owed: public(HashMap[address, uint256])  # SKYOPS wei, to be collected at any time


@deploy
def __init__(settlement: address, token: address):
    SETTLEMENT = settlement
    TOKEN = token


@external
@nonreentrant
def close_draw(dispute: bytes32):
    """@notice End the draw when its time is over. Without enough jurors the last verdict stands, or none."""
    round: uint256 = self.cases[dispute].round
    if not jurors._close_draw(self._jury(dispute, round)):
        jurors.juries[self._jury(dispute, round)].reveal_ends = block.timestamp
        self._close(dispute)


@external
@nonreentrant
def rule(dispute: bytes32):
    """@notice Count the votes when the time for revealing is over. Anybody may."""
    case: Case = self.cases[dispute]
    assert case.opened_at != 0 and not case.is_closed and case.appeal_ends == 0, "wrong_phase"
    verdict: uint256 = jurors._verdict(self._jury(dispute, case.round))
    if verdict == 0:  # no juror did its duty: as if there had been no jury
        self._close(dispute)
        return
    self.cases[dispute].verdict = verdict
    self.cases[dispute].appeal_ends = block.timestamp + self._parameter(APPEAL)
    log Ruled(dispute=dispute, round=case.round, verdict=verdict)


@external
@nonreentrant
def close(dispute: bytes32):
    """@notice Carry the verdict out when nobody has appealed in time. Anybody may."""
    case: Case = self.cases[dispute]
    assert not case.is_closed and case.appeal_ends != 0, "wrong_phase"
    assert block.timestamp >= case.appeal_ends or case.round == APPEALS_MAX, "too_soon"
    self._close(dispute)


@external
@nonreentrant
def settle_jury(dispute: bytes32, round: uint256):
    """@notice Pay the jurors of a closed dispute who voted as it ended, take from the others, free all. Anybody may."""
    case: Case = self.cases[dispute]
    jury: bytes32 = self._jury(dispute, round)
    assert case.is_closed and round <= case.round, "wrong_phase"
    assert not self.is_settled[jury], "settled_already"
    self.is_settled[jury] = True
    found: jurors.Jury = jurors.juries[jury]
    loss: uint256 = found.seat_stake * self._parameter(JUROR_LOSS) // BP
    pay: uint256 = case.juror_pay if self._is_heard(jury) else 0
    coherent: uint256 = 0
    fund: uint256 = 0
    for juror: address in jurors.seats[jury]:
        vote: uint256 = jurors.votes[jury][juror]
        extcall NodeRegistry(jurors.REGISTRY).unlock(juror, found.seat_stake)
        if vote == 0 and found.reveal_ends < found.commit_ends:
            continue  # the jury was never complete: nobody could vote
        if vote != 0 and vote == case.verdict:
            coherent += 1
            self.owed[juror] += pay
        else:
            fund += pay + extcall NodeRegistry(jurors.REGISTRY).slash(juror, loss, False)
    self.owed[self._fund()] += fund
    log JurySettled(jury=jury, coherent=coherent)


@external
@nonreentrant
def collect(to: address) -> uint256:
    """@notice Pay what the caller is owed. @return That."""
    assert to != empty(address), "bad_address"
    amount: uint256 = self.owed[msg.sender]
    self.owed[msg.sender] = 0
    log Paid(owner=msg.sender, to=to, amount=amount)
    assert extcall IERC20(TOKEN).transfer(to, amount), "transfer_failed"
    return amount


@internal
def _close(dispute: bytes32):
    """@notice The payout table: see contracts/README.md."""
    case: Case = self.cases[dispute]
    self.cases[dispute].is_closed = True
    extcall NodeRegistry(jurors.REGISTRY).hold(case.worker, False)
    seized: uint256 = 0
    pot: uint256 = 0
    passed: uint256 = 0
    if case.verdict == jurors.WRONG:
        passed = extcall NodeRegistry(jurors.REGISTRY).slash(case.worker, self._penalty(dispute, case), False)
        pot = passed
    if case.verdict == jurors.RIGHT:
        pot = case.bond
    else:
        self.owed[case.challenger] += case.bond
    if self.results[dispute].commitment == empty(bytes32):
        seized = self._resolve(case)
    pot += self._settle_appeals(dispute, case)
    seats: uint256 = 0
    for round: uint256 in range(APPEALS_MAX + 1):
        if round <= case.round and self._is_heard(self._jury(dispute, round)):
            seats += len(jurors.seats[self._jury(dispute, round)])
    pay: uint256 = 0
    if seats > 0:
        pay = min(self._parameter(JUROR_FEE), pot // seats)
    self.cases[dispute].juror_pay = pay
    self._share(case, pot - pay * seats, seized)
    log Closed(dispute=dispute, verdict=case.verdict, seized=seized, slashed=passed, juror_pay=pay)


@internal
def _penalty(dispute: bytes32, case: Case) -> uint256:
    """@notice Note what a worker is charged for. @return What it loses: for one result once, whatever was opened."""
    commitment: bytes32 = self.results[dispute].commitment
    if commitment != empty(bytes32):
        if self.is_charged[commitment]:
            return 0
        self.is_charged[commitment] = True
    return case.worth * self._parameter(SLASH)


@internal
def _resolve(case: Case) -> uint256:
    """@notice End the hold on the disputed money. @return What the requester got back of it."""
    is_wrong: bool = case.verdict == jurors.WRONG
    if case.job != empty(bytes32):
        extcall Settlement(SETTLEMENT).resolve_job(case.job, is_wrong)
        return case.amount if is_wrong else 0
    return extcall Settlement(SETTLEMENT).resolve(
        case.requester, case.worker, case.token, case.amount if is_wrong else 0
    )


@internal
def _settle_appeals(dispute: bytes32, case: Case) -> uint256:
    """@notice Give the bonds of successful appeals back. @return Those of the others."""
    lost: uint256 = 0
    for i: uint256 in range(APPEALS_MAX):
        found: Appeal = self.appeals[dispute][i + 1]
        if found.bond > 0:
            if found.against == case.verdict and self._is_heard(self._jury(dispute, i + 1)):
                lost += found.bond
            else:
                self.owed[found.appellant] += found.bond
    return lost


@internal
def _share(case: Case, rest: uint256, seized: uint256):
    """@notice Share out what is left when the jurors are paid."""
    if rest == 0:
        return
    if case.verdict == jurors.WRONG:
        got: uint256 = self._worth(case.token, seized)
        to_victim: uint256 = min(rest, case.worth - min(case.worth, got))
        self.owed[case.requester] += to_victim
        self.owed[case.challenger] += rest - to_victim
    else:
        to_worker: uint256 = rest // 2
        self.owed[case.worker] += to_worker
        extcall Burnable(TOKEN).burn(rest - to_worker)


@internal
@view
def _worth(token: address, amount: uint256) -> uint256:
    if token == TOKEN:
        return amount
    if token == ETH:
        return amount * self._parameter(SKYOPS_PER_ETH)
    return 0


@internal
@view
def _is_heard(jury: bytes32) -> bool:
    """@return Whether a jury came to a verdict."""
    return jurors.juries[jury].rights + jurors.juries[jury].wrongs > 0


@internal
@view
def _parameter(key: uint256) -> uint256:
    return jurors._parameter(key)


@internal
@view
def _fund() -> address:
    return convert(convert(self._parameter(VERIFICATION_FUND), uint160), address)


@internal
@pure
def _jury(dispute: bytes32, round: uint256) -> bytes32:
    return keccak256(abi_encode(dispute, round))
