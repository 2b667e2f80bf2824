"""A worker's capacity: what a claim takes, what refuses it, and how it ends."""

import pytest

from skyops_p2p import limits
from skyops_p2p.core.auction.capacity import Capacity, Claim, ClaimState, Supply, supply_of
from skyops_p2p.wire.messages.auction import Needs
from skyops_p2p.wire.messages.peering import GpuPart, HardwarePart
from tests.unit.core.people import BOB, HARDWARE, at

SMALL = GpuPart(model="NVIDIA GeForce RTX 3060", vram_mib=12_288, compute_capability="8.6", uuid="GPU-s")
LARGE = [
    GpuPart(model="NVIDIA A100-SXM4-80GB", vram_mib=81_920, compute_capability="8.0", uuid=f"GPU-{n}")
    for n in range(2)
]
PROBED = HARDWARE.model_copy(update={"source": "nvml"})
MACHINE = PROBED.model_copy(update={"gpus": (*LARGE, SMALL)})
NOTHING = Needs(
    runtime="wasm",
    gpu_models=(),
    gpu_count=0,
    vram_mib=0,
    compute_capability="",
    cpu_cores=0,
    memory_mib=0,
    disk_mib=0,
    regions=(),
    labels=(),
    latency_ms_max=0,
    needs_hard_limits=False,
)
SOON = at(2)


def supply_with(hardware: HardwarePart, slots: int) -> Supply:
    return supply_of(BOB.verified(hardware=hardware, slots=slots).record)


def needs(**changes: object) -> Needs:
    return NOTHING.model_copy(update=changes)


def capacity(slots: int = 4) -> Capacity:
    return Capacity(supply_with(MACHINE, slots))


def tender(number: int) -> bytes:
    return number.to_bytes(32, "big")


def names(claim: Claim | str | None) -> list[str]:
    assert isinstance(claim, Claim)
    return [device.name for device in claim.devices]


def test_the_smallest_gpu_that_fits_is_taken() -> None:
    machine = capacity()
    assert names(machine.reserve(tender(1), needs(gpu_count=1), expires_at=SOON)) == ["GPU-s"]
    assert names(machine.reserve(tender(2), needs(vram_mib=40_000), expires_at=SOON)) == ["GPU-0"]
    machine.check_invariants()


def test_a_claim_takes_alike_devices_cores_memory_disk_and_a_slot() -> None:
    machine = capacity()
    wanted = needs(gpu_count=2, cpu_cores=10, memory_mib=1000, disk_mib=2000)
    assert names(machine.reserve(tender(1), wanted, expires_at=SOON)) == ["GPU-0", "GPU-1"]
    free = machine.free()
    assert [device.name for device in free.devices] == ["GPU-s"]
    assert (free.cpu_cores, free.memory_mib, free.disk_mib, free.slots) == (6, 64_536, 498_000, 3)


def test_declared_devices_are_named_by_peer_and_place() -> None:
    declared = HARDWARE.model_copy(update={"gpus": (SMALL, SMALL)})
    supply = supply_with(declared, 2)
    assert [device.name for device in supply.devices] == [f"{BOB.peer}/0", f"{BOB.peer}/1"]
    machine = Capacity(supply)
    assert names(machine.reserve(tender(1), needs(gpu_count=1), expires_at=SOON)) == [f"{BOB.peer}/0"]
    assert names(machine.reserve(tender(2), needs(gpu_count=1), expires_at=SOON)) == [f"{BOB.peer}/1"]


def test_a_uuid_told_twice_is_one_device() -> None:
    twice = PROBED.model_copy(update={"gpus": (SMALL, SMALL)})
    assert len(supply_with(twice, 2).devices) == 1


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"gpu_count": 3}, "gpu_mix"),
        ({"gpu_count": 4}, "gpu_count"),
        ({"gpu_models": ("h100",)}, "gpu_model"),
        ({"vram_mib": 90_000}, "vram"),
        ({"compute_capability": "9.0"}, "compute_capability"),
        ({"cpu_cores": 17}, "cpu"),
        ({"memory_mib": 65_537}, "memory"),
        ({"disk_mib": 500_001}, "disk"),
    ],
)
def test_what_the_machine_lacks_is_named(wanted: dict[str, object], code: str) -> None:
    machine = capacity()
    assert machine.reserve(tender(1), needs(**wanted), expires_at=SOON) == code
    assert len(machine) == 0


def test_what_is_only_reserved_is_told_apart_from_what_is_leased() -> None:
    machine = capacity()
    pair = needs(gpu_models=("a100",), gpu_count=2)
    machine.reserve(tender(1), pair, expires_at=SOON)
    assert machine.reserve(tender(2), pair, expires_at=SOON) == "capacity_reserved"
    machine.confirm(tender(1), at(1))
    assert machine.reserve(tender(2), pair, expires_at=SOON) == "slots_busy"


def test_a_machine_of_one_slot_answers_one_tender_at_a_time() -> None:
    machine = capacity(slots=1)
    first = machine.reserve(tender(1), NOTHING, expires_at=SOON)
    assert machine.reserve(tender(1), NOTHING, expires_at=at(9)) is first
    assert machine.reserve(tender(2), NOTHING, expires_at=SOON) == "capacity_reserved"
    machine.release(tender(1))
    assert isinstance(machine.reserve(tender(2), NOTHING, expires_at=SOON), Claim)


def test_a_machine_without_slots_is_busy() -> None:
    assert capacity(slots=0).reserve(tender(1), NOTHING, expires_at=SOON) == "slots_busy"


def test_claims_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RESERVATIONS_MAX", 2)
    machine = capacity()
    assert all(isinstance(machine.reserve(tender(n), NOTHING, expires_at=SOON), Claim) for n in (1, 2))
    assert machine.reserve(tender(3), NOTHING, expires_at=SOON) == "busy"


def test_a_reservation_ends_at_its_expiry() -> None:
    machine = capacity()
    machine.reserve(tender(1), needs(gpu_count=1), expires_at=at(2))
    machine.reserve(tender(2), needs(gpu_count=1), expires_at=at(3))
    assert machine.next_deadline() == at(2)
    assert machine.wake(at(1.9)) == []
    assert [claim.tender for claim in machine.wake(at(2))] == [tender(1)]
    assert machine.next_deadline() == at(3)


def test_a_reservation_that_ran_out_cannot_be_confirmed() -> None:
    machine = capacity()
    machine.reserve(tender(1), needs(gpu_count=1), expires_at=at(2))
    assert machine.confirm(tender(1), at(2)) is None
    assert machine.get(tender(1)) is None
    assert machine.confirm(tender(7), at(2)) is None


def test_a_lease_stays_until_it_is_released() -> None:
    machine = capacity()
    machine.reserve(tender(1), needs(gpu_count=1), expires_at=at(2))
    lease = machine.confirm(tender(1), at(1))
    assert lease is not None
    assert lease.state is ClaimState.LEASED
    assert machine.next_deadline() is None
    assert machine.wake(at(99)) == []
    assert machine.release(tender(1)) == lease
    assert machine.release(tender(1)) is None
    assert machine.free() == machine.supply


def test_a_lease_may_have_an_end() -> None:
    machine = capacity()
    machine.reserve(tender(1), NOTHING, expires_at=at(2))
    machine.confirm(tender(1), at(1), expires_at=at(60))
    assert [claim.tender for claim in machine.wake(at(60))] == [tender(1)]


def test_leases_outlast_reservations_when_hardware_goes() -> None:
    machine = capacity()
    machine.reserve(tender(1), needs(vram_mib=40_000), expires_at=SOON)
    machine.reserve(tender(2), needs(cpu_cores=9), expires_at=SOON)
    machine.reserve(tender(3), needs(cpu_cores=4), expires_at=SOON)
    machine.confirm(tender(3), at(1))
    fewer = PROBED.model_copy(update={"gpus": (SMALL,), "cpu_cores": 12})
    broken = machine.resize(supply_with(fewer, 4))
    assert [claim.tender for claim in broken] == [tender(1), tender(2)]
    assert [claim.tender for claim in machine.claims()] == [tender(3)]
    machine.check_invariants()


def test_utilisation_is_that_of_the_scarcest() -> None:
    machine = capacity()
    assert machine.utilisation_permille() == 0
    machine.reserve(tender(1), needs(cpu_cores=8), expires_at=SOON)
    assert machine.utilisation_permille() == 500
    machine.reserve(tender(2), needs(gpu_models=("a100",), gpu_count=2), expires_at=SOON)
    assert machine.utilisation_permille() == 666
    assert machine.utilisation_permille(besides=tender(2)) == 500
    assert Capacity(Supply((), 0, 0, 0, 0)).utilisation_permille() == 1000


def test_heartbeats_tell_what_awards_leave_and_nothing_of_bids() -> None:
    machine = capacity()
    slots = machine.supply.slots
    machine.reserve(tender(1), needs(cpu_cores=8), expires_at=SOON)
    assert machine.told() == (slots, 0)
    machine.confirm(tender(1), at(1))
    assert machine.told() == (slots - 1, 500)
    machine.release(tender(1))
    assert machine.told() == (slots, 0)
