"""Does a plan's faults to a test network, undoes them, and notes how long it takes until whoever was hurt is back.

Nothing here waits: `tick` does what is due. A node that does not answer while its faults change gets them later, since
they are written down first.
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from skyops_p2p.errors import ChainError, SkyopsError
from skyops_p2p.testnet.chain.place import find_chain
from skyops_p2p.testnet.chaos.plan import FaultPlan
from skyops_p2p.testnet.disturbance import heal, parse_groups, partition, slow
from skyops_p2p.testnet.launcher import STOP_TIMEOUT_S, Testnet
from skyops_p2p.testnet.network_chain import NetworkChain
from skyops_p2p.testnet.topology import CHAIN_NAME

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "restart": signal.SIGTERM}


@dataclass
class FaultDone:
    """A fault that was done. Times are seconds from the beginning of the campaign."""

    plan: FaultPlan
    began_s: float
    ended_s: float | None = None
    back_s: float | None = None
    """When its targets answered again."""
    trouble: str = ""
    """Code of the error for which it could not be done."""


@dataclass
class _Hurt:
    """A process that is to be there again."""

    fault: FaultDone
    name: str
    is_launched: bool = False
    chain_process: tuple[int, str] | None = field(default=None)


class Disturber:
    """Faults of one campaign.

    Args:
        testnet: With a chain, all alive.
    """

    def __init__(self, testnet: Testnet) -> None:
        self.done: list[FaultDone] = []
        self._testnet = testnet
        self.standing: list[FaultDone] = []
        """What hurts now."""
        self._hurt: list[_Hurt] = []
        self._stale: set[str] = set()
        """Nodes that may not have their newest faults in force."""

    @property
    def chain(self) -> NetworkChain:
        """The network's chain."""
        chain = self._testnet.chain
        assert chain is not None, "a campaign's network has one"
        return chain

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is hurt and everybody is back."""
        return not (self.standing or self._hurt or self._stale)

    def is_down(self, name: str) -> bool:
        """Tell whether a node is hurt so that it does not answer."""
        standing = any(name in fault.plan.targets and fault.plan.kind in _SIGNALS for fault in self.standing)
        return standing or any(hurt.name == name for hurt in self._hurt)

    def may_begin(self, plan: FaultPlan) -> bool:
        """Tell whether a fault hits only who is well, and leaves two thirds of the workers up.

        A plan sees to that as well, but not to how long it takes until somebody is back.
        """
        if plan.kind == "partition":
            return not any(fault.plan.kind == plan.kind for fault in self.standing)
        if any(self.is_down(name) for name in plan.targets):
            return False
        workers = [entry.name for entry in self._testnet.record.nodes if entry.is_worker]
        down = sum(self.is_down(name) for name in workers)
        return plan.role != "worker" or plan.kind not in _SIGNALS or down < max(1, len(workers) // 3)

    def begin(self, plan: FaultPlan, now_s: float) -> None:
        """Do a fault."""
        done = FaultDone(plan, now_s)
        self.done.append(done)
        self.standing.append(done)
        if plan.kind == "partition":
            self._change(
                lambda: partition(self._testnet, parse_groups([",".join(plan.targets)], self._testnet.record))
            )
        if plan.kind == "reorg":
            self._reorganise(done)
        for name in plan.targets if plan.kind not in ("partition", "reorg") else ():
            if plan.kind in _SIGNALS:
                self._signal(name, _SIGNALS[plan.kind])
            else:
                self._slow(name, delay_ms=plan.delay_ms, loss_permille=plan.loss_permille)

    def tick(self, now_s: float) -> None:
        """Undo what is over, start what is dead, and see who is back."""
        for done in [one for one in self.standing if one.began_s + one.plan.lasts_s <= now_s]:
            self.standing.remove(done)
            self._end(done, now_s)
        for name in sorted(self._stale):
            self._refresh(name)
        for hurt in list(self._hurt):
            if self._is_back(hurt, now_s):
                hurt.fault.back_s = now_s
                self._hurt.remove(hurt)

    def heal(self, now_s: float) -> None:
        """Undo everything now; who was down is started, and `tick` sees when it is back."""
        for done in self.standing:
            self._end(done, now_s)
        self.standing.clear()
        self._change(lambda: heal(self._testnet))

    def _end(self, done: FaultDone, now_s: float) -> None:
        plan = done.plan
        done.ended_s = now_s
        if plan.kind == "partition":
            self._change(lambda: partition(self._testnet, ()))
        for name in plan.targets if plan.kind not in ("partition", "reorg") else ():
            if plan.kind == "stop":
                self._signal(name, signal.SIGCONT)
                self._stale.add(name)
            if plan.kind in _SIGNALS:
                self._hurt.append(_Hurt(done, name))
            else:
                self._slow(name, delay_ms=0, loss_permille=0)
        self._stale.discard(CHAIN_NAME)

    # --- what is done -----------------------------------------------------------------------------------------------
    def _signal(self, name: str, number: signal.Signals) -> None:
        if name == CHAIN_NAME:
            self.chain.signal(number)
        else:
            self._testnet.signal(name, number)

    def _reorganise(self, done: FaultDone) -> None:
        try:
            self.chain.reorganise(done.plan.blocks, is_dropped=done.plan.is_dropped)
        except ChainError as error:  # told in the report
            done.trouble = error.code

    def _slow(self, name: str, *, delay_ms: int, loss_permille: int) -> None:
        try:
            slow(self._testnet, name, delay_ms=delay_ms, loss_permille=loss_permille)
        except SkyopsError:  # written down, but not in force yet
            self._stale.add(name)

    def _change(self, change: Callable[[], None]) -> None:
        """Change the faults of many nodes; those that do not answer get theirs by and by."""
        try:
            change()
        except SkyopsError:
            self._stale |= {entry.name for entry in self._testnet.record.nodes}

    def _refresh(self, name: str) -> None:
        """Put a node's written faults in force, if it answers."""
        try:
            self._testnet.set_faults(name, self._testnet.faults(name))
        except SkyopsError:
            return
        self._stale.discard(name)

    def _is_back(self, hurt: _Hurt, now_s: float) -> bool:
        """Start a process if it is dead, and tell whether it answers."""
        if hurt.name == CHAIN_NAME:
            return self._is_chain_back(hurt, now_s)
        entry = self._testnet.record.entry(hurt.name)
        is_late = now_s - (hurt.fault.ended_s or now_s) > STOP_TIMEOUT_S
        if self._testnet.state(entry) == "dead":
            hurt.is_launched = bool(self._testnet.start([hurt.name]))
            return False
        if hurt.fault.plan.kind == "restart" and not hurt.is_launched:
            if is_late:
                self._testnet.signal(hurt.name, signal.SIGKILL)
            return False
        try:
            return self._testnet.client(hurt.name).is_ready()
        except SkyopsError:
            return False

    def _is_chain_back(self, hurt: _Hurt, now_s: float) -> bool:
        is_late = now_s - (hurt.fault.ended_s or now_s) > STOP_TIMEOUT_S
        if self.chain.state() != "dead":
            if hurt.fault.plan.kind == "restart" and not hurt.is_launched:
                if is_late:
                    self.chain.signal(signal.SIGKILL)
                return False
            return find_chain(self.chain.place) is not None
        if hurt.chain_process is None or not hurt.is_launched:
            hurt.chain_process, hurt.is_launched = self.chain.launch(), True
        return False
