"""What an engine is asked for: one container with everything closed that a job does not need. Pure.

No network, a read-only root, no capabilities, no new privileges, the engine's own system call filter, another user
than root, no swap, no volumes of the image (they would be unbounded disk of the host), no log files: output goes
through the attached stream alone. Source: Docker Engine API 1.41, "Create a container".
"""

from collections.abc import Iterable
from typing import Any

from skyops_p2p import limits
from skyops_p2p.adapters.confine.mounts import in_memory_bytes
from skyops_p2p.adapters.docker.engine import GVISOR
from skyops_p2p.ports import SandboxSpec

OWNER_LABEL = "io.skyops.owner"
_GVISOR_MEMORY_BYTES = 96 << 20
"""What gVisor's own kernel takes; it is charged to the container."""
_GVISOR_TASKS = 192
"""Threads of gVisor's own kernel; they count against the container's pids."""
_TMPFS = "rw,nosuid,nodev,size={size},mode=1777"


def container_config(
    spec: SandboxSpec, image_id: str, *, owner: str, user: str, runtime_class: str, volumes: Iterable[str]
) -> dict[str, Any]:
    """Return the body of the request.

    Args:
        spec: What shall run.
        image_id: "sha256:…".
        owner: Names this node, so that it finds its containers again.
        user: "UID:GID".
        runtime_class: Empty for the engine's default.
        volumes: Directories that the image declares as volumes; they become small tmpfs.
    """
    config: dict[str, Any] = {
        "Image": image_id,
        "User": user,
        "WorkingDir": str(spec.working_dir),
        "Env": [f"{name}={value}" for name, value in spec.env.items()],
        "Hostname": "job",
        "NetworkDisabled": True,
        "Labels": {OWNER_LABEL: owner},
        "StopSignal": "SIGTERM",
        "Healthcheck": {"Test": ["NONE"]},
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": _host_config(spec, runtime_class, volumes),
    }
    if spec.command:
        config["Entrypoint"], config["Cmd"] = [spec.command[0]], list(spec.command[1:])
    return config


def _host_config(spec: SandboxSpec, runtime_class: str, volumes: Iterable[str]) -> dict[str, Any]:
    """Return what of the host the container gets: as little as there is."""
    bounds, overhead = spec.limits, _GVISOR_MEMORY_BYTES if runtime_class == GVISOR else 0
    memory_bytes = bounds.memory_bytes + overhead + in_memory_bytes(spec)
    tmp_bytes = min(limits.SANDBOX_TMP_BYTES_MAX, bounds.memory_bytes // 2)
    targets = {str(mount.target) for mount in spec.mounts}
    tmpfs = {place: _TMPFS.format(size=tmp_bytes) for place in ("/tmp", *volumes) if place not in targets}  # noqa: S108
    host: dict[str, Any] = {
        "NetworkMode": "none",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "Init": True,
        "Memory": memory_bytes,
        "MemorySwap": memory_bytes,
        "NanoCpus": round(bounds.cpu_cores * 1e9),
        "PidsLimit": bounds.pids_max + (_GVISOR_TASKS if runtime_class == GVISOR else 1),
        "ShmSize": bounds.memory_bytes // 2,
        "IpcMode": "private",
        "Tmpfs": tmpfs,
        "Mounts": [
            {
                "Type": "bind",
                "Source": str(mount.source),
                "Target": str(mount.target),
                "ReadOnly": mount.is_read_only,
                "BindOptions": {"Propagation": "rprivate"},
            }
            for mount in spec.mounts
        ],
        "Ulimits": [
            _ulimit("fsize", bounds.file_bytes_max),
            _ulimit("nofile", limits.SANDBOX_FILES_MAX),
            _ulimit("core", 0),
        ],
        "LogConfig": {"Type": "none", "Config": {}},
        "RestartPolicy": {"Name": "no"},
    }
    if runtime_class:
        host["Runtime"] = runtime_class
    if spec.gpus:
        host["DeviceRequests"] = [
            {"DeviceIDs": list(spec.gpus), "Capabilities": [["gpu"]], "Driver": "", "Count": 0, "Options": {}}
        ]
    return host


def _ulimit(name: str, value: int) -> dict[str, Any]:
    return {"Name": name, "Soft": value, "Hard": value}
