"""What a valid job leaves to be wished for."""

from typing import Any

import pytest

from skyops_p2p.core.jobs.remarks import remarks_on
from skyops_p2p.types import UnixMs
from tests.unit.core.jobs.examples import spec

NOW = UnixMs(1_800_000_000_000)
GOOD: dict[str, Any] = {
    "image": "python@sha256:" + "ab" * 32,
    "outputs": [{"path": "/results"}],
    "price": {"total_max": 5},
    "verification": {"class": "exact"},
}


def test_a_job_that_says_everything_gets_no_remark() -> None:
    assert remarks_on(spec(**GOOD), now=NOW) == ()
    assert remarks_on(spec(**(GOOD | {"image": "file:image.tar"})), now=NOW) == ()
    assert remarks_on(spec(**GOOD, placement={"reputation_min": 0.4}), now=NOW) == ()


@pytest.mark.parametrize(
    ("changes", "beginning"),
    [
        ({"image": "python:3.12"}, "image: python:3.12 may change"),
        ({"command": ["cat", "a", "|", "wc"]}, "command: no shell runs"),
        (
            {"inputs": [{"path": "/a", "uri": "ipfs://QmDataHash", "size": "1B"}]},
            "inputs.0.uri: ipfs://QmDataHash",
        ),
        ({"inputs": [{"path": "/a", "uri": "job:one/out"}]}, "inputs.0.size: unknown"),
        ({"outputs": []}, "outputs: none"),
        ({"price": 3}, "price.total_max: no ceiling for the whole job; the hourly one is 3 credits"),
        ({"verification": {"class": "interactive"}}, "verification.class: interactive"),
        ({"verification": {"class": "training"}}, "verification.class: training, so results are not checked"),
        ({"placement": {"reputation_min": 0.399}}, "placement.reputation_min: below 0.4, the usual gate"),
        ({"resources": {"network": ["example.org:443"]}}, "resources.network: no worker lets a program"),
        ({"mode": "flex"}, "checkpoint: none"),
        ({"checkpoint": {"interval": "1h"}}, "checkpoint.interval: not shorter"),
        ({"deadline": "2027-01-15T07:00:00Z"}, "deadline: is past"),
        ({"deadline": "2027-01-15T08:30:00Z"}, "deadline: 30m from now"),
        (
            {"runtime": "wasm", "image": "", "module": "file:x", "command": [], "resources": {"gpu": 1}},
            "resources.gpu: a wasm module cannot",
        ),
    ],
)
def test_each_remark_names_its_field(changes: dict[str, Any], beginning: str) -> None:
    remarks = remarks_on(spec(**(GOOD | changes)), now=NOW)
    assert [remark for remark in remarks if remark.startswith(beginning)], remarks
    assert len(remarks) == 1


def test_a_real_content_id_gets_no_remark() -> None:
    cids = (
        "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",
        "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",
    )
    inputs = [{"path": f"/{cid}", "uri": f"cid:{cid}/part", "size": "1Gi"} for cid in cids]
    assert remarks_on(spec(**GOOD, inputs=inputs), now=NOW) == ()
