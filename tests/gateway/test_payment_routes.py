"""The routes about payments, in process."""

import pytest

from tests.gateway import fake_jobs as fj
from tests.gateway.conftest import FakeNode
from tests.gateway.fake_payments import LANE, PAID
from tests.gateway.test_routes import Api


@pytest.fixture
def api(fake_node: FakeNode) -> Api:
    return Api(fake_node)


async def test_a_bill_says_amounts_exactly(api: Api, fake_node: FakeNode) -> None:
    fake_node.jobs.found.append(fj.FakeJob(fj.job("running", fj.running())))
    answer = await api.ask("GET", "/v1/jobs/train/billing")
    assert answer.status_code == 200, answer.text
    assert answer.json()["paid_wei"] == str(PAID)
    assert answer.json()["lanes"][0]["paid_wei"] == str(PAID)


async def test_earnings_pairs_and_receipts_are_shown(api: Api) -> None:
    assert (await api.ask("GET", "/v1/earnings?by=day")).json()["rows"][0]["key"] == "2026-11-26"
    assert (await api.ask("GET", "/v1/earnings?by=moon")).status_code == 422
    assert (await api.ask("GET", "/v1/earnings/ab12")).json()["lanes"][0]["worker_ms"] == 61_200
    assert (await api.ask("GET", "/v1/earnings/AB")).status_code == 422
    assert (await api.ask("GET", "/v1/pairs")).json()["pairs"][0]["runway_s"] == 3600
    assert (await api.ask("GET", f"/v1/receipts/{LANE}")).json()["amount_wei"] == str(PAID)
    assert (await api.ask("GET", f"/v1/receipts/{'00' * 32}")).json()["code"] == "unknown_lane"
    assert (await api.ask("GET", "/v1/receipts/nonsense")).status_code == 422


async def test_scores_are_shown_with_reasons_where_somebody_is_named(api: Api, fake_node: FakeNode) -> None:
    everybody = (await api.ask("GET", "/v1/reputation")).json()
    assert [(row["role"], row["score"]) for row in everybody["rows"]] == [("worker", 498), ("requester", 288)]
    assert everybody["explanations"] == []
    one = (await api.ask("GET", "/v1/reputation?who=bob")).json()
    assert one["explanations"][0]["changes"][0] == {"code": "verified_job", "score": 560}
    assert fake_node.payments.asked_for == "bob"
    assert (await api.ask("GET", f"/v1/reputation?who={'a' * 129}")).status_code == 422


async def test_verdicts_of_everybody_are_listed_and_shown_by_name(api: Api) -> None:
    (row,) = (await api.ask("GET", "/v1/verdicts")).json()["verdicts"]
    assert (row["outcome"], len(row["workers"]), len(row["at_fault"])) == ("decided", 3, 1)
    found = (await api.ask("GET", f"/v1/verdicts/{row['digest'][:8]}")).json()
    assert (found["digest"], found["holds"], found["judged"][0]["fault"]) == (row["digest"], True, "wrong")
    assert (await api.ask("GET", "/v1/verdicts/abcd0123")).json()["code"] == "no_verdict"
    assert (await api.ask("GET", "/v1/verdicts/xyz")).status_code == 422


async def test_redemption_is_quoted_and_done(api: Api, fake_node: FakeNode) -> None:
    assert (await api.ask("GET", "/v1/settlement")).json()["is_worth"] is False
    assert fake_node.payments.settled == 0
    assert (await api.ask("POST", "/v1/settlement")).json()["transaction_hash"].startswith("0x")
    assert fake_node.payments.settled == 1


async def test_where_nothing_is_paid_it_is_said(api: Api, fake_node: FakeNode) -> None:
    fake_node.payments.is_configured = False
    for path in (
        "/v1/earnings",
        "/v1/verdicts",
        "/v1/reputation",
        "/v1/pairs",
        "/v1/settlement",
        f"/v1/receipts/{LANE}",
    ):
        answer = await api.ask("GET", path)
        assert answer.json()["code"] == "payment_not_configured", path
