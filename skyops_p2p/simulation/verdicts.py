"""Verdicts of simulated requesters: what three workers signed of one shard, judged by the code of core/verification."""

from dataclasses import dataclass

from skyops_p2p.core.verification.commit import commit_to, reveal_of
from skyops_p2p.core.verification.draw import candidates_of, draw, draw_commitment, seed_of
from skyops_p2p.core.verification.record import Signatures, make_verdict
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.crypto.wallet import address_to_bytes
from skyops_p2p.simulation.entropy import derived_bytes
from skyops_p2p.simulation.identities import SIM_RULES, SimIdentity, sim_identity
from skyops_p2p.types import UnixMs
from skyops_p2p.wire.envelope import Signed, open_envelope, seal
from skyops_p2p.wire.messages.content import BundleRef
from skyops_p2p.wire.messages.execution import ResultReceipt, UsagePart
from skyops_p2p.wire.messages.verification import CandidatePart, ResultCommit
from skyops_p2p.wire.model import AnyMessage

REPLICAS = 2
PRICE = 1_000_000
"""Microcredits an hour, of everybody."""


@dataclass(frozen=True, slots=True)
class SimCase:
    """One shard that is compared.

    Args:
        seed: Of the world.
        requester: Number of its node.
        job: Number of the job: no two verdicts are about one.
        unix_ms: When all have ended, and the verdict is made.
    """

    seed: int
    requester: int
    job: int
    unix_ms: UnixMs

    @property
    def secret(self) -> bytes:
        """The requester's part of the draw."""
        return derived_bytes(self.seed, "draw", self.job)

    def result(self, worker: int, output: int) -> Signed[ResultReceipt]:
        """Return what a worker signs of its run."""
        who = sim_identity(self.seed, worker)
        message = ResultReceipt(
            network=SIM_RULES.network,
            requester=peer_id_to_bytes(sim_identity(self.seed, self.requester).peer_id),
            worker=peer_id_to_bytes(who.peer_id),
            job_id=derived_bytes(self.seed, "compared", self.job, worker, size=16),
            shard=0,
            epoch=1,
            award=derived_bytes(self.seed, "award", self.job, worker),
            spec_digest=derived_bytes(self.seed, "spec", self.job),
            code="succeeded",
            exit_kind="exited",
            exit_code=0,
            text="",
            outputs=BundleRef(
                root=b"\x01\x70\x12\x20" + derived_bytes(self.seed, "output", self.job, output),
                size_bytes=1000,
                files=1,
                blocks=1,
            ),
            log_count=0,
            log_head=bytes(32),
            usage=UsagePart(wall_ms=60_000),
            started_unix_ms=self.unix_ms - 60_000,
            ended_unix_ms=self.unix_ms,
        )
        return _signed(message, who)

    def commit(self, worker: int, result: Signed[ResultReceipt]) -> Signed[ResultCommit]:
        """Return what a worker commits to."""
        message = commit_to(
            result.message,
            salt=self.salt(worker),
            draw=draw_commitment(self.secret),
            verification="exact",
            redundancy=1 + REPLICAS,
            price=PRICE,
        )
        return _signed(message, sim_identity(self.seed, worker))

    def salt(self, worker: int) -> bytes:
        """Return what opens a worker's commitment."""
        return derived_bytes(self.seed, "salt", self.job, worker)


def sim_verdict(
    seed: int,
    requester: int,
    primary: int,
    *,
    nodes: int,
    job: int,
    unix_ms: UnixMs,
    is_wrong: bool = False,
) -> bytes:
    """Return the enveloped verdict of a requester on a worker and two that were drawn of all other nodes.

    Args:
        seed: Of the world.
        requester: Number of its node.
        primary: Number of the worker's.
        nodes: How many there are, at least four.
        job: Number of the job.
        unix_ms: Now.
        is_wrong: The primary came to another result than the two.
    """
    case = SimCase(seed, requester, job, unix_ms)
    candidates = candidates_of(_candidate(seed, number) for number in range(nodes) if number != requester)
    own = case.result(primary, 2 if is_wrong else 1)
    first = case.commit(primary, own)
    drawn = draw(candidates, seed_of(first.digest, case.secret), computing={_wallet(seed, primary)})
    numbers = {peer_id_to_bytes(sim_identity(seed, number).peer_id): number for number in range(nodes)}
    replicas = [numbers[one.peer] for one in drawn[:REPLICAS]]
    results = {primary: own, **{number: case.result(number, 1) for number in replicas}}
    commits = {number: case.commit(number, result) for number, result in results.items()}
    answers = []
    for number, result in results.items():
        who = sim_identity(seed, number)
        others = [commit for other, commit in commits.items() if other != number]
        reveal = _signed(reveal_of(commits[number], result, case.salt(number), others), who)
        answers.append(Signatures(0, commits[number].data, reveal.data, result.data, who.binding))
    asker = sim_identity(seed, requester)
    verdict = make_verdict(
        answers,
        network=SIM_RULES.network,
        requester=peer_id_to_bytes(asker.peer_id),
        made_unix_ms=unix_ms,
        secret=case.secret,
        candidates=candidates,
        binding=asker.binding,
    )
    return seal(verdict, asker.node_key, SIM_RULES.network)


def _wallet(seed: int, number: int) -> bytes:
    return address_to_bytes(sim_identity(seed, number).wallet.address)


def _candidate(seed: int, number: int) -> CandidatePart:
    peer = peer_id_to_bytes(sim_identity(seed, number).peer_id)
    return CandidatePart(peer=peer, wallet=_wallet(seed, number), weight=100)


def _signed(message: AnyMessage, who: SimIdentity) -> Signed[AnyMessage]:
    return open_envelope(seal(message, who.node_key, SIM_RULES.network), type(message), SIM_RULES.network)
