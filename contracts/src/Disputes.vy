# pragma version 0.4.3
"""
@title Disputes: bonded challenges that a jury decides, and proofs that need none
@license Apache-2.0
@notice Anybody may challenge a job inside its window, or a result that a verdict calls wrong, with a bond. The jury
        re-executes one step (refereed bisection) or compares results, each for itself, commits and reveals. The loser
        of a verdict may appeal to a jury of twice as many and one, twice. Two signatures of one wallet over one place
        in one of its chains slash at once.
@dev EIP-712, domain "Skyops Disputes", "1", chain, contract; type Statement. All of it is in SKYOPS.
"""
from ethereum.ercs import IERC20
from .parts import verdicts
from .parts import jurors
from .parts import signatures

initializes: jurors
initializes: verdicts[jurors := jurors]

exports: (
    verdicts.SETTLEMENT,
    verdicts.TOKEN,
    verdicts.appeals,
    verdicts.cases,
    verdicts.close,
    verdicts.close_draw,
    verdicts.collect,
    verdicts.is_charged,
    verdicts.is_settled,
    verdicts.owed,
    verdicts.results,
    verdicts.rule,
    verdicts.settle_jury,
    jurors.PARAMETERS,
    jurors.REGISTRY,
    jurors.commit,
    jurors.commits,
    jurors.fix_seed,
    jurors.juries,
    jurors.reveal,
    jurors.scores,
    jurors.seats_of,
    jurors.votes,
)

struct Receipt:
    job_id: bytes32
    execution_hash: bytes32
    log_hash: bytes32
    metering_hash: bytes32
    amount: uint256
    ended_unix_s: uint256

struct Node:
    state: uint256
    stake: uint256
    locked: uint256
    unbonding: uint256
    unbonded_at: uint256
    holds: uint256
    marked_at: uint256
    registered_at: uint256
    binding: bytes32

interface Settlement:
    def TOKEN() -> address: view
    def jobs(job: bytes32) -> verdicts.Job: view
    def pair_state(requester: address, worker: address, token: address) -> (
        uint256, uint256, uint256, uint256, uint256
    ): view
    def prove_receipt(
        requester: address, worker: address, token: address, receipt: Receipt,
        index: uint256, count: uint256, path: DynArray[bytes32, 32],
    ) -> bool: view
    def freeze(requester: address, worker: address, token: address): nonpayable
    def freeze_job(job: bytes32): nonpayable

interface NodeRegistry:
    def nodes(owner: address) -> Node: view
    def hold(owner: address, is_held: bool): nonpayable
    def slash(owner: address, amount: uint256, is_final: bool) -> uint256: nonpayable

event Opened:
    dispute: indexed(bytes32)
    worker: indexed(address)
    challenger: indexed(address)
    job: bytes32
    amount: uint256
    bond: uint256
    evidence: bytes32

event EvidenceAdded:
    dispute: indexed(bytes32)
    by: indexed(address)
    evidence: bytes32

event Appealed:
    dispute: indexed(bytes32)
    by: indexed(address)
    round: uint256
    bond: uint256
    evidence: bytes32

event Equivocated:
    account: indexed(address)
    lane: indexed(bytes32)
    sequence: uint64
    reporter: address
    reward: uint256

STATEMENT_TYPE: constant(bytes32) = keccak256("Statement(bytes32 lane,uint64 sequence,bytes32 content)")
NAME_HASH: constant(bytes32) = keccak256("Skyops Disputes")

SLASH: constant(uint256) = 14  # keys of Parameters
BOND: constant(uint256) = 15
AGE: constant(uint256) = 16
JURORS: constant(uint256) = 17
JUROR_FEE: constant(uint256) = 19

@deploy
def __init__(parameters: address, registry: address, settlement: address):
    jurors.__init__(parameters, registry)
    assert settlement.is_contract, "bad_address"
    verdicts.__init__(settlement, staticcall Settlement(settlement).TOKEN())


@external
@nonreentrant
def open_receipt(
    requester: address,
    worker: address,
    token: address,
    receipt: Receipt,
    index: uint256,
    count: uint256,
    path: DynArray[bytes32, 32],
    evidence: bytes32,
) -> bytes32:
    """@notice Challenge a job that was paid by voucher, while the pair's holdback waits. @return The dispute."""
    assert staticcall Settlement(verdicts.SETTLEMENT).prove_receipt(
        requester, worker, token, receipt, index, count, path
    ), "no_such_receipt"
    assert block.timestamp <= receipt.ended_unix_s + verdicts._parameter(AGE), "too_old"
    redeemed: uint256 = (staticcall Settlement(verdicts.SETTLEMENT).pair_state(requester, worker, token))[0]
    assert receipt.amount <= redeemed, "amount_too_large"
    dispute: bytes32 = keccak256(abi_encode(requester, worker, token, receipt.job_id))
    extcall Settlement(verdicts.SETTLEMENT).freeze(requester, worker, token)
    worth: uint256 = verdicts._worth(token, receipt.amount)
    self._open(dispute, requester, worker, token, empty(bytes32), receipt.amount, worth, evidence)
    return dispute


@external
@nonreentrant
def open_job(job: bytes32, evidence: bytes32) -> bytes32:
    """@notice Challenge a completed job in escrow, inside its window. @return The dispute, which is the job."""
    found: verdicts.Job = staticcall Settlement(verdicts.SETTLEMENT).jobs(job)
    extcall Settlement(verdicts.SETTLEMENT).freeze_job(job)
    worth: uint256 = verdicts._worth(found.token, found.payment)
    self._open(job, found.requester, found.worker, found.token, job, found.payment, worth, evidence)
    return job


@external
@nonreentrant
def open_result(
    requester: address, worker: address, amount: uint256, made_at: uint256, commitment: bytes32, proof: bytes32
) -> bytes32:
    """
    @notice Challenge a result that a verdict (protocol/06-verification.md) calls wrong: it was not paid, so that only
            the worker's stake answers for it. No contract can read a verdict: all that is said here is the
            challenger's word, and in the dispute's id, so that what is false stands in nobody's way.
    @param amount What the result was worth, SKYOPS wei; it counts for no more than what the worker has at stake.
    @param made_at When the verdict was made, Unix s.
    @param commitment SHA-256 of the worker's commitment to its result, for which it is charged once.
    @param proof SHA-256 of the verdict.
    @return The dispute.
    """
    assert made_at <= block.timestamp, "too_soon"
    assert block.timestamp <= made_at + verdicts._parameter(AGE), "too_old"
    assert commitment != empty(bytes32) and proof != empty(bytes32), "bad_result"
    assert not verdicts.is_charged[commitment], "charged_already"
    node: Node = staticcall NodeRegistry(jurors.REGISTRY).nodes(worker)
    at_stake: uint256 = node.stake + node.unbonding
    worth: uint256 = min(amount, at_stake)
    # Half of what is slashed is burned; the other must pay the jury as well as the bond does, or it would be partial.
    assert at_stake // 2 >= self._jury_cost(), "nothing_at_stake"
    assert worth * verdicts._parameter(SLASH) // 2 >= self._jury_cost(), "amount_too_small"
    dispute: bytes32 = keccak256(abi_encode(requester, worker, amount, made_at, commitment, proof))
    verdicts.results[dispute] = verdicts.Result(commitment=commitment, proof=proof, made_at=made_at)
    self._open(dispute, requester, worker, verdicts.TOKEN, empty(bytes32), amount, worth, proof)
    return dispute


@external
def add_evidence(dispute: bytes32, evidence: bytes32):
    """@notice Say the hash of more evidence. Anybody may, until the dispute is closed."""
    assert verdicts.cases[dispute].opened_at != 0 and not verdicts.cases[dispute].is_closed, "wrong_phase"
    log EvidenceAdded(dispute=dispute, by=msg.sender, evidence=evidence)


@external
@nonreentrant
def enrol(dispute: bytes32, ticket: uint256):
    """@notice Take a seat in the jury that is being drawn, with one of the caller's tickets (stake // seat's stake)."""
    case: verdicts.Case = verdicts.cases[dispute]
    is_party: bool = msg.sender == case.challenger or msg.sender == case.worker or msg.sender == case.requester
    assert not is_party, "is_party"
    jurors._enrol(verdicts._jury(dispute, case.round), msg.sender, ticket)


@external
@nonreentrant
def appeal(dispute: bytes32, evidence: bytes32):
    """@notice Ask for a larger jury, with twice the bond. By who lost: the worker, or the challenger or requester."""
    case: verdicts.Case = verdicts.cases[dispute]
    assert case.appeal_ends != 0 and block.timestamp < case.appeal_ends and not case.is_closed, "wrong_phase"
    assert case.round < verdicts.APPEALS_MAX, "no_more_appeals"
    if case.verdict == jurors.WRONG:
        assert msg.sender == case.worker, "not_loser"
    else:
        assert msg.sender == case.challenger or msg.sender == case.requester, "not_loser"
    round: uint256 = case.round + 1
    size: uint256 = jurors.juries[verdicts._jury(dispute, case.round)].size * 2 + 1
    bond: uint256 = max(case.bond << round, size * verdicts._parameter(JUROR_FEE))
    verdicts.appeals[dispute][round] = verdicts.Appeal(appellant=msg.sender, bond=bond, against=case.verdict)
    verdicts.cases[dispute].round = round
    verdicts.cases[dispute].appeal_ends = 0
    jurors._call(verdicts._jury(dispute, round), size, case.opened_at)
    log Appealed(dispute=dispute, by=msg.sender, round=round, bond=bond, evidence=evidence)
    self._pull(bond)


@external
@nonreentrant
def prove_equivocation(
    account: address,
    lane: bytes32,
    sequence: uint64,
    contents: bytes32[2],
    rs: bytes32[2],
    vss: bytes32[2],
) -> uint256:
    """
    @notice Show two statements of one wallet for one place of one of its chains: it loses all and is SLASHED.
    @return The reporter's reward: what was not burned.
    """
    assert contents[0] != contents[1], "same_content"
    separator: bytes32 = signatures._separator(NAME_HASH)
    assert account != empty(address), "bad_signature"
    for i: uint256 in range(2):
        struct_hash: bytes32 = keccak256(abi_encode(STATEMENT_TYPE, lane, sequence, contents[i]))
        digest: bytes32 = signatures._digest(separator, struct_hash)
        assert signatures._compact_signer(digest, rs[i], vss[i]) == account, "bad_signature"
    reward: uint256 = extcall NodeRegistry(jurors.REGISTRY).slash(account, max_value(uint256), True)
    assert reward > 0, "nothing_at_stake"
    verdicts.owed[msg.sender] += reward
    log Equivocated(account=account, lane=lane, sequence=sequence, reporter=msg.sender, reward=reward)
    return reward


@external
@view
def bond_for(token: address, amount: uint256) -> uint256:
    """@return What a challenge of a job of so much costs, if it is lost."""
    return self._bond(verdicts._worth(token, amount))


@external
@view
def jury_of(dispute: bytes32, round: uint256) -> bytes32:
    return verdicts._jury(dispute, round)


@internal
def _open(
    dispute: bytes32,
    requester: address,
    worker: address,
    token: address,
    job: bytes32,
    amount: uint256,
    worth: uint256,
    evidence: bytes32,
):
    assert verdicts.cases[dispute].opened_at == 0, "disputed_already"
    assert msg.sender != worker, "is_party"
    bond: uint256 = self._bond(worth)
    case: verdicts.Case = empty(verdicts.Case)
    case.challenger = msg.sender
    case.requester = requester
    case.worker = worker
    case.token = token
    case.job = job
    case.amount = amount
    case.worth = worth
    case.bond = bond
    case.opened_at = block.timestamp
    verdicts.cases[dispute] = case
    jurors._call(verdicts._jury(dispute, 0), verdicts._parameter(JURORS), block.timestamp)
    log Opened(
        dispute=dispute, worker=worker, challenger=msg.sender, job=job, amount=amount, bond=bond, evidence=evidence
    )
    extcall NodeRegistry(jurors.REGISTRY).hold(worker, True)
    self._pull(bond)


@internal
def _pull(amount: uint256):
    assert extcall IERC20(verdicts.TOKEN).transferFrom(msg.sender, self, amount), "transfer_failed"


@internal
@view
def _bond(worth: uint256) -> uint256:
    return max(worth * verdicts._parameter(BOND) // verdicts.BP, self._jury_cost())


@internal
@view
def _jury_cost() -> uint256:
    return verdicts._parameter(JURORS) * verdicts._parameter(JUROR_FEE)
