"""The vectors of chapter 06, by skyops_p2p and by the second reader that shares no code with it."""

from typing import Any

from skyops_p2p.core.execution.receipts import LeaseFacts, check_result
from skyops_p2p.core.verification.arrays import compare_files
from skyops_p2p.core.verification.check import check_verdict
from skyops_p2p.core.verification.commit import (
    check_commit,
    check_reveal,
    check_reveal_request,
    commitment_of,
)
from skyops_p2p.core.verification.draw import draw, draw_commitment, seed_of
from skyops_p2p.core.verification.policy import check_lot
from skyops_p2p.core.verification.result_root import answer_root, has_answer, result_root
from skyops_p2p.crypto.node_key import peer_id_from_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire.envelope import Signed
from skyops_p2p.wire.messages.execution import ResultReady, ResultReceipt
from skyops_p2p.wire.messages.verification import CandidatePart, ResultCommit, ResultCommitted, RevealResult
from skyops_p2p.wire.model import decode_fields, decode_message
from tests.vectors import second_charge
from tests.vectors import second_verification as second
from tests.vectors import second_wire as wire
from tests.vectors.test_vectors import Case, cases, everything, raw
from tests.vectors.verification_cases import charges_in


@everything("result-roots")
def test_result_roots(case: Case) -> None:  # VER-2, VER-3, VER-4
    receipt = decode_message(ResultReceipt, raw(case))
    fields = wire.message(raw(case), "result-receipt")
    assert has_answer(receipt) == (fields["code"] in second.ANSWERS) == case["is_answer"]
    wanted = (raw(case, "answer"), raw(case, "root"))
    assert (answer_root(receipt), result_root(receipt)) == second.roots(fields) == wanted
    salt = raw(case, "salt")
    assert commitment_of(receipt, salt) == second.commitment(fields, salt) == raw(case, "commitment")


@everything("draws")
def test_draws(case: Case) -> None:  # VER-9, VER-10, VER-16
    secret = raw(case, "secret")
    if "lot" in case:
        lot = int.from_bytes(second.sha(b"skyops/check/1", secret, raw(case, "commit"))[:8], "big")
        assert check_lot(secret, raw(case, "commit")) == lot == int(case["lot"])
        return
    commit = raw(case, "commit")
    rows = [
        (bytes.fromhex(peer), bytes.fromhex(wallet), weight) for peer, wallet, weight in case["candidates"]
    ]
    computing = {bytes.fromhex(wallet) for wallet in case["computing"]}
    candidates = [CandidatePart(peer=peer, wallet=wallet, weight=weight) for peer, wallet, weight in rows]
    wanted = [bytes.fromhex(peer) for peer in case["drawn"]]
    assert [one.peer for one in draw(candidates, seed_of(commit, secret), computing=computing)] == wanted
    assert second.drawn(rows, commit, secret, computing) == wanted
    assert draw_commitment(secret) == second.sha(b"skyops/draw-secret/1", secret) == raw(case, "draw")


@everything("numbers")
def test_numbers(case: Case) -> None:  # VER-17
    files = (case["path"], raw(case, "first"), raw(case, "second"))
    wanted = (case["elements"], case["within"], case["is_equal"])
    found, is_equal = compare_files(*files, asked=case["asked"])
    assert (found.elements, found.within, is_equal) == wanted
    assert second.compare(*files, case["asked"]) == wanted


@everything("verdicts")
def test_verdicts(case: Case) -> None:  # VER-8 to VER-15
    _check_verdict(raw(case), case)


@everything("charges")
def test_charges(case: Case) -> None:  # VER-28
    assert charges_in(raw(case)) == second_charge.charges(raw(case), case["network"]) == case["charges"]


@everything("replicas")
def test_replicas(case: Case) -> None:  # VER-4, VER-5, VER-6, VER-7, VER-8
    ours, theirs = _Listener(case), second.Reader(case)
    for step in case["steps"]:
        assert ours.take(step) == theirs.take(step) == step.get("code"), step
    _check_verdict(raw(case, "verdict"), case)


def test_families_have_both_outcomes() -> None:
    assert {"rules" in case for case in cases("verdicts")} == {True, False}
    assert {len(case["charges"]) for case in cases("charges")} == {0, 1, 2}
    said = [step.get("code") for case in cases("replicas") for step in case["steps"]]
    assert {None, "worker_lied", "proof_fails"} == set(said)


def _check_verdict(data: bytes, case: Case) -> None:
    network = case.get("network") or case["lease"]["network"]
    found = check_verdict(data)
    wanted = {
        name: case[name] for name in ("rules", "outcome", "winner", "faults", "wallets") if name in case
    }
    wanted |= {name: case[name] for name in ("is_drawn", "is_reworked") if name in case}
    if not found.holds:
        ours: dict[str, Any] = {"rules": sorted({finding.rule for finding in found.findings})}
    else:
        assert found.verdict is not None
        ours = {
            "outcome": found.verdict.outcome,
            "winner": found.winner,
            "faults": [one.fault for one in found.judged],
            "wallets": [None if one.wallet is None else one.wallet.hex() for one in found.judged],
            "is_drawn": found.is_drawn,
            "is_reworked": found.is_reworked,
        }
    assert ours == wanted
    assert second.check_verdict(data, network) == wanted


class _Listener:
    """Hears what is said of one shard with the functions that nodes use."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.commits: dict[str, Signed[ResultCommit]] = {}

    def take(self, step: Case) -> str | None:
        data = raw(step)
        try:
            match decode_fields(data)[0]:
                case 96:
                    self._commit(step["from"], decode_message(ResultCommitted, data).commit)
                case 97:
                    check_reveal_request(decode_message(RevealResult, data), self.commits[step["to"]])
                case _:
                    self._ready(step["from"], decode_message(ResultReady, data))
        except RemoteProtocolError as refused:
            return refused.code
        return None

    def _commit(self, who: str, data: bytes) -> None:
        lease = self.case["leases"][who]
        signed = check_commit(
            data,
            self._facts(who),
            draw=raw(lease, "draw"),
            verification=lease["verification"],
            redundancy=lease["redundancy"],
            price=lease["price"],
        )
        if self.commits.setdefault(who, signed) != signed:
            raise RemoteProtocolError("a second commitment", code="worker_lied", rule="VER-5")

    def _ready(self, who: str, ready: ResultReady) -> None:
        if who not in self.commits:
            raise RemoteProtocolError("no commitment", code="worker_lied", rule="VER-2")
        receipt = check_result(ready.receipt, self._facts(who))
        check_reveal(ready.reveal, self.commits[who], receipt)

    def _facts(self, who: str) -> LeaseFacts:
        shared, lease = self.case["lease"], self.case["leases"][who]
        return LeaseFacts(
            network=shared["network"],
            requester=peer_id_from_bytes(raw(shared, "requester")),
            worker=peer_id_from_bytes(raw(lease, "worker")),
            job_id=raw(lease, "job_id"),
            shard=shared["shard"],
            epoch=shared["epoch"],
            award=raw(lease, "award"),
            spec_digest=raw(shared, "spec_digest"),
        )
