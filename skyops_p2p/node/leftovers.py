"""What a killed node leaves behind outside of its files: containers, control groups, mounted workspaces.

A node that starts again removes them itself; this is for one that never will.
"""

from pathlib import Path

WORKSPACE_DIR = "workspace"


def has_leftovers(data_dir: Path) -> bool:
    """Tell whether a node died while it ran a job; call when its process is gone."""
    folder = data_dir / WORKSPACE_DIR
    return folder.is_dir() and any(folder.iterdir())


async def clear_leftovers(data_dir: Path) -> int:
    """Remove them, and return how many there were.

    Args:
        data_dir: Of a node whose process is gone.

    Raises:
        ExecutionError: A runtime does not let go of its part.
    """
    from skyops_p2p.adapters.workspace import open_workspace
    from skyops_p2p.node.sandboxes import open_sandboxes

    count = 0
    async with open_sandboxes(data_dir, is_worker=True) as sandboxes:
        for sandbox in sandboxes.values():
            count += await sandbox.reap()
    return count + await (await open_workspace(data_dir)).reap()
