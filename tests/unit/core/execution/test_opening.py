"""EXE-2, EXE-3, EXE-5, EXE-12: a lease is for the job of its tender, and for the newest epoch."""

from typing import Any

import pytest

from skyops_p2p import limits
from skyops_p2p.core.auction.leases import LeaseTerms
from skyops_p2p.core.execution.opening import EpochMemory, OpenedLease, check_opening
from skyops_p2p.core.jobs.encoding import encode_spec, spec_digest
from skyops_p2p.core.jobs.needs import needs_of
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.crypto.node_key import peer_id_to_bytes
from skyops_p2p.errors import RemoteProtocolError
from skyops_p2p.wire import canonical
from skyops_p2p.wire.envelope import seal
from skyops_p2p.wire.messages.execution import InputPart, SecretPart
from tests.unit.core.execution.offers import SECRET, job, request_for, terms_of
from tests.unit.core.people import ALICE, BOB, CAROL, NOW, RULES, Person
from tests.vectors.execution_examples import bundle, checkpoint_receipt, lease_open


def open_lease(of: JobSpec | None = None, terms: LeaseTerms | None = None, **changes: Any) -> OpenedLease:
    """Let alice open a lease of hers with bob; all fits but for the changes."""
    of = of or job()
    request = request_for(of, **changes)
    return check_opening(request, terms or terms_of(of), network=RULES.network, own=BOB.peer, now=NOW)


def refusal(rule: str, **arguments: Any) -> str:
    with pytest.raises(RemoteProtocolError) as refused:
        open_lease(**arguments)
    assert refused.value.rule == rule
    return refused.value.code


def test_lease_for_the_job_of_the_tender_is_taken() -> None:
    opened = open_lease()
    facts = opened.facts
    assert (facts.requester, facts.worker, facts.shard, facts.epoch) == (ALICE.peer, BOB.peer, 3, 1)
    assert facts.spec_digest == spec_digest(job())
    assert opened.spec == job()
    assert opened.resume is None


def test_secrets_and_keys_are_in_no_text_of_a_lease() -> None:  # EXE-9
    text = repr(open_lease())
    assert "hush" not in text
    assert str(lease_open().content_key) not in text


# --- the job ----------------------------------------------------------------------------------------------------------
def test_job_of_another_digest_is_refused() -> None:  # EXE-2
    assert refusal("EXE-2", terms=terms_of(job(), spec_digest=bytes(32))) == "spec_refused"


def test_job_in_another_spelling_is_refused() -> None:  # EXE-2
    data = encode_spec(job())
    with pytest.raises(RemoteProtocolError) as refused:
        open_lease(spec=data + b"\x00")
    assert refused.value.code == "malformed"
    tree = canonical.decode(data)
    assert isinstance(tree, dict)
    tree[0], tree[1] = tree[0][::-1], tree[1][::-1]
    with pytest.raises(RemoteProtocolError) as refused:
        open_lease(spec=canonical.encode(tree))
    assert refused.value.code == "non_canonical"


@pytest.mark.parametrize(
    "tender",
    [
        {"needs": needs_of(job(resources={"cpu": 2}))},
        {"mode": "flex"},
        {"duration_s_max": 3599},
    ],
    ids=["needs", "mode", "duration"],
)
def test_job_that_needs_other_than_the_tender_said_is_refused(tender: dict[str, Any]) -> None:  # EXE-3
    assert refusal("EXE-3", terms=terms_of(job(), **tender)) == "spec_refused"


@pytest.mark.parametrize(("shard", "shards"), [(8, 8), (1023, 8), (3, 7), (3, 9)])
def test_shard_that_the_job_does_not_have_is_refused(shard: int, shards: int) -> None:  # EXE-3
    assert refusal("EXE-3", shard=shard, shards=shards) == "spec_refused"


@pytest.mark.parametrize("paths", [(), ("/other",), ("/data", "/data"), ("/data", "/more")])
def test_inputs_of_another_job_are_refused(paths: tuple[str, ...]) -> None:  # EXE-3
    inputs = tuple(InputPart(path=path, bundle=bundle(7), is_file=False) for path in paths)
    assert refusal("EXE-3", inputs=inputs) == "spec_refused"


def test_module_and_image_travel_as_inputs_of_their_own() -> None:  # EXE-3
    data = InputPart(path="/data", bundle=bundle(7), is_file=False)
    for path, changes in (
        ("/module", {"image": "", "command": (), "module": "file:main.wasm", "runtime": "wasm"}),
        ("/image", {"image": "file:image.tar"}),
    ):
        of = job(**changes)
        program = InputPart(path=path, bundle=bundle(8), is_file=True)
        assert open_lease(of, inputs=(data, program)).spec == of
        assert refusal("EXE-3", of=of, inputs=(data,)) == "spec_refused"


@pytest.mark.parametrize(
    "secrets",
    [
        (),
        (SECRET, SECRET),
        (SecretPart(name="OTHER", value=b"hush"),),
        (SecretPart(name="API_KEY", value=b"hush", path="/secrets/key"),),
        (SecretPart(name="API_KEY", value=b"\xff"),),
        (SecretPart(name="API_KEY", value=b"a\x00b"),),
    ],
    ids=range(6),
)
def test_secrets_of_another_job_or_form_are_refused(secrets: tuple[SecretPart, ...]) -> None:  # EXE-3
    assert refusal("EXE-3", secrets=secrets) == "spec_refused"


@pytest.mark.parametrize("surplus", [0, 1])
def test_secrets_together_are_bounded(surplus: int) -> None:  # EXE-3
    names = [f"S{number}" for number in range(5)]
    sizes = [limits.SECRET_BYTES_MAX] * 4 + [surplus]
    of = job(secrets=names)
    parts = tuple(SecretPart(name=name, value=b"x" * size) for name, size in zip(names, sizes, strict=True))
    if surplus:
        assert refusal("EXE-3", of=of, secrets=parts) == "spec_refused"
    else:
        assert open_lease(of, secrets=parts).spec == of


def test_job_whose_paths_this_worker_does_not_mount_is_refused() -> None:  # EXE-22
    of = job(outputs=[{"path": "/etc/cron.d"}])
    assert refusal("EXE-3", of=of) == "spec_refused"


# --- going on ---------------------------------------------------------------------------------------------------------
def receipt(who: Person = CAROL, **changes: Any) -> bytes:
    fields = {"requester": peer_id_to_bytes(ALICE.peer), "worker": peer_id_to_bytes(who.peer)}
    return seal(checkpoint_receipt(**fields | changes), who.node_key, RULES.network)


def test_lease_goes_on_from_the_checkpoint_of_any_worker() -> None:  # EXE-12
    opened = open_lease(epoch=2, resume=receipt())
    assert opened.resume is not None
    assert opened.resume.signer == CAROL.peer


@pytest.mark.parametrize(
    "changes",
    [
        {"requester": peer_id_to_bytes(CAROL.peer)},
        {"job_id": bytes(16)},
        {"shard": 4},
        {"epoch": 2},
        {"epoch": 3},
    ],
    ids=["requester", "job", "shard", "same epoch", "later epoch"],
)
def test_checkpoint_of_another_job_shard_or_epoch_is_refused(changes: dict[str, Any]) -> None:  # EXE-12
    assert refusal("EXE-12", epoch=2, resume=receipt(**changes)) == "spec_refused"


def test_forged_checkpoint_is_refused() -> None:
    data = receipt()
    with pytest.raises(RemoteProtocolError) as refused:
        open_lease(epoch=2, resume=data[:-1] + bytes([data[-1] ^ 1]))
    assert refused.value.code == "bad_signature"


# --- epochs -----------------------------------------------------------------------------------------------------------
def test_only_an_epoch_above_the_newest_is_taken() -> None:  # EXE-5
    memory, shard = EpochMemory(), (ALICE.peer, bytes(16), 0)
    assert memory.newest(*shard) == 0
    assert [memory.take(*shard, epoch) for epoch in (1, 1, 3, 2, 3, 4)] == [
        True,
        False,
        True,
        False,
        False,
        True,
    ]
    assert memory.newest(*shard) == 4


def test_epochs_of_other_requesters_jobs_and_shards_are_their_own() -> None:  # EXE-5
    memory = EpochMemory()
    assert memory.take(ALICE.peer, bytes(16), 0, 9)
    for requester, job_id, shard in (
        (CAROL.peer, bytes(16), 0),
        (ALICE.peer, bytes([1] * 16), 0),
        (ALICE.peer, bytes(16), 1),
    ):
        assert memory.take(requester, job_id, shard, 1)


def test_epochs_remembered_are_bounded_and_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RUN_EPOCHS_REMEMBERED_MAX", 3)
    memory = EpochMemory()
    for shard in range(3):
        memory.take(ALICE.peer, bytes(16), shard, 5)
    memory.take(ALICE.peer, bytes(16), 0, 6)
    memory.take(ALICE.peer, bytes(16), 3, 1)
    assert len(memory) == 3
    assert [memory.newest(ALICE.peer, bytes(16), shard) for shard in range(4)] == [6, 0, 5, 1]


# --- whether its results are compared ---------------------------------------------------------------------------------
def test_draw_comes_just_if_results_are_compared() -> None:  # VER-1
    draw = bytes([7] * 32)
    for kind in ("exact", "numeric"):
        compared = job(verification={"class": kind, "redundancy": 2})
        assert open_lease(compared, draw=draw).request.draw == draw
        assert refusal("VER-1", of=compared) == "spec_refused"
    others = [
        job(),
        *(job(verification={"class": kind, "redundancy": 2}) for kind in ("training", "generation")),
    ]
    for other in (*others, job(verification={"class": "exact", "redundancy": 1})):
        assert refusal("VER-1", of=other, draw=draw) == "spec_refused"
