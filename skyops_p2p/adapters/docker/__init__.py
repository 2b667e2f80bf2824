"""The docker runtime: containers of this machine's engine, hardened; only this adapter talks to an engine to run jobs.

docs/runtimes.md says what it protects from, and what it does not. Imports of docker-py wait until an engine is there.
"""

from skyops_p2p.adapters.docker.sandbox import DockerSandbox, open_docker_sandbox

__all__ = ["DockerSandbox", "open_docker_sandbox"]
