"""The adversaries, as data: what each group of attackers does in which epoch, whatever the rule's insides are."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attack:
    """One script; all attackers of a world follow it."""

    name: str
    cheats: float = 0.0
    """Part of its jobs that an attacker answers with a wrong result."""
    honest_until: int = 0
    """Epoch before which it does not cheat."""
    cycle: tuple[int, int] = (0, 0)
    """Honest epochs, then cheating ones, over and over; (0, 0): always as `cheats` says."""
    fakes: int = 0
    """Receipts among attackers in each epoch, in worlds of 500; others in proportion."""
    complaints: int = 0
    """Negative ratings of the best honest workers in each epoch, likewise."""
    is_whitewashing: bool = False
    """It comes back under a new name when a stranger would stand better."""
    whales: int = 0
    """All attackers' stake is on so many of them, and only they work; 0: evenly on all."""
    spies: float = 0.0
    """Part of the attackers that always work honestly."""
    verifier_share: float | None = None
    """Chance that a drawn verifier is one of theirs and passes what is theirs; None: their share of stake."""
    is_framing: bool = False
    """Their verifiers also call right results wrong."""
    is_copying: bool = False
    """They do not compute as verifiers either, and hope to copy."""
    is_overmetering: bool = False
    """Their meters run fast, so that lanes stop after an interval."""
    is_undermetering: bool = False
    """As requesters their meters run slow, so that lanes stop after an interval that is not paid in full."""
    withholds: float = 0.0
    """Part of their bids that they do not reveal."""
    forks: float = 0.0
    """Chance in an epoch that an attacker who was caught shows another history without that job."""
    is_eclipsing: bool = False
    """One requester sees only what the attackers let through; the table is of its jobs."""


NO_ATTACK = Attack("no attack")
ATTACKS = (
    Attack("naive", cheats=0.9),
    Attack("lazy copier", cheats=0.7, is_copying=True),
    Attack("clique", cheats=0.5, fakes=600),
    Attack("on-off", cheats=1.0, cycle=(12, 8), fakes=200),
    Attack("whitewash", cheats=1.0, is_whitewashing=True),
    Attack("badmouth", cheats=0.5, complaints=60),
    Attack("stealth", cheats=0.1, fakes=200),
    Attack("exit scam", cheats=1.0, honest_until=70, fakes=200),
    Attack("whale", cheats=0.3, fakes=600, whales=10),
    Attack("combination", cheats=0.5, fakes=600, complaints=60, is_whitewashing=True, spies=0.2),
    Attack("verifier cartel", cheats=0.5, verifier_share=0.3, is_framing=True),
    Attack("meter fraud, workers", is_overmetering=True),
    Attack("meter fraud, requesters", is_undermetering=True),
    Attack("withheld reveals", withholds=0.8),
    Attack("equivocation", cheats=0.5, fakes=200, forks=0.5),
    Attack("eclipse", cheats=0.9, fakes=200, is_eclipsing=True),
)
BY_NAME = {attack.name: attack for attack in (NO_ATTACK, *ATTACKS)}


def is_cheating_time(attack: Attack, epoch: int) -> bool:
    """Tell whether attackers cheat at all in an epoch."""
    if epoch < attack.honest_until:
        return False
    honest, bad = attack.cycle
    return not bad or epoch % (honest + bad) >= honest
