"""Conversations of a pair read a second time: every message must follow from what its sender had heard and metered.

It shares no code with the package. Of a side it keeps what chapter 07 says that it must know, and after a restart what
it knew when it last stored.
"""

import copy
from typing import Any

from tests.vectors import second_settlement as rules
from tests.vectors import second_wire as wire
from tests.vectors.second_crypto import RefusedError
from tests.vectors.second_settlement import Bill, Fields

NAMES = {
    80: "lane-offer",
    81: "lane-answer",
    82: "meter",
    83: "voucher",
    84: "voucher-answer",
    85: "lane-stop",
}
NOTHING = dict.fromkeys(rules.READINGS, 0)
CHAIN_START = (0, bytes(32))


def read(data: bytes) -> tuple[str, Fields]:
    name = NAMES[wire.decode(data, 1 << 16)[0]]
    return name, wire.message(data, name)


class Lane:
    """What a side knows of a lane."""

    def __init__(self, terms: Fields) -> None:
        self.rate = int(terms["rate"])
        self.bill = Bill(self.rate, terms["prepaid_ms"])
        self.own, self.base = dict(NOTHING), dict(NOTHING)
        self.meter: Fields | None = None
        self.meter_bytes = b""
        self.facts: Fields | None = None
        self.is_finished = self.has_gap = False
        self.unseen_ms = self.judged_ms = 0
        self.pace_ms, self.pace_most_ms = rules.FIRST_MS, terms["interval_ms_max"]

    @property
    def interval(self) -> int:
        return len(self.bill.leaves)


class Side:
    """What a side knows of the pair."""

    def __init__(self) -> None:
        self.lanes: dict[bytes, Lane] = {}
        self.cumulative = 0
        self.leaves: list[bytes] = []
        self.chain = CHAIN_START
        self.newest = b""
        """The voucher that was signed, or taken, last."""


class Pair:
    """Both sides. `take` raises AssertionError where a step does not follow."""

    def __init__(self, case: Fields) -> None:
        self.pair: Fields = case["pair"]
        self.domain = self.pair["chain_id"], bytes.fromhex(self.pair["disputes"])
        self.sides = {"alice": Side(), "bob": Side()}
        self.stored = {who: [(-1, Side())] for who in self.sides}
        self.terms: dict[bytes, Fields] = {}
        self.funds = {"alice": 0, "bob": 0}

    def take(self, step: Fields) -> None:
        """Let one step happen, and check all that is said in it."""
        who = step["who"]
        before = copy.deepcopy(self.sides[who])
        heard = read(bytes.fromhex(step["bytes"])) if step["event"] == "heard" else ("", {})
        self._event(step, heard)
        kinds = [effect["effect"] for effect in step["effects"]]
        for place, effect in enumerate(step["effects"]):
            if effect["effect"] != "send":
                continue
            data = bytes.fromhex(effect["bytes"])
            name, fields = read(data)
            is_new = getattr(self, "_" + name.replace("-", "_"))(fields, data, heard, step)
            assert not is_new or "store" in kinds[:place], "SET-19: nothing is sent before it is stored"
        if "store" in kinds:
            self.stored[who].append((step["at_ms"], copy.deepcopy(self.sides[who])))
        assert self.sides[who].cumulative >= before.cumulative or step["event"] == "restarted"
        for effect in step["effects"]:
            if effect["effect"] == "close":
                self.sides[who].lanes.pop(bytes.fromhex(effect["lane"]), None)

    # --- events -----------------------------------------------------------------------------------------------------
    def _event(self, step: Fields, heard: tuple[str, Fields]) -> None:
        who, side = step["who"], self.sides[step["who"]]
        lane = side.lanes.get(bytes.fromhex(step.get("lane", "")))
        match step["event"]:
            case "begun":
                terms = step["terms"]
                name = rules.lane_name(bytes.fromhex(terms["job_id"]), terms["shard"], terms["epoch"])
                self.terms[name] = terms
                if who == "alice":
                    side.lanes[name] = Lane(terms)
            case "metered" if lane is not None:
                lane.unseen_ms = step.get("unseen_ms", lane.unseen_ms)
                lane.own = {
                    key: max(lane.own[key], lane.base[key] + number) for key, number in step["counts"].items()
                }
            case "finished" if lane is not None:
                lane.is_finished, lane.facts = True, step["facts"]
            case "funds":
                self.funds[who] = sum(int(step[name]) for name in ("redeemed", "allotted", "shared"))
            case "restarted":
                limit = step.get("stored_ms", step["at_ms"])
                self.sides[who] = copy.deepcopy(
                    [side for at_ms, side in self.stored[who] if at_ms <= limit][-1]
                )
                for one in self.sides[who].lanes.values():
                    one.has_gap, one.base = True, dict(one.own)
                    one.unseen_ms = one.judged_ms = 0
            case "heard" if heard[0] == "meter" and who == "alice":
                self._hear_meter(heard[1])

    def _hear_meter(self, meter: Fields) -> None:
        """SET-20."""
        lane = self.sides["alice"].lanes.get(meter["lane"])
        if lane is None or meter["interval"] != lane.interval + 1 or lane.meter is not None:
            return
        lane.meter = meter
        bound = lane.pace_ms + rules.AFTER_MS
        most = bound if lane.has_gap else min(lane.unseen_ms - lane.judged_ms, bound)
        if most:
            believed = min(max(meter["counts"]["runtime_ms"] - lane.own["runtime_ms"], 0), most)
            raised = {key: max(mine, meter["counts"][key]) if mine else 0 for key, mine in lane.own.items()}
            lane.own = raised | {"runtime_ms": lane.own["runtime_ms"] + believed}
            lane.base["runtime_ms"] += believed
            lane.has_gap, lane.judged_ms = False, lane.unseen_ms

    # --- what is said -----------------------------------------------------------------------------------------------
    def _offer_of(self, name: bytes) -> Fields:
        terms = self.terms[name]
        said = {key: terms[key] for key in ("shard", "epoch", "prepaid_ms", "interval_ms_max")}
        said |= {key: bytes.fromhex(terms[key]) for key in ("job_id", "award")}
        said |= {key: bytes.fromhex(self.pair[key]) for key in ("contract", "token", "requester")}
        said |= {key: self.pair[key] for key in ("chain_id", "holdback_bps")}
        return said | {"lane": name, "rate": rules.word(int(terms["rate"]))}

    def _lane_offer(self, fields: Fields, _data: bytes, _heard: Any, _step: Fields) -> bool:
        assert fields == self._offer_of(fields["lane"])
        return False

    def _lane_answer(self, fields: Fields, _data: bytes, heard: tuple[str, Fields], _step: Fields) -> bool:
        """SET-5, SET-12."""
        name, bob = fields["lane"], self.sides["bob"]
        assert heard[1]["lane"] == name
        terms = self.terms[name]
        try:
            rules.check_offer(heard[1], self.pair, {lane: self._offer_of(lane) for lane in self.terms})
            code = "taken"
        except RefusedError as refused:
            code = refused.code
        needs = rules.need(int(terms["rate"]), rules.FIRST_MS, terms["prepaid_ms"])
        if code == "taken" and name not in bob.lanes and bob.cumulative + needs > self.funds["bob"]:
            code = "deposit_too_small"
        assert fields["code"] == code
        if code != "taken" or name in bob.lanes:
            return False
        bob.lanes[name] = Lane(terms)
        return True

    def _meter(self, fields: Fields, data: bytes, _heard: Any, _step: Fields) -> bool:
        """SET-6, SET-8."""
        lane = self.sides["bob"].lanes[fields["lane"]]
        if data == lane.meter_bytes:
            return False
        assert fields["interval"] == lane.interval + 1
        assert (fields["counts"], fields["is_last"]) == (lane.own, lane.is_finished)
        lane.meter, lane.meter_bytes = fields, data
        return True

    def _voucher(self, fields: Fields, data: bytes, _heard: Any, _step: Fields) -> bool:
        """SET-7, SET-9, SET-11, SET-13."""
        alice = self.sides["alice"]
        if data == alice.newest:
            return False
        for item in fields["items"]:
            lane = alice.lanes[item["lane"]]
            assert item["counts"] == lane.own
        self._apply("alice", fields)
        assert alice.cumulative <= self.funds["alice"], "SET-12"
        alice.newest = data
        return True

    def _voucher_answer(self, fields: Fields, _data: bytes, heard: tuple[str, Fields], step: Fields) -> bool:
        """SET-10, SET-11, SET-13."""
        said, bob, data = heard[1], self.sides["bob"], bytes.fromhex(step["bytes"])
        assert fields["answers"] == said["cumulative"]
        is_new, code = False, "taken"
        if data != bob.newest:
            try:
                self._apply("bob", said)
                is_new, bob.newest = True, data
                self._halves(said, fields["halves"])
            except RefusedError as refused:
                code = refused.code
        assert (fields["code"], int.from_bytes(fields["newest"], "big")) == (code, bob.cumulative)
        return is_new

    def _halves(self, voucher: Fields, halves: list[Fields]) -> None:
        """SET-15: bob signs each receipt, one behind the other."""
        for signed, half in zip(voucher["receipts"], halves, strict=True):
            receipt = wire.message(signed, "signed-receipt")["receipt"]
            self._half("bob", receipt, half, bytes.fromhex(self.pair["worker"]))

    def _half(self, who: str, receipt: bytes, half: Fields, account: bytes) -> None:
        side = self.sides[who]
        found = rules.check_half(receipt, half, account, *self.domain)
        assert (half["sequence"], half["previous"]) == (side.chain[0] + 1, side.chain[1])
        side.chain = (found["sequence"], bytes.fromhex(found["link"]))

    def _lane_stop(self, fields: Fields, _data: bytes, heard: tuple[str, Fields], step: Fields) -> bool:
        """SET-6, SET-8, SET-21: why a side may end a lane."""
        said = heard[1]
        if fields["code"] == "unknown_lane":
            assert said["lane"] not in self.sides[step["who"]].lanes
        elif fields["code"] == "ledger_behind":
            assert said["interval"] > self.sides["alice"].lanes[said["lane"]].interval + 1
        elif fields["code"] == "meters_apart":
            assert fields["lane"] in self.apart
        else:
            assert (fields["code"], step["event"]) in (("no_answer", "deadline"), ("unpaid", "deadline"))
        return False

    # --- a voucher, as each side works it out -----------------------------------------------------------------------
    def _apply(self, who: str, voucher: Fields) -> None:
        """Take a voucher into what a side knows; refuse it, with nothing changed, unless it is exactly right."""
        side = self.sides[who]
        amount = rules.check_voucher(voucher, self.pair)
        if amount <= side.cumulative:
            raise RefusedError("stale_voucher")
        work = copy.deepcopy(side)
        receipts, self.apart = list(voucher["receipts"]), set()
        for item in voucher["items"]:
            lane = work.lanes.get(item["lane"])
            if lane is None:
                raise RefusedError("unknown_lane")
            if lane.meter is None or item["interval"] != lane.interval + 1:
                raise RefusedError("wrong_interval")
            self._pay(work, lane, item, receipts)
        if work.cumulative != amount:
            raise RefusedError("wrong_amount")
        if receipts or rules.tree_root(work.leaves) != voucher["receipts_root"]:
            raise RefusedError("bad_receipt")
        if who == "alice":
            for signed in voucher["receipts"]:
                both = wire.message(signed, "signed-receipt")
                self._half("alice", both["receipt"], both["requester"], bytes.fromhex(self.pair["requester"]))
            work.chain = side.chain
        side.lanes, side.cumulative, side.leaves = work.lanes, work.cumulative, work.leaves

    def _pay(self, side: Side, lane: Lane, item: Fields, receipts: list[bytes]) -> None:
        """SET-7, SET-13, SET-14."""
        assert lane.meter is not None
        requester, worker, is_last = item["counts"], lane.meter["counts"], lane.meter["is_last"]
        brought = receipts.pop(0) if is_last and receipts else None
        least = 1 if brought is None else int(self.pair["unit_wei"])
        before = lane.bill.amount
        side.cumulative += lane.bill.add(requester, worker, is_last=is_last, least=least) - before
        lane.meter, lane.pace_ms = None, min(2 * lane.pace_ms, lane.pace_most_ms)
        if rules.are_apart(requester, worker):
            self.apart.add(item["lane"])
        if brought is not None:
            receipt = wire.message(wire.message(brought, "signed-receipt")["receipt"], "receipt")
            ours = self._receipt(item["lane"], lane, requester, worker) | {
                "cumulative": rules.word(side.cumulative)
            }
            if receipt != ours:
                raise RefusedError("bad_receipt")
            side.leaves.append(rules.receipt_leaf(receipt))

    def _receipt(self, name: bytes, lane: Lane, requester: Fields, worker: Fields) -> Fields:
        """SET-13, SET-25."""
        assert lane.facts is not None
        offer, pair = self._offer_of(name), self.pair
        said = {key: offer[key] for key in ("lane", "job_id", "shard", "epoch", "award", "rate", "chain_id")}
        said |= {key: bytes.fromhex(pair[key]) for key in ("contract", "token", "requester", "worker")}
        hashes = ("spec_digest", "result", "log_head")
        said |= {key: bytes.fromhex(value) if key in hashes else value for key, value in lane.facts.items()}
        said |= {"requester_counts": requester, "worker_counts": worker, "network": pair["network"]}
        return said | {
            "amount": rules.word(lane.bill.amount),
            "metering_root": rules.tree_root(lane.bill.leaves),
        }
