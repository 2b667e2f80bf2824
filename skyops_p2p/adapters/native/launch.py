"""Runs for some milliseconds between the node and bubblewrap: joins the control group, drops what root could do.

Started as a script by an interpreter without site packages; imports nothing of ours, and little else: each module
costs milliseconds of every start (json alone as many as bubblewrap). It reads its plan from a file descriptor, in the
interpreter's own format since both ends are the same interpreter, and replaces itself with the program named there.
As root it first takes a mount namespace of its own, puts the directories that the sandbox may see under a tmpfs there
(their real parents are closed to the user that it becomes), and becomes that user: a bubblewrap that runs as root
lets programs write /proc/sys.
"""

import marshal
import os
import resource
import stat
import sys

_CLONE_NEWNS = 0x00020000
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18


def main() -> None:
    """Follow the plan in the descriptor that is the only argument."""
    with os.fdopen(int(sys.argv[1]), "rb") as file:
        plan = marshal.load(file)  # noqa: S302 - written by our own parent
    if plan["user"] is not None:
        _show(plan["stage"], plan["sources"])
    # Not earlier: what is done here would count against a small CPU share. Not later: another user may not join.
    for path in plan["join"]:
        with open(path, "w") as procs:  # noqa: PTH123 - pathlib costs the start of a sandbox 10 ms
            procs.write("0")
    for name, wanted in plan["rlimits"].items():
        number = getattr(resource, name)
        ceiling = resource.getrlimit(number)[1]
        value = wanted if ceiling == resource.RLIM_INFINITY else min(wanted, ceiling)
        resource.setrlimit(number, (value, value))
    os.umask(0o022)
    if plan["user"] is not None:
        os.setgroups([])
        os.setresgid(plan["user"], plan["user"], plan["user"])
        os.setresuid(plan["user"], plan["user"], plan["user"])
    os.execv(plan["command"][0], plan["command"])  # noqa: S606 - the very purpose


def _show(stage: str, sources: dict[str, str]) -> None:
    """Bind each source at its name below the stage, in a mount namespace of our own."""
    import ctypes  # only root needs it

    def check(result: int, what: str) -> None:
        if result != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), what)

    libc = ctypes.CDLL(None, use_errno=True)
    check(libc.unshare(_CLONE_NEWNS), "unshare")
    check(libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None), "make mounts private")
    # Opened before the stage covers anything: a source may lie below it. Through no link at the last step.
    held = {name: os.open(path, os.O_PATH | os.O_NOFOLLOW) for name, path in sources.items()}
    check(
        libc.mount(b"tmpfs", stage.encode(), b"tmpfs", _MS_NOSUID | _MS_NODEV, b"mode=0755,size=64k"), stage
    )
    for name, descriptor in held.items():
        place = f"{stage}/{name}"
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.mkdir(place, 0o755)  # noqa: PTH102
        else:
            os.close(os.open(place, os.O_CREAT | os.O_EXCL, 0o644))
        source = f"/proc/self/fd/{descriptor}".encode()
        check(libc.mount(source, place.encode(), None, _MS_BIND | _MS_REC, None), place)
        os.close(descriptor)


if __name__ == "__main__":
    main()
