# pragma version 0.4.3
"""
@title Escrow of one-off jobs: Posted, Claimed, Completed, Failed, Cancelled
@license Apache-2.0
@notice The payment leaves the requester's deposit when a job is posted. It ends with the worker once the challenge
        window has closed after completion, or sooner if the requester accepts; in every other case with the requester.
@dev Posted: claim, cancel, expire. Claimed: complete, fail, expire. Completed: accept, release, or the arbiter.
"""
from . import ledger

uses: ledger

interface NodeRegistry:
    def is_active(owner: address) -> bool: view

interface Parameters:
    def is_paused() -> bool: view

event JobPosted:
    job: indexed(bytes32)
    requester: indexed(address)
    token: indexed(address)
    spec_hash: bytes32
    payment: uint256
    worker: address
    deadline: uint256

event JobClaimed:
    job: indexed(bytes32)
    worker: indexed(address)

event JobCompleted:
    job: indexed(bytes32)
    worker: indexed(address)
    execution_hash: bytes32
    log_hash: bytes32
    metering_hash: bytes32
    release_at: uint256

event JobFailed:
    job: indexed(bytes32)
    worker: indexed(address)
    by: address  # the worker, who gave up; the arbiter; or who noticed that the deadline had passed

event JobCancelled:
    job: indexed(bytes32)
    by: address

event JobPaid:
    job: indexed(bytes32)
    worker: indexed(address)
    amount: uint256
    fee: uint256

event JobFrozen:
    job: indexed(bytes32)

event JobUnfrozen:
    job: indexed(bytes32)

struct Job:
    requester: address
    worker: address  # zero until claimed, unless the requester has named it
    token: address
    payment: uint256  # wei; 0 once it is paid or given back
    deadline: uint256  # Unix s, for the completion
    release_at: uint256  # Unix s
    state: uint256
    is_frozen: bool
    spec_hash: bytes32
    execution_hash: bytes32
    log_hash: bytes32
    metering_hash: bytes32

POSTED: constant(uint256) = 1
CLAIMED: constant(uint256) = 2
COMPLETED: constant(uint256) = 3
FAILED: constant(uint256) = 4
CANCELLED: constant(uint256) = 5
DEADLINE_MAX_S: constant(uint256) = 366 * 86400

REGISTRY: public(immutable(address))

jobs: public(HashMap[bytes32, Job])
job_count: public(uint256)


@deploy
def __init__(registry: address):
    assert registry != empty(address), "bad_address"
    REGISTRY = registry


@external
@nonreentrant
def post_job(
    spec_hash: bytes32, token: address, payment: uint256, worker: address, deadline: uint256
) -> bytes32:
    """
    @notice Set a payment from the caller's deposit aside for a job.
    @param worker Who may claim it; zero: any ACTIVE node.
    @param deadline When it must be complete, Unix s, at most 366 days ahead.
    @return The job's id on this chain.
    """
    assert not staticcall Parameters(ledger.PARAMETERS).is_paused(), "paused"
    assert payment > 0, "no_payment"
    assert deadline > block.timestamp and deadline <= block.timestamp + DEADLINE_MAX_S, "bad_deadline"
    assert ledger.deposits[msg.sender][token] >= payment, "deposit_too_small"
    ledger.deposits[msg.sender][token] -= payment
    self.job_count += 1
    job: bytes32 = keccak256(abi_encode(chain.id, self, msg.sender, self.job_count))
    self.jobs[job] = Job(
        requester=msg.sender,
        worker=worker,
        token=token,
        payment=payment,
        deadline=deadline,
        release_at=0,
        state=POSTED,
        is_frozen=False,
        spec_hash=spec_hash,
        execution_hash=empty(bytes32),
        log_hash=empty(bytes32),
        metering_hash=empty(bytes32),
    )
    log JobPosted(
        job=job,
        requester=msg.sender,
        token=token,
        spec_hash=spec_hash,
        payment=payment,
        worker=worker,
        deadline=deadline,
    )
    return job


@external
def claim(job: bytes32):
    """@notice Take a posted job."""
    found: Job = self.jobs[job]
    assert found.state == POSTED, "wrong_state"
    assert block.timestamp < found.deadline, "too_late"
    if found.worker == empty(address):
        assert staticcall NodeRegistry(REGISTRY).is_active(msg.sender), "not_active"
    else:
        assert found.worker == msg.sender, "not_worker"
    self.jobs[job].worker = msg.sender
    self.jobs[job].state = CLAIMED
    log JobClaimed(job=job, worker=msg.sender)


@external
def complete(job: bytes32, execution_hash: bytes32, log_hash: bytes32, metering_hash: bytes32):
    """@notice Say what came out of a claimed job; the challenge window opens."""
    found: Job = self.jobs[job]
    assert found.state == CLAIMED, "wrong_state"
    assert found.worker == msg.sender, "not_worker"
    assert block.timestamp <= found.deadline, "too_late"
    release_at: uint256 = block.timestamp + ledger._window(ledger.terms, found.token, found.payment)
    self.jobs[job].state = COMPLETED
    self.jobs[job].release_at = release_at
    self.jobs[job].execution_hash = execution_hash
    self.jobs[job].log_hash = log_hash
    self.jobs[job].metering_hash = metering_hash
    log JobCompleted(
        job=job,
        worker=msg.sender,
        execution_hash=execution_hash,
        log_hash=log_hash,
        metering_hash=metering_hash,
        release_at=release_at,
    )


@external
@nonreentrant
def accept(job: bytes32):
    """@notice Pay a completed job before its window closes. By the requester."""
    assert self.jobs[job].requester == msg.sender, "not_requester"
    self._pay_worker(job)


@external
@nonreentrant
def release_job(job: bytes32):
    """@notice Pay a completed job after its window. Anybody may."""
    assert self.jobs[job].state != COMPLETED or block.timestamp >= self.jobs[job].release_at, "too_soon"
    self._pay_worker(job)


@external
@nonreentrant
def cancel(job: bytes32):
    """@notice Take back a job that nobody has claimed. By the requester."""
    assert self.jobs[job].requester == msg.sender, "not_requester"
    assert self.jobs[job].state == POSTED, "wrong_state"
    self._refund(job, CANCELLED)


@external
@nonreentrant
def fail(job: bytes32):
    """@notice Give a claimed job up; the requester has its payment back. By the worker."""
    assert self.jobs[job].state == CLAIMED, "wrong_state"
    assert self.jobs[job].worker == msg.sender, "not_worker"
    self._refund(job, FAILED)


@external
@nonreentrant
def expire(job: bytes32):
    """@notice End a job whose deadline has passed: Cancelled if nobody claimed it, else Failed. Anybody may."""
    state: uint256 = self.jobs[job].state
    assert state == POSTED or state == CLAIMED, "wrong_state"
    assert block.timestamp > self.jobs[job].deadline, "too_soon"
    self._refund(job, CANCELLED if state == POSTED else FAILED)


@external
@nonreentrant
def freeze_job(job: bytes32):
    """@notice Keep a completed job's payment until a dispute is decided; only inside the window, only the arbiter."""
    ledger._only_arbiter()
    found: Job = self.jobs[job]
    assert found.state == COMPLETED and found.payment > 0, "wrong_state"
    assert not found.is_frozen, "disputed"
    assert block.timestamp < found.release_at, "too_late"
    self.jobs[job].is_frozen = True
    log JobFrozen(job=job)


@external
@nonreentrant
def resolve_job(job: bytes32, is_refunded: bool):
    """@notice End a dispute: the job has Failed and the requester its payment back, or the worker is to be paid."""
    ledger._only_arbiter()
    assert self.jobs[job].is_frozen, "not_disputed"
    self.jobs[job].is_frozen = False
    log JobUnfrozen(job=job)
    if is_refunded:
        self._refund(job, FAILED)


@internal
def _pay_worker(job: bytes32):
    found: Job = self.jobs[job]
    assert found.state == COMPLETED and found.payment > 0, "wrong_state"
    assert not found.is_frozen, "disputed"
    fee: uint256 = found.payment * (ledger.terms >> 240) // ledger.BP
    self.jobs[job].payment = 0
    ledger._pay(found.worker, found.token, found.payment - fee, fee)
    log JobPaid(job=job, worker=found.worker, amount=found.payment - fee, fee=fee)


@internal
def _refund(job: bytes32, state: uint256):
    found: Job = self.jobs[job]
    self.jobs[job].state = state
    self.jobs[job].payment = 0
    ledger.deposits[found.requester][found.token] += found.payment
    if state == CANCELLED:
        log JobCancelled(job=job, by=msg.sender)
    else:
        log JobFailed(job=job, worker=found.worker, by=msg.sender)
