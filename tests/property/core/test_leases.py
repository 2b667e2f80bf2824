"""A worker's leases, taken, kept, ended, released and waited for in any order: nothing is sold twice or lost."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p.core.auction.leases import AwardUse, LeaseTerms
from skyops_p2p.crypto.hashing import sha256
from skyops_p2p.types import MonotonicS
from tests.unit.core.auction.counter import Counter
from tests.unit.core.auction.house import Shop
from tests.unit.core.people import BOB, NOW

JOBS = 3
LONG_S = 1000.0
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("award", "take", "keep", "end", "release", "wait")),
        st.integers(0, JOBS - 1),
        st.sampled_from((0.5, 5.0, 20.0)),
    ),
    max_size=40,
)


class Fair:
    """One worker with two GPUs, and three jobs that want one each."""

    def __init__(self) -> None:
        self.shop = Shop(BOB, slots=2, gpus=2)
        self.alice: dict[int, Counter] = {}
        self.awards: dict[int, bytes] = {}
        self.taken: dict[int, LeaseTerms] = {}
        self.waited_s = 0.0

    def do(self, step: str, job: int, seconds: float) -> None:
        if step == "award" and job not in self.alice:
            self.award(job)
        elif step == "wait":
            self.wait(seconds)
        elif job in self.awards:
            self.go_on(step, job, seconds)

    def award(self, job: int) -> None:
        """Let alice buy for a job, if there is room."""
        self.alice[job] = alice = Counter(self.shop, job_id=bytes([job + 1] * 16))
        alice.wake(self.waited_s)
        if len(self.shop.capacity.free().devices) and not self.waited_s:
            self.awards[job] = alice.award(alice.revealed())
            alice.send(self.awards[job])

    def go_on(self, step: str, job: int, seconds: float) -> None:
        desk, now = self.shop.desk, self.alice[job].now
        digest = self.digest(job)
        if step == "take":
            waiting = desk.waiting_lease(digest)
            lease, _ = desk.take_lease(digest, now)
            assert (lease is not None) <= (waiting is not None), "taken out of nothing"
            assert (lease is not None) <= (job not in self.taken), "two leases on one award"
            if lease is not None:
                self.taken[job] = replace(lease, use=AwardUse(bytes(16), NOW))
        elif step == "keep" and job in self.taken:
            desk.keep_lease(self.taken.pop(job), now, until=MonotonicS(now + seconds))
            assert desk.waiting_lease(digest) is not None
        elif step == "end":
            self.taken.pop(job, None)
            desk.end_lease(self.alice[job].tender.digest, now)
        elif step == "release":
            self.alice[job].send(self.alice[job].release("withdrawn"))

    def wait(self, seconds: float) -> None:
        self.waited_s += seconds
        for alice in self.alice.values():
            alice.wake(self.waited_s)

    def digest(self, job: int) -> bytes:
        return sha256(self.awards[job])

    def check(self) -> None:
        """What a job runs under is held, and what is held is somebody's."""
        self.shop.desk.check_invariants()
        claims = {claim.tender for claim in self.shop.capacity.claims()}
        assert {self.alice[job].tender.digest for job in self.taken} <= claims
        assert len(claims) <= 2
        waiting = {
            self.alice[job].tender.digest
            for job in self.awards
            if self.shop.desk.waiting_lease(self.digest(job))
        }
        assert claims == waiting | {self.alice[job].tender.digest for job in self.taken}


@given(STEPS)
def test_leases_hold_what_they_must_and_free_it_in_the_end(steps: list[tuple[str, int, float]]) -> None:
    """EXE-37, AUC-33: whatever comes, a lease that stands keeps its capacity, and nothing is held when all are over."""
    fair = Fair()
    for step in steps:
        fair.do(*step)
        fair.check()
    for job in list(fair.taken):
        fair.go_on("end", job, 0.0)
    fair.wait(LONG_S)
    fair.check()
    assert len(fair.shop.capacity) == 0
