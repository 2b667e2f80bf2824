"""As whom modules run and are compiled, where the node can choose."""

import os

MODULE_USER = 65533
"""Not the user of docker and native jobs: what breaks out of the engine can neither trace nor signal those."""


def module_user() -> int | None:
    """Return the user id that modules get where this node runs as root; None: they keep the node's own."""
    return MODULE_USER if os.geteuid() == 0 else None
