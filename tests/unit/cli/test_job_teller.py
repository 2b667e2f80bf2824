"""What is told of a job while it is watched: a whole life, as a person reads it."""

from skyops_p2p import limits
from skyops_p2p.cli.job_teller import JobTeller, ending, next_steps
from skyops_p2p.node.jobs.job_views import JobView, ShardView
from skyops_p2p.node.jobs.search_views import search_view
from skyops_p2p.node.match_view import MatchStepView, MatchView, ReasonCountView
from tests.gateway import fake_jobs as fj

NOW_S = fj.SUBMITTED_UNIX_MS / 1000 + 133
LOST = fj.attempt(code="worker_lost")


def told(*views: JobView, name: str = "", is_new: bool = False) -> list[str]:
    teller = JobTeller(name, is_new=is_new)
    return [sentence for view in views for sentence in teller.news(view)]


def alone(state: str, **more: object) -> JobView:
    return fj.job(state, fj.shard(state, **more))


def test_a_job_that_is_resumed_elsewhere_is_a_story() -> None:
    leased = {"attempts": (fj.attempt(),), "epoch": 1, "worker": fj.BOB}
    first = (fj.checkpoint(),)
    again = {
        "attempts": (LOST, fj.attempt(2, fj.CAROL)),
        "epoch": 2,
        "worker": fj.CAROL,
        "checkpoints": first,
    }
    story = told(
        fj.job("preparing", text="encrypting the inputs"),
        fj.job("preparing", text="encrypting the inputs: 5 of 10 bytes"),
        alone("matching", text="looking for a worker"),
        alone("waiting", text="no worker yet: no_answers"),
        alone("matching", text="looking for a worker"),
        alone("waiting", text="no worker yet: no_answers"),
        alone("opening", **leased),
        alone("running", **leased, phase="fetching"),
        alone("running", **leased, phase="preparing"),
        alone("running", **leased, phase="running"),
        alone("running", **leased, phase="running", checkpoints=first),
        alone(
            "matching", attempts=(LOST,), epoch=1, checkpoints=first, text="worker_lost: …", phase="running"
        ),
        alone("opening", **again),
        alone("running", **again, phase="fetching"),
        alone("running", **again, phase="running"),
        alone("running", **again, phase="collecting"),
        alone("fetching", **again, phase="delivering"),
        alone("succeeded", **again, code="succeeded"),
        is_new=True,
    )
    assert story == [
        "encrypting the inputs",
        "the inputs are encrypted",
        "looking for a worker",
        "no worker, no_answers: No invited worker answered in time.",
        f"attempt 1: leased to {fj.BOB[-8:]} at 1.25 credits an hour",
        "fetching the inputs",
        "preparing the runtime",
        "running",
        "checkpoint 1 saved at 120/500: step-120, 3.0 MiB",
        "attempt 1 ended, worker_lost: Nobody reaches the worker. It goes on from checkpoint 1 at 120/500.",
        "looking for a worker",
        f"attempt 2: leased to {fj.CAROL[-8:]} at 1.25 credits an hour",
        "fetching the inputs",
        "running again, from checkpoint 1",
        "collecting the outputs",
        "fetching the outputs",
    ]


def test_without_a_checkpoint_it_begins_anew() -> None:
    story = told(alone("running", attempts=(fj.attempt(),)), alone("matching", attempts=(LOST,)))
    assert story[1] == "attempt 1 ended, worker_lost: Nobody reaches the worker. It begins anew."


def test_what_another_worker_computed_is_taken_and_nothing_runs_again() -> None:
    wrong = {"attempts": (fj.attempt(code="result_wrong"),), "epoch": 1, "checkpoints": (fj.checkpoint(),)}
    story = told(alone("checking", attempts=(fj.attempt(),), epoch=1), alone("fetching", **wrong))
    (text,) = (one for one in story if one.startswith("attempt 1 ended, result_wrong"))
    assert text.endswith(" Another worker's result is taken, and nothing runs again.")
    assert "goes on" not in text


def test_checkpoints_that_begin_anew_are_told_also_where_older_ones_had_higher_numbers() -> None:
    before = alone("checking", attempts=(fj.attempt(),), epoch=1, checkpoints=(fj.checkpoint(6, 60),))
    anew = (fj.attempt(code="result_wrong"), fj.attempt(2, fj.CAROL))
    first = (fj.checkpoint(1, 10, epoch=2, worker=fj.CAROL),)
    story = told(before, alone("running", attempts=anew, epoch=2, phase="running", checkpoints=first))
    assert "checkpoint 1 saved at 10/500: step-10, 3.0 MiB" in story


def test_what_a_view_left_out_is_told_from_the_next() -> None:
    """Views are coalesced: a whole attempt may have passed between two."""
    ended = fj.attempt(code="busy", text="too many leases")
    story = told(alone("running", attempts=(ended, fj.attempt(2, fj.CAROL)), phase="running", epoch=2))
    assert story == [
        f"attempt 1: leased to {fj.BOB[-8:]} at 1.25 credits an hour",
        "attempt 1 ended, busy: The worker serves too many leases. (too many leases) It begins anew.",
        f"attempt 2: leased to {fj.CAROL[-8:]} at 1.25 credits an hour",
        "running",
    ]


def test_shards_and_jobs_are_told_apart() -> None:
    array = fj.job("matching", fj.shard("matching", 0), fj.shard("running", 1, phase="running"))
    assert told(array, name="sweep") == [
        "sweep: shard 0: looking for a worker",
        "sweep: shard 1: running",
    ]


def live(*shards: ShardView, **more: object) -> str:
    teller = JobTeller()
    teller.news(fj.job(shards[0].state if shards else "preparing", *shards, **more))
    return teller.live(NOW_S)


def test_the_live_line_shows_how_far_it_is() -> None:
    assert JobTeller().live(NOW_S) == ""
    assert live(text="encrypting the inputs: 5 of 10 bytes") == "encrypting the inputs: 5 of 10 bytes, 2m 13s"
    assert live(fj.shard("matching", text="looking for a worker")) == "looking for a worker, 2m 13s"
    assert live(fj.running()) == (
        "running  ████░░░░░░░░░░░░░░░░  120/500 24%  loss 0.31, accuracy 0.914  1m 35s left (120 of 500 steps in 30 s)"
    )
    fetching = fj.running(phase="fetching", phase_done=1 << 20, phase_total=4 << 20)
    assert live(fetching) == "fetching the inputs  █████░░░░░░░░░░░░░░░  1.0 MiB of 4.0 MiB"
    assert live(fj.shard("waiting", text="pause", phase="running")) == "pause, 2m 13s"


def test_the_live_line_of_an_array_counts_its_shards() -> None:
    assert live(fj.running(0), fj.running(1), fj.shard("succeeded", 2)) == (
        "████░░░░░░░░░░░░░░░░  1/3 shards done (2 running, 1 succeeded)"
    )


# --- the end ----------------------------------------------------------------------------------------------------
def test_success_says_how_to_get_the_outputs() -> None:
    view = fj.job(
        "succeeded", fj.shard("succeeded", result_bytes=3 << 20, code="succeeded"), code="succeeded"
    )
    assert ending(view, NOW_S) == [
        "succeeded after 2m 13s: The program ended well and its outputs are there.",
        "its outputs (3.0 MiB): skyops result 6b6577c4ec70",
        "its log: skyops logs 6b6577c4ec70",
    ]


def test_failure_says_why_and_what_to_do() -> None:
    shard = fj.shard("failed", code="program_failed", exit_code=3, checkpoints=(fj.checkpoint(),))
    view = fj.job("failed", shard, code="program_failed", text="ended by itself with code 3")
    assert ending(view, NOW_S) == [
        "failed after 2m 13s, program_failed: The program ended with an exit code other than 0.",
        "more: ended by itself with code 3",
        "exit code 3",
        "what to do: Read the end of its log.",
        "its log: skyops logs 6b6577c4ec70",
        "run it again from its last checkpoint: skyops retry 6b6577c4ec70",
    ]


def test_a_cancelled_job_can_be_run_again() -> None:
    view = fj.job("cancelled", fj.shard("cancelled", code="cancelled"), code="cancelled")
    assert ending(view, NOW_S)[0] == "cancelled after 2m 13s: The job was cancelled."
    assert next_steps(view)[-1] == "run it again: skyops retry 6b6577c4ec70"


# --- the match ------------------------------------------------------------------------------------------------------
def step(kind: str, count: int = 0, *, peer: str = "", code: str = "") -> MatchStepView:
    return MatchStepView(step=kind, round=1, peer_id=peer, code=code, count=count)


ASKED = (step("asked", 3), step("answered", peer=fj.BOB, code="accepted"), step("answered", code="busy"))
MATCHED = (*ASKED, step("closed", 1), step("revealed", 1), step("decided", 1), step("awarding", peer=fj.BOB))


def ended_match(code: str, *reasons: str) -> MatchView:
    told = tuple(
        ReasonCountView(code=reason, nodes=1, meaning="It says so.", change="Wait.") for reason in reasons
    )
    fields = {"is_matched": code == "accepted", "code": code, "job_id": "aa", "rounds": 1, "elapsed_ms": 9}
    return MatchView.model_validate(fields | {"reasons": told, "outcomes": ()})


def searching(
    number: int, steps: tuple[MatchStepView, ...], ended: MatchView | None = None, **more: object
) -> JobView:
    state = str(more.pop("state", "matching"))
    return alone(state, search=search_view(number, steps, ended), **more)


def test_the_steps_of_a_match_are_told_as_they_come_and_before_the_lease() -> None:
    leased = {"attempts": (fj.attempt(),), "epoch": 1, "worker": fj.BOB}
    story = told(
        searching(1, ASKED),
        searching(1, MATCHED[:4]),
        searching(1, MATCHED, ended_match("accepted"), state="opening", **leased),
        searching(1, MATCHED, ended_match("accepted"), state="running", phase="running", **leased),
    )
    assert story == [
        "looking for a worker",
        "tender sent, 3 workers asked",
        "bids sealed: 1 (answers: 1 bid, 1 busy)",
        "bids opened: 1",
        "award decided, 1 qualify",
        f"award offered to {fj.BOB[-8:]}",
        f"attempt 1: leased to {fj.BOB[-8:]} at 1.25 credits an hour",
        "running",
    ]


def test_searches_in_vain_tell_their_steps_once_and_each_new_reason() -> None:
    story = told(
        searching(1, ASKED[:1]),
        searching(1, ASKED[::2], ended_match("all_declined", "busy")),
        searching(2, ASKED[:1]),
        searching(2, ASKED[::2], ended_match("all_declined", "busy")),
        searching(3, ASKED[::2], ended_match("all_declined", "price_too_low")),
        searching(4, MATCHED, ended_match("accepted")),
    )
    assert story == [
        "looking for a worker",
        "tender sent, 3 workers asked",
        "answers: 1 busy",
        "nobody took it, 1 x busy: It says so. Wait.",
        "nobody took it, 1 x price_too_low: It says so. Wait.",
        "tender sent, 3 workers asked",
        "bids sealed: 1 (answers: 1 bid, 1 busy)",
        "bids opened: 1",
        "award decided, 1 qualify",
        f"award offered to {fj.BOB[-8:]}",
    ]


def test_a_match_of_long_ago_is_not_told_to_who_begins_to_watch() -> None:
    leased = {"attempts": (fj.attempt(),), "epoch": 1, "worker": fj.BOB}
    story = told(searching(1, MATCHED, ended_match("accepted"), state="running", phase="running", **leased))
    assert "tender sent, 3 workers asked" not in story


def test_what_a_view_holds_of_a_search_is_bounded() -> None:
    steps = tuple(step("widened") for _ in range(100)) + tuple(
        step("answered", code=f"code{number}") for number in range(100)
    )
    many = ended_match("all_declined", *(f"code{number}" for number in range(100)))
    search = search_view(1, steps, many)
    assert search is not None
    assert len(search.steps) == limits.SEARCH_STEPS_SHOWN
    assert len(search.answers) == len(search.reasons) == limits.SEARCH_REASONS_SHOWN
    assert search_view(0, (), None) is None
