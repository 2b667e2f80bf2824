"""The demonstration's stages about what goes wrong: each hurts something half-way, and looks at what becomes of it.

Whoever is hurt is hurt as a person could: by signals, and by what `skyops testnet` does.
"""

import signal
import time

from skyops_p2p.core.settlement.amounts import SKYOPS, format_amount
from skyops_p2p.errors import SkyopsError
from skyops_p2p.testnet.demo_network import (
    BROKER,
    all_see,
    guest_answers,
    guest_dir,
    start_guest,
    state_on,
)
from skyops_p2p.testnet.demo_stage import Demo, failed, wait_until
from skyops_p2p.testnet.demo_training import look, paid_wei, shard_of
from skyops_p2p.testnet.disturbance import heal, parse_groups, partition
from skyops_p2p.testnet.launcher import STOP_TIMEOUT_S
from skyops_p2p.testnet.network_chain import NetworkChain
from skyops_p2p.testnet.processes import send_signal, wait_state


def kill(demo: Demo) -> str:
    """Kill the worker the hard way; watch the requester's map, and who gets the training."""
    _choose_worker(demo)
    started = time.monotonic()
    demo.network.signal(demo.victim, signal.SIGKILL)
    return f"kill -9 {demo.victim}: {_lose(demo, started)}"


def cut_off(demo: Demo) -> str:
    """Cut the worker off from everybody, the requester too; it lives, and computes on."""
    worker = _choose_worker(demo)
    started = time.monotonic()
    own = demo.client.status().peer_id
    partition(demo.network, parse_groups([demo.victim], demo.network.record))
    faults = demo.network.faults(demo.victim)
    others = [entry.peer_id for entry in demo.network.record.nodes if entry.peer_id != worker]
    demo.network.set_faults(demo.victim, faults | {"blocked": [*others, own]})
    demo.client.set_faults({"blocked": [worker]})
    return f"skyops testnet partition {demo.victim}: {_lose(demo, started)}"


def heal_cut(demo: Demo) -> str:
    """Heal the partition; the worker that was cut off is there again, and its lease is not."""
    worker = demo.network.record.entry(demo.victim).peer_id
    started = time.monotonic()
    heal(demo.network)
    demo.client.set_faults({})
    wait_until(demo, lambda: all_see(demo, worker, "active"), f"{demo.victim} is ACTIVE on every map")
    return (
        f"skyops testnet heal: {demo.victim} is ACTIVE on every map after {time.monotonic() - started:.1f} s."
    )


def check_cut_pay(demo: Demo) -> str:
    """See that the worker that was cut off has been paid for nothing after it was given up."""
    peer = demo.network.record.entry(demo.victim).peer_id
    bill = demo.client.payments.billing(demo.training.job_id)
    lane = next(lane for lane in bill.lanes if (lane.peer_id, lane.epoch) == (peer, demo.lost_epoch))
    held_ms = demo.lost_unix_ms - lane.began_unix_ms
    if lane.has_receipt or lane.runtime_ms > held_ms:
        raise failed(f"{demo.victim} was paid for {lane.runtime_ms} ms, and had the lease for {held_ms} ms")
    return (
        f"{demo.victim} was cut off, computed on, and is paid for {lane.runtime_ms / 1000:.1f} s of the "
        f"{held_ms / 1000:.1f} s until its lease was given up; no receipt."
    )


def kill_requester(demo: Demo) -> str:
    """Kill the requester's node the hard way, in the middle of its job."""
    assert demo.guest is not None
    demo.paid_wei, job, epoch = paid_wei(demo), demo.training.job_id, shard_of(demo).epoch
    started = time.monotonic()
    send_signal(*demo.guest, signal.SIGKILL)
    if not wait_state([demo.guest], "dead", timeout_s=STOP_TIMEOUT_S):
        raise failed("the requester's node has not died")
    start_guest(demo)
    wait_until(demo, lambda: guest_answers(demo), "the requester's node answers again")
    answers_s = time.monotonic() - started

    def goes_on() -> bool:
        view = look(demo)
        return bool(view.shards) and (view.is_over or view.shards[0].state in ("running", "fetching"))

    wait_until(demo, goes_on, f"job {job[:12]} goes on")
    known_wei = paid_wei(demo)
    if known_wei < demo.paid_wei:
        raise failed(f"it had promised {demo.paid_wei} wei, and knows of {known_wei}")
    kept = "the same lease" if shard_of(demo).epoch == epoch else f"lease {shard_of(demo).epoch}"
    return (
        f"kill -9 of the requester's node, started again in {guest_dir(demo).name}: answers after {answers_s:.1f} s;\n"
        f"job {job[:12]} goes on in {kept}, {format_amount(known_wei, SKYOPS)} of it promised so far."
    )


def kill_broker(demo: Demo) -> str:
    """Kill the broker, through which everybody has joined; the job does not notice."""
    demo.victim, epoch = BROKER, shard_of(demo).epoch
    broker = demo.network.record.entry(BROKER).peer_id
    started = time.monotonic()
    demo.network.signal(BROKER, signal.SIGKILL)
    wait_until(demo, lambda: all_see(demo, broker, "inactive"), "the broker is INACTIVE on every map")
    gone_s = time.monotonic() - started
    if look(demo).is_over and demo.training.state != "succeeded":
        raise failed(f"the training {demo.training.state}: {demo.training.code}")
    same = "in the same lease" if shard_of(demo).epoch == epoch else "in another lease"
    return (
        f"kill -9 {BROKER}: INACTIVE on every map after {gone_s:.1f} s;\nthe training stands at epoch "
        f"{shard_of(demo).done} {same}: nobody is in the middle."
    )


def stop_chain(demo: Demo) -> str:
    """Kill the chain; the job needs none."""
    demo.paid_wei = paid_wei(demo)
    chain = _chain(demo)
    process = chain.process
    chain.signal(signal.SIGKILL)
    if not wait_state([process], "dead", timeout_s=STOP_TIMEOUT_S):
        raise failed("the chain has not died")
    return (
        f"kill -9 of the chain with {format_amount(demo.paid_wei, SKYOPS)} promised; vouchers are signatures, "
        "and need no block."
    )


def wait_for_chain(demo: Demo) -> str:
    """See that the job was paid to its end without the chain, and that redeeming says why it cannot; start it again."""
    paid = paid_wei(demo)
    if paid <= demo.paid_wei:
        raise failed("nothing was promised while the chain was away")
    name = demo.name_of(shard_of(demo).worker)
    try:
        demo.node(name).payments.settle()
    except SkyopsError as error:
        refused = error.code
    else:
        raise failed(f"{name} says that it has redeemed, without a chain")
    started = time.monotonic()
    chain = _chain(demo)
    chain.start()
    wait_until(demo, lambda: _sees_chain(demo, name), f"{name} sees the chain again")
    return (
        f"promised without a chain: {format_amount(paid - demo.paid_wei, SKYOPS)};\n"
        f"skyops settle on {name} meanwhile: {refused}; "
        f"the chain is back with its blocks after {time.monotonic() - started:.1f} s."
    )


# --- looking ------------------------------------------------------------------------------------------------------
def _choose_worker(demo: Demo) -> str:
    """Note whoever has the training now as who is to be hurt; return its peer id."""
    look(demo)
    shard = shard_of(demo)
    demo.victim, demo.lost_epoch = demo.name_of(shard.worker), shard.epoch
    return shard.worker


def _lose(demo: Demo, started: float) -> str:
    """Watch a worker become INACTIVE for the requester, and its training get a new lease; tell when."""
    worker = demo.network.record.entry(demo.victim).peer_id
    seen: dict[str, float] = {}

    def is_noticed() -> bool:
        seen.setdefault(state_on(demo.client, worker), time.monotonic() - started)
        look(demo)
        if shard_of(demo).epoch > demo.lost_epoch and "leased" not in seen:
            seen["leased"] = time.monotonic() - started
            demo.lost_unix_ms = time.time_ns() // 1_000_000
        return "inactive" in seen and "leased" in seen

    wait_until(
        demo, is_noticed, f"{demo.victim} is INACTIVE on the requester's map, and the training leased again"
    )
    if not any("suspect -> inactive" in step for step in demo.client.node(worker).history):
        raise failed(f"{demo.victim} became INACTIVE without being SUSPECT first")
    # It is SUSPECT for seconds only, and a busy machine may not have looked then.
    suspect = f"after {seen['suspect']:.1f} s" if "suspect" in seen else "before anybody looked"
    wait_until(demo, lambda: all_see(demo, worker, "inactive"), f"{demo.victim} is INACTIVE on every map")
    everywhere_s = time.monotonic() - started
    look(demo)
    code = next(one.code for one in shard_of(demo).attempts if one.epoch == demo.lost_epoch)
    heir = demo.name_of(shard_of(demo).worker)
    return (
        f"SUSPECT {suspect}, INACTIVE after {seen['inactive']:.1f} s, "
        f"on every map after {everywhere_s:.1f} s;\n"
        f"its lease has ended ({code}), {heir} has the next one after {seen['leased']:.1f} s."
    )


def _chain(demo: Demo) -> NetworkChain:
    chain = demo.network.chain
    assert chain is not None, "the demonstration's network has one"
    return chain


def _sees_chain(demo: Demo, name: str) -> bool:
    try:
        demo.node(name).payments.quote()
    except SkyopsError:
        return False
    return True
