"""What a worker has, and to whom it is promised: devices, processor cores, memory, disk and slots.

The one owner of a worker's capacity. Each bid reserves what it offers under its tender's digest, in one step with the
check that it is free, so overlapping tenders never sell a thing twice; a confirmed award turns the reservation into a
lease. A GPU belongs to one claim at a time, whatever the job's mode. Spec: protocol/04-auction.md, "Capacity".
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from skyops_p2p import limits
from skyops_p2p.core.auction.devices import device_names
from skyops_p2p.core.auction.screening import fitting_gpus, gpu_codes, wanted_gpus
from skyops_p2p.types import MonotonicS
from skyops_p2p.wire.messages.auction import Needs
from skyops_p2p.wire.messages.peering import GpuPart, NodeRecord


class ClaimState(Enum):
    """How firm a claim is."""

    RESERVED = "reserved"
    """A bid stands; it ends at its expiry unless it is awarded."""
    LEASED = "leased"
    """The award is confirmed."""


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU under the name that bids use."""

    name: str
    """See `devices.device_names`."""
    gpu: GpuPart


@dataclass(frozen=True, slots=True)
class Supply:
    """An amount of everything: what a machine has, or what is left of it."""

    devices: tuple[Device, ...]
    cpu_cores: int
    memory_mib: int
    disk_mib: int
    slots: int


@dataclass(frozen=True, slots=True)
class Claim:
    """What is promised to one tender."""

    tender: bytes
    """Digest of the tender, 32 bytes."""
    needs: Needs
    devices: tuple[Device, ...]
    """Held by this claim alone; equal in model and memory."""
    state: ClaimState
    expires_at: MonotonicS | None
    """When it ends by itself; None for a lease that its owner ends (`BiddingDesk.end_lease`)."""


def supply_of(record: NodeRecord) -> Supply:
    """Return what a node's record shows: what its bids can be checked against."""
    hardware = record.hardware
    devices = tuple(Device(name, gpu) for name, gpu in device_names(record).items())
    return Supply(devices, hardware.cpu_cores, hardware.memory_mib, hardware.disk_mib, record.slots)


class Capacity:
    """The claims on one machine.

    Args:
        supply: What the machine has.
    """

    def __init__(self, supply: Supply) -> None:
        self.supply = supply
        self._claims: dict[bytes, Claim] = {}
        """Tender digest -> claim, oldest first; at most RESERVATIONS_MAX."""

    def __len__(self) -> int:
        return len(self._claims)

    def claims(self) -> tuple[Claim, ...]:
        """Return all claims, oldest first."""
        return tuple(self._claims.values())

    def get(self, tender: bytes) -> Claim | None:
        """Return the claim of a tender, or None."""
        return self._claims.get(tender)

    def free(self) -> Supply:
        """Return what nobody claims."""
        return _left(self.supply, self._claims.values())

    def utilisation_permille(self, *, besides: bytes = b"") -> int:
        """Return which part of the scarcest resource is claimed, by others than the tender `besides`; 0 to 1000."""
        others = (claim for claim in self._claims.values() if claim.tender != besides)
        return _used_permille(_left(self.supply, others), self.supply)

    def told(self) -> tuple[int, int]:
        """Return the free slots and the utilisation in thousandths that heartbeats tell: what awards leave.

        A bid's reservation ends within seconds, before most nodes would hear of it, and most bids lose: telling it
        would keep other requesters away for nothing, and cost a heartbeat for each bid and for each release.
        """
        left = self.spare()
        return max(0, left.slots), _used_permille(left, self.supply)

    def spare(self) -> Supply:
        """Return what leases leave."""
        leases = (claim for claim in self._claims.values() if claim.state is ClaimState.LEASED)
        return _left(self.supply, leases)

    def reserve(self, tender: bytes, needs: Needs, *, expires_at: MonotonicS) -> Claim | str:
        """Claim what a job needs, at once or not at all; a tender that has a claim already keeps it.

        Args:
            tender: Digest of the tender.
            needs: What to claim.
            expires_at: When the claim ends unless it is confirmed before.

        Returns:
            The claim, or a decline code: a code of `screening` (the machine is too small), `slots_busy` (leases hold
            what is needed), `capacity_reserved` (other bids hold it), `busy` (RESERVATIONS_MAX claims stand).
        """
        held = self._claims.get(tender)
        if held is not None:
            return held
        if len(self._claims) >= limits.RESERVATIONS_MAX:
            return "busy"
        free = self.free()
        if _lacking(needs, free):
            return self._why_not(needs)
        claim = Claim(tender, needs, _choose(needs, free), ClaimState.RESERVED, expires_at)
        self._claims[tender] = claim
        return claim

    def confirm(
        self, tender: bytes, now: MonotonicS, *, expires_at: MonotonicS | None = None
    ) -> Claim | None:
        """Turn a reservation into a lease.

        Args:
            tender: Digest of the tender.
            now: A reservation that has run out by now is gone.
            expires_at: When the lease ends by itself; None if its owner ends it.

        Returns:
            The lease, or None if there is nothing to confirm.
        """
        claim = self._claims.get(tender)
        if claim is None or _is_over(claim, now):
            self._claims.pop(tender, None)
            return None
        lease = self._claims[tender] = replace(claim, state=ClaimState.LEASED, expires_at=expires_at)
        return lease

    def restore(self, claim: Claim) -> bool:
        """Put a lease back that was there before a restart, when the machine has not been looked at yet.

        Until the first `resize` the machine is taken to have just what it has promised, so that nothing else is sold;
        `resize` drops what it turns out not to have.

        Args:
            claim: Of a tender that has none.

        Returns:
            Whether it is back: not if its devices are held by another claim, or RESERVATIONS_MAX claims stand.
        """
        names = {device.name for held in self._claims.values() for device in held.devices}
        is_held = claim.tender in self._claims or any(device.name in names for device in claim.devices)
        if is_held or len(self._claims) >= limits.RESERVATIONS_MAX:
            return False
        self._claims[claim.tender] = claim
        supply, needs = self.supply, claim.needs
        there = {device.name for device in supply.devices}
        self.supply = Supply(
            devices=(*supply.devices, *(d for d in claim.devices if d.name not in there)),
            cpu_cores=supply.cpu_cores + needs.cpu_cores,
            memory_mib=supply.memory_mib + needs.memory_mib,
            disk_mib=supply.disk_mib + needs.disk_mib,
            slots=supply.slots + 1,
        )
        return True

    def release(self, tender: bytes) -> Claim | None:
        """End a claim; None if there is none."""
        return self._claims.pop(tender, None)

    def wake(self, now: MonotonicS) -> list[Claim]:
        """End the claims that have run out, and return them."""
        over = [claim for claim in self._claims.values() if _is_over(claim, now)]
        for claim in over:
            del self._claims[claim.tender]
        return over

    def next_deadline(self) -> MonotonicS | None:
        """Return when `wake` must be called, or None."""
        return min(
            (claim.expires_at for claim in self._claims.values() if claim.expires_at is not None),
            default=None,
        )

    def resize(self, supply: Supply) -> list[Claim]:
        """Go on with other hardware: leases are kept before reservations, older claims before younger ones.

        Returns:
            The claims that the machine can no longer keep; they are ended.
        """
        self.supply = supply
        order = sorted(self._claims.values(), key=lambda claim: claim.state is ClaimState.RESERVED)
        kept: dict[bytes, Claim] = {}
        for claim in order:
            left = _left(supply, kept.values())
            if set(claim.devices) <= set(left.devices) and _is_enough(claim.needs, left):
                kept[claim.tender] = claim
        broken = [claim for claim in self._claims.values() if claim.tender not in kept]
        self._claims = {tender: claim for tender, claim in self._claims.items() if tender in kept}
        return broken

    def check_invariants(self) -> None:
        """Raise AssertionError if anything is sold twice, or more is sold than there is."""
        names = [device.name for claim in self._claims.values() for device in claim.devices]
        assert len(names) == len(set(names)), "a device is held by two claims"
        assert set(names) <= {device.name for device in self.supply.devices}, "a device that is not there"
        free = self.free()
        amounts = (free.cpu_cores, free.memory_mib, free.disk_mib, free.slots)
        assert min(amounts) >= 0, "more is claimed than there is"
        assert len(self._claims) <= limits.RESERVATIONS_MAX, "too many claims"
        for tender, claim in self._claims.items():
            assert claim.tender == tender, "a claim under another's key"
            assert len(claim.devices) == wanted_gpus(claim.needs), "not as many devices as needed"
            assert claim.expires_at is not None or claim.state is ClaimState.LEASED, "reserved for ever"

    def _why_not(self, needs: Needs) -> str:
        """Say why needs do not fit now: too large for the machine, leased away, or only reserved."""
        lacking = _lacking(needs, self.supply)
        if lacking:
            return lacking
        leases = (claim for claim in self._claims.values() if claim.state is ClaimState.LEASED)
        return "slots_busy" if _lacking(needs, _left(self.supply, leases)) else "capacity_reserved"


def _used_permille(free: Supply, supply: Supply) -> int:
    """Return which part of the scarcest resource is not free."""
    pairs = (
        (len(free.devices), len(supply.devices)),
        (free.cpu_cores, supply.cpu_cores),
        (free.memory_mib, supply.memory_mib),
        (free.slots, supply.slots),
    )
    return max(((there - left) * 1000 // there for left, there in pairs if there > 0), default=1000)


def _left(supply: Supply, claims: Iterable[Claim]) -> Supply:
    claims = tuple(claims)
    held = {device.name for claim in claims for device in claim.devices}
    return Supply(
        devices=tuple(device for device in supply.devices if device.name not in held),
        cpu_cores=supply.cpu_cores - sum(claim.needs.cpu_cores for claim in claims),
        memory_mib=supply.memory_mib - sum(claim.needs.memory_mib for claim in claims),
        disk_mib=supply.disk_mib - sum(claim.needs.disk_mib for claim in claims),
        slots=supply.slots - len(claims),
    )


def _is_enough(needs: Needs, left: Supply) -> bool:
    """Tell whether everything but the GPUs is there."""
    return (
        left.slots >= 1
        and left.cpu_cores >= needs.cpu_cores
        and left.memory_mib >= needs.memory_mib
        and left.disk_mib >= needs.disk_mib
    )


def _lacking(needs: Needs, left: Supply) -> str:
    """Return the first code of what is missing, or nothing."""
    gpus = gpu_codes(needs, tuple(device.gpu for device in left.devices))
    if gpus:
        return gpus[0]
    if _is_enough(needs, left):
        return ""
    short = {
        "cpu": left.cpu_cores < needs.cpu_cores,
        "memory": left.memory_mib < needs.memory_mib,
        "disk": left.disk_mib < needs.disk_mib,
        "slots_busy": True,
    }
    return next(code for code, is_short in short.items() if is_short)


def _choose(needs: Needs, free: Supply) -> tuple[Device, ...]:
    """Take devices of the smallest kind that fits, in the order of the record."""
    fitting = fitting_gpus(needs, tuple(device.gpu for device in free.devices))
    if not fitting:
        return ()
    model, vram_mib = fitting[0].model, fitting[0].vram_mib
    alike = [
        d for d in free.devices if (d.gpu.model, d.gpu.vram_mib) == (model, vram_mib) and d.gpu in fitting
    ]
    return tuple(alike[: wanted_gpus(needs)])


def _is_over(claim: Claim, now: MonotonicS) -> bool:
    return claim.expires_at is not None and claim.expires_at <= now
