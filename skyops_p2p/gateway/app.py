"""The control API's routes. Thin: each calls one method of the node and returns its view.

Everything a person can read with the command line is here under /v1, as JSON; /health and /ready are for
supervisors. The schema is at /v1/openapi.json; there is no page with scripts from elsewhere.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import trio
from fastapi import Body, FastAPI, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from skyops_p2p._version import __version__
from skyops_p2p.errors import NetworkError
from skyops_p2p.gateway.event_stream import EventResponse, EventStreams
from skyops_p2p.gateway.guard import Guard
from skyops_p2p.gateway.jobs import job_routes
from skyops_p2p.gateway.money import money_routes
from skyops_p2p.gateway.payments import payment_routes
from skyops_p2p.gateway.problems import install_problems
from skyops_p2p.gateway.subject import FaultSwitch, Stop, Subject
from skyops_p2p.limits import API_OPERATION_TIMEOUT_S, PROOF_MEMORY_MIB_MAX
from skyops_p2p.node.views import MapQuery, NodeView, PeerView, ProofView, SessionView, StatusView
from skyops_p2p.types import Multiaddr

PROMETHEUS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Answer(BaseModel):
    """Base of the small answers that are no views of the node."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Health(Answer):
    """The process lives."""

    is_alive: bool
    version: str


class Readiness(Answer):
    """The node has started: it listens and has its map."""

    is_ready: bool


class Peers(Answer):
    """All links."""

    peers: tuple[PeerView, ...]


class Nodes(Answer):
    """Nodes of the map."""

    nodes: tuple[NodeView, ...]


class Pong(Answer):
    """A peer answered."""

    peer_id: str
    round_trip_ms: float


class Found(Answer):
    """How many nodes are new on the map."""

    found: int


class JoinRequest(Answer):
    """Whom to dial."""

    addr: str = Field(min_length=1, max_length=256)
    """A multiaddr that ends in /p2p/<peer id>."""


class ProveRequest(Answer):
    """What a worker is to prove."""

    again: bool = False
    """Now, though it has proven it in the last day."""
    memory_mib: int = Field(0, ge=0, le=PROOF_MEMORY_MIB_MAX)
    """What it is to fill besides."""


class Joined(Answer):
    """The peer that answered."""

    peer_id: str


class Done(Answer):
    """The request was accepted."""

    is_accepted: bool = True


def create_app(
    subject: Subject,
    *,
    token: str,
    stop: Stop,
    hosts: frozenset[str] = frozenset(),
    faults: FaultSwitch | None = None,
    now: Callable[[], float] = trio.current_time,
) -> Guard:
    """Return the API of a node as a guarded ASGI application.

    Args:
        subject: The node.
        token: The bearer token that every request but health checks must carry.
        stop: Begins a clean stop of the program.
        hosts: Allowed Host names without a port; empty: any.
        faults: The fault switch of a node on a test network; without it /v1/faults does not exist.
        now: A monotonic clock in seconds, for the rate limit.
    """
    app = FastAPI(
        title="Skyops control API",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    install_problems(app)
    _add_supervision(app, subject, stop)
    _add_views(app, subject)
    _add_actions(app, subject)
    app.include_router(job_routes(subject))
    app.include_router(payment_routes(subject))
    app.include_router(money_routes(subject))
    if faults is not None:
        _add_faults(app, faults)
    return Guard(app, token=token, hosts=hosts, now=now)


def _add_supervision(app: FastAPI, subject: Subject, stop: Stop) -> None:
    @app.get("/health", summary="Does the process live? Needs no token.")
    async def health() -> Health:
        return Health(is_alive=True, version=__version__)

    @app.get("/ready", summary="Has the node started? Needs no token.")
    async def ready() -> Readiness:
        return Readiness(is_ready=bool(subject.status().listen))

    @app.get("/v1/metrics", summary="Prometheus metrics", response_class=Response)
    async def metrics() -> Response:
        return Response(subject.metrics(), media_type=PROMETHEUS_MEDIA_TYPE)

    @app.post("/v1/stop", summary="Stop the node cleanly", status_code=202)
    async def stop_node() -> Done:
        stop()
        return Done()


def _add_views(app: FastAPI, subject: Subject) -> None:
    streams = EventStreams(subject)

    @app.get("/v1/status", summary="This node")
    async def status() -> StatusView:
        return subject.status()

    @app.get("/v1/peers", summary="Links to peers")
    async def peers() -> Peers:
        return Peers(peers=subject.peers())

    @app.get("/v1/map", summary="The node map, filtered and sorted")
    async def node_map(query: Annotated[MapQuery, Query()]) -> Nodes:
        return Nodes(nodes=subject.map(query))

    @app.get("/v1/nodes/{peer}", summary='One node by peer id, unique part of one, or "self"')
    async def node(peer: str) -> NodeView:
        return subject.node(subject.find_peer(peer))

    @app.get("/v1/events", summary="What happens, as server-sent events", response_class=Response)
    async def events(_request: Request) -> Any:
        return EventResponse(streams)


def _add_actions(app: FastAPI, subject: Subject) -> None:
    @app.post("/v1/peers/{peer}/ping", summary="Measure the round trip to a peer")
    async def ping(peer: str) -> Pong:
        target = subject.find_peer(peer)
        with _deadline("ping"):
            round_trip_s = await subject.ping(target)
        return Pong(peer_id=target, round_trip_ms=round_trip_s * 1000.0)

    @app.post("/v1/peers/{peer}/handshake", summary="Open an authenticated session with a peer")
    async def handshake(peer: str) -> SessionView:
        target = subject.find_peer(peer)
        with _deadline("handshake"):
            return await subject.handshake(target)

    @app.post("/v1/peers/{peer}/prove", summary="Have a worker prove what it computes")
    async def prove(peer: str, request: ProveRequest) -> ProofView:
        target = subject.find_peer(peer)
        with _deadline("proof"):
            return await subject.prove(target, again=request.again, memory_mib=request.memory_mib)

    @app.post("/v1/map/search", summary="Look in the DHT for nodes that match")
    async def search(query: MapQuery) -> Found:
        with _deadline("search"):
            return Found(found=await subject.search(query))

    @app.post("/v1/join", summary="Dial a peer by address")
    async def join(request: JoinRequest) -> Joined:
        with _deadline("join"):
            return Joined(peer_id=await subject.join(Multiaddr(request.addr)))


def _add_faults(app: FastAPI, faults: FaultSwitch) -> None:
    @app.get("/v1/faults", summary="Faults in force (test networks only)")
    async def read_faults() -> dict[str, Any]:
        return dict(faults.describe())

    @app.put("/v1/faults", summary="Replace the faults (test networks only)")
    async def set_faults(request: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        await faults.apply(request)
        return dict(faults.describe())


@contextmanager
def _deadline(what: str) -> Iterator[None]:
    """Bound an operation by API_OPERATION_TIMEOUT_S; past it a NetworkError says so."""
    try:
        with trio.fail_after(API_OPERATION_TIMEOUT_S):
            yield
    except trio.TooSlowError as error:
        raise NetworkError(
            f"the {what} took longer than {API_OPERATION_TIMEOUT_S:g} s", code="timed_out"
        ) from error
