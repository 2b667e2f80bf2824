"""What a node shows of reputation; all but `own_credibility` is the same on every node with the same evidence."""

from typing import Literal

from skyops_p2p.node.views import View

RoleName = Literal["worker", "requester"]
StandingName = Literal["good", "below_gate", "banned", "not_looked_up"]
"""At the gate or above; below it; two histories or slashed for good; the chain did not say its stake yet."""


class ReputationRowView(View):
    """One account in one role."""

    wallet: str
    peer_id: str
    """Its node on the map; empty if there is none."""
    role: RoleName
    score: int
    """Credibility C in thousandths, 0 to 1000."""
    credibility: int
    """The same in millionths."""
    standing: StandingName
    stake_micro: int
    """Microcredits at stake."""
    good_micro: int
    """Microcredits of good evidence that count."""
    bad_micro: int
    """And of bad."""
    raters: int
    """Accounts that are heard about it."""
    checked: int
    """Of a worker: results that others have checked."""
    own_credibility: int
    """As this node sees it with its own experience, millionths, for its own jobs alone; not the score."""


class VoiceView(View):
    """What one rater adds."""

    wallet: str
    heard: int
    """Part of what it says that counts, millionths."""
    good_micro: int
    """What that adds for the account."""
    bad_micro: int
    """And against it."""


class SourceView(View):
    """A receipt or a verdict, and what it says."""

    receipt: str
    """Hex of its digest; `skyops receipts` has it. Empty: there is none, and the verdict alone says it."""
    rater: str
    kind: Literal["good", "wrong", "soft", "found"]
    """`found`: wrong by a verdict, where there is no receipt."""
    value_micro: int
    epoch: int
    """In which its job ended, or the verdict was made: days since 1970."""
    outcome: str
    verdict: str = ""
    """Hex of the digest of the verdict that decides; empty: none has compared the result."""


class ChangeView(View):
    """What the score would be if one thing were otherwise."""

    code: str
    """`verified_job`, `unverified_job`, `soft_fail`, `wrong_result`, `full_stake`, `full_uptime`, `full_speed`."""
    score: int


class ExplanationView(View):
    """Why an account has its score in one role; parts in millionths."""

    role: RoleName
    accuracy: int
    availability: int
    efficiency: int
    prior: int
    """What the accuracy would be without evidence."""
    memory: int
    """What fraud memory leaves of it."""
    fraud_micro: int
    """Results that others found wrong, microcredits, decayed."""
    own_good_micro: int
    """What this node itself has seen of it, at full value."""
    own_bad_micro: int
    voices: tuple[VoiceView, ...]
    """The weightiest first."""
    sources: tuple[SourceView, ...]
    """The newest first."""
    changes: tuple[ChangeView, ...]
    slots_probed: int = 0
    """Of a worker, within 28 days: ten minutes in which it answered witnesses, or was silent."""
    slots_answered: int = 0
    """Of them, those in which it answered."""
    slots_announced: int = 0
    """Others, in which it was silent and had said goodbye."""
    slots_voices: int = 0
    """Witnesses that were heard in all of these together."""
    has_contradicted: bool = False
    """As a witness it has signed two statements of one watch: it has no availability."""


class ReputationView(View):
    """All scores that a node knows, or those of one account with their reasons."""

    epoch: int
    """Days since 1970 that they are of; 0 before the first round."""
    parameters: str
    """Digest of the parameters, hex."""
    evidence: str
    """Digest of the receipts and verdicts that are held, hex: nodes with the same one, and the same stakes, have the
    same scores, unless one of them is behind.
    """
    probes: str = ""
    """Digest of the witnesses' statements that are held, hex, to compare likewise; empty where nobody takes part."""
    receipts: int
    """That are held."""
    waiting: int
    """Of them, those that are not counted: nobody could look up the money of their pair yet, or there is none."""
    is_behind: bool = False
    """Something that is held is not in these scores yet: the next round, within seconds, brings it in."""
    is_chain_away: bool
    """The chain did not answer the last look: stakes and money are those of before."""
    gate: int
    """In thousandths: what a job asks of its worker by default."""
    rows: tuple[ReputationRowView, ...]
    """Workers first, the best first; ROWS_MAX at most."""
    explanations: tuple[ExplanationView, ...] = ()
    """Of the account that was asked for, in each role."""
