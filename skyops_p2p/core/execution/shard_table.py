"""The table of a shard's machine: which event may come in which state, and where it may lead; see shard.py.

Spec: protocol/05-execution.md, "Shard". Diagram: machines/execution-shard.
"""

from skyops_p2p.core.execution import shard_events as ev
from skyops_p2p.core.execution.shard_record import ShardState
from skyops_p2p.core.machine import DeadlineReached, Table, to

_I, _W, _M, _O = ShardState.IDLE, ShardState.WAITING, ShardState.MATCHING, ShardState.OPENING
_R, _F, _OK = ShardState.RUNNING, ShardState.FETCHING, ShardState.SUCCEEDED
_X, _C, _K = ShardState.FAILED, ShardState.CANCELLED, ShardState.CHECKING
_OPEN = (_W, _M, _O, _R, _K, _F)
_OVER = (_OK, _X, _C)
_LEASED = (_O, _R, _K, _F)
_NEXT = (_W, _M, _X)
"""Where a failed attempt may lead."""
_OF_A_LEASE = (ev.LeaseGranted, ev.LeaseDenied, ev.ResultReceived, ev.LeaseLost)
_OF_OUTPUTS = (ev.OutputsFetched, ev.OutputsUnavailable)
_OF_A_SEARCH = (ev.MatchFound, ev.MatchFailed)
_OF_A_CHECK = (ev.RevealWanted, ev.ResultAccepted, ev.ResultRejected, ev.ResultReplaced)

TRANSITIONS: Table = {
    (_I, ev.ShardBegun): to(_M),
    **{(state, ev.ShardRestored): to(_M) for state in (_I, _M)},
    (_W, ev.ShardRestored): to(_W),
    (_W, ev.MatchFound): to(_W, _O),
    (_W, ev.MatchFailed): to(_W),
    **{(state, ev.ShardRestored): to(_O) for state in (_O, _R)},
    **{(state, ev.ShardRestored): to(state) for state in (_K, _F)},
    (_M, ev.MatchFound): to(_M, _O),
    (_M, ev.MatchFailed): to(_W, _X),
    (_O, ev.LeaseGranted): to(_O, _R),
    **{(state, ev.LeaseDenied): to(state, *_NEXT) for state in (_O, _R)},
    **{(state, ev.ResultReceived): to(state, _F, _OK, *_NEXT) for state in (_O, _R)},
    **{(state, ev.LeaseLost): to(state, *_NEXT) for state in (_O, _R)},
    **{(state, ev.ResultCommitted): to(state, _K) for state in (_O, _R)},
    **{(_K, event): to(_K) for event in (*_OF_A_LEASE, ev.ResultCommitted, ev.RevealWanted)},
    (_K, ev.ResultAccepted): to(_K, _F, _OK, _X),
    (_K, ev.ResultRejected): to(_K, *_NEXT),
    (_K, ev.ResultReplaced): to(_K, _F, _OK, _X),
    (_F, ev.OutputsFetched): to(_F, _OK),
    (_F, ev.OutputsUnavailable): to(_F, *_NEXT),
    **{(state, ev.CheckpointReceived): to(state) for state in (*_OPEN, *_OVER)},
    **{(state, ev.PreemptionNoticed): to(state) for state in (*_OPEN, *_OVER)},
    **{(state, ev.CancelRequested): to(_C) for state in (_I, *_OPEN)},
    **{(state, ev.CancelRequested): to(state) for state in _OVER},
    **{(state, ev.RetryRequested): to(_M) for state in (_X, _C)},
    (_OK, ev.ResultDoubted): to(_M),
    (_W, DeadlineReached): to(_W, _M, _X),
    **{(state, DeadlineReached): to(state, _X) for state in (_M, _O, _K, _F)},
    (_R, DeadlineReached): to(_R, *_NEXT),
    **{(state, DeadlineReached): to(state) for state in (_I, *_OVER)},
    # What was under way when the shard went on may still report.
    **{(state, event): to(state) for state in (_W, _M, _F, *_OVER) for event in _OF_A_LEASE},
    **{(state, event): to(state) for state in (_W, _M, _O, _R, _K, *_OVER) for event in _OF_OUTPUTS},
    **{(state, ev.ResultCommitted): to(state) for state in (_W, _M, _F, *_OVER)},
    **{(state, event): to(state) for state in (_W, _M, _O, _R, _F, *_OVER) for event in _OF_A_CHECK},
    **{(state, event): to(state) for state in (*_LEASED, *_OVER) for event in _OF_A_SEARCH},
    (_R, ev.LeaseGranted): to(_R),
    **{(state, ev.GangBroken): to(state, _X) for state in (_W, _M)},
    **{(state, ev.GangBroken): to(state) for state in (*_LEASED, *_OVER)},
}
