"""Whatever the order of bids, awards, releases and expiries: nothing is sold twice, and all comes back."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from skyops_p2p.core.auction.capacity import Capacity, Claim, ClaimState
from skyops_p2p.core.auction.screening import wanted_gpus
from skyops_p2p.types import MonotonicS
from skyops_p2p.wire.messages.auction import Needs
from tests.unit.core.auction.test_capacity import LARGE, NOTHING, PROBED, SMALL, needs, supply_with
from tests.unit.core.people import START

GPUS = (*LARGE, SMALL, SMALL.model_copy(update={"uuid": ""}), SMALL.model_copy(update={"uuid": "GPU-t"}))
NEEDS = st.builds(
    needs,
    gpu_count=st.integers(0, 3),
    vram_mib=st.sampled_from((0, 12_288, 40_000)),
    cpu_cores=st.integers(0, 9),
    memory_mib=st.sampled_from((0, 30_000, 60_000)),
    disk_mib=st.sampled_from((0, 250_000)),
)
TENDERS = st.integers(0, 9).map(lambda number: number.to_bytes(32, "big"))


class Market(RuleBasedStateMachine):
    """A machine and its own account of who holds what."""

    @initialize(slots=st.integers(0, 5))
    def begin(self, slots: int) -> None:
        self.capacity = Capacity(supply_with(PROBED.model_copy(update={"gpus": GPUS}), slots))
        self.now = START
        self.held: dict[bytes, tuple[Needs, MonotonicS | None]] = {}

    @rule(tender=TENDERS, wanted=NEEDS, seconds=st.integers(1, 5))
    def reserve(self, tender: bytes, wanted: Needs, seconds: int) -> None:
        before = self.capacity.free()
        expires_at = MonotonicS(self.now + seconds)
        answer = self.capacity.reserve(tender, wanted, expires_at=expires_at)
        if tender in self.held:
            assert isinstance(answer, Claim)
            assert answer.needs == self.held[tender][0]
        elif isinstance(answer, Claim):
            assert len(answer.devices) == wanted_gpus(wanted)
            assert set(answer.devices) <= set(before.devices), "a device that was not free"
            assert len({(d.gpu.model, d.gpu.vram_mib) for d in answer.devices}) <= 1
            self.held[tender] = (wanted, expires_at)
        else:
            assert self.capacity.free() == before, "a refusal took something"

    @rule(tender=TENDERS)
    def confirm(self, tender: bytes) -> None:
        lease = self.capacity.confirm(tender, self.now)
        assert (lease is not None) == (tender in self.held)
        if lease is not None:
            assert lease.state is ClaimState.LEASED
            self.held[tender] = (lease.needs, None)

    @rule(tender=TENDERS)
    def release(self, tender: bytes) -> None:
        assert (self.capacity.release(tender) is not None) == (self.held.pop(tender, None) is not None)

    @rule(seconds=st.integers(0, 4))
    def wait(self, seconds: int) -> None:
        self.now = MonotonicS(self.now + seconds)
        ended = {claim.tender for claim in self.capacity.wake(self.now)}
        assert ended == {key for key, (_, end) in self.held.items() if end is not None and end <= self.now}
        for tender in ended:
            del self.held[tender]
        deadline = self.capacity.next_deadline()
        assert deadline is None or deadline > self.now

    @rule(gpus=st.integers(0, len(GPUS)), cores=st.integers(1, 16), slots=st.integers(0, 5))
    def replace_hardware(self, gpus: int, cores: int, slots: int) -> None:
        changed = PROBED.model_copy(update={"gpus": GPUS[:gpus], "cpu_cores": cores})
        for claim in self.capacity.resize(supply_with(changed, slots)):
            del self.held[claim.tender]

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "capacity"):
            self.capacity.check_invariants()
            assert {claim.tender for claim in self.capacity.claims()} == set(self.held)
            sold = [wanted for wanted, _ in self.held.values()]
            assert sum(wanted.cpu_cores for wanted in sold) <= self.capacity.supply.cpu_cores
            assert sum(wanted.memory_mib for wanted in sold) <= self.capacity.supply.memory_mib
            assert sum(map(wanted_gpus, sold)) <= len(self.capacity.supply.devices)
            assert len(sold) <= self.capacity.supply.slots
            if not sold:
                assert self.capacity.free() == self.capacity.supply


assert wanted_gpus(NOTHING) == 0
TestMarket = Market.TestCase
TestMarket.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
