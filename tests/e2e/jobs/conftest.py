"""One network of processes for all tests of jobs, with a container engine of its own where one can be started."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import HOME_VARIABLES
from tests.e2e.jobs.job_network import JobNetwork
from tests.ports.sandbox import docker_box, native_box, wasm_box
from tests.ports.sandbox.conftest import skip_unless_there
from tests.ports.sandbox.engine import private_engine

MISSING = {"docker": docker_box.missing, "native": native_box.missing, "wasm": wasm_box.missing}


@pytest.fixture(scope="package")
def started_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobNetwork]:
    """Start the network when the first test wants it, and look at what it leaves behind."""
    home = tmp_path_factory.mktemp("jobs-home")
    with pytest.MonkeyPatch.context() as environment, ExitStack() as stack:
        for name, folder in HOME_VARIABLES.items():
            environment.setenv(name, str(home / folder))
        if not docker_box.missing():
            environment.setenv("DOCKER_HOST", stack.enter_context(private_engine()).address)
        folder = tmp_path_factory.mktemp("jobs")
        network = JobNetwork.start(folder)
        try:
            yield network
        finally:
            network.testnet.down()
        assert str(folder) not in Path("/proc/self/mounts").read_text()  # killed workers had some


@pytest.fixture
def network(started_network: JobNetwork) -> JobNetwork:
    """Return the network with all of its nodes alive."""
    started_network.revive()
    return started_network


@pytest.fixture(params=["wasm", "native", "docker"])
def runtime(request: pytest.FixtureRequest) -> str:
    """Name a runtime; one that is not on this machine is a skip, and in CI a failure."""
    skip_unless_there(request.param, MISSING[request.param]())
    return str(request.param)
