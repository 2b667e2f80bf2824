"""A small root file system with this machine's own Python, and an image of it: made offline, the same bytes each time.

It holds the interpreter, its standard library, the shared libraries that `ldd` names, and busybox's shell if this
machine has it statically linked (Debian: busybox-static). Packages of the tests' own Python may be put in.
"""

import atexit
import functools
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

LEFT_OUT = {
    "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "site-packages", "__pycache__", "lib2to3",
    "pydoc_data", "distutils", "unittest",
}  # fmt: skip
DIRECTORIES = (
    "bin",
    "dev",
    "etc",
    "proc",
    "sys",
    "tmp",
    "usr",
    "usr/bin",
    "usr/local",
    "usr/local/bin",
    "work",
)
PYTHON = "/usr/local/bin/python3"
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONHOME": "/usr/local"}
SHELL_COMMANDS = ("sh", "echo", "cat", "sleep", "true")
BUSYBOX = Path("/bin/busybox")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def has_busybox() -> bool:
    return BUSYBOX.exists() and not _libraries(str(BUSYBOX))


@functools.cache
def python_tree(*packages: str) -> Path:
    """Return the tar of the root file system; made once for each test run.

    Args:
        packages: Names of installed packages that go with it, such as "numpy".
    """
    folder = tempfile.mkdtemp(prefix="sandbox-image-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "root.tar"
    with tarfile.open(path, "w") as tar:
        made: set[str] = set()
        for name in DIRECTORIES:
            _add_directory(tar, name, made)
        _add_text(tar, "etc/passwd", "root:x:0:0::/:/bin/sh\njob:x:65532:65532::/work:/bin/sh\n")
        for target, source in sorted(_files(packages).items()):
            _add_directory(tar, str(PurePosixPath(target).parent), made)
            _add_file(tar, target, source)
        if has_busybox():
            for command in SHELL_COMMANDS:
                link = tarfile.TarInfo(f"bin/{command}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
    return path


@functools.cache
def python_image(*packages: str) -> tuple[Path, str]:
    """Return a tar as `docker save` writes it, and the image's id: the digest of its configuration."""
    layer = python_tree(*packages).read_bytes()
    path = python_tree(*packages).with_name("image.tar")
    return path, write_image(path, layer, architecture=ARCHITECTURES.get(platform.machine(), "amd64"))


def write_image(path: Path, layer: bytes, *, architecture: str) -> str:
    """Write an image of one layer and return its id."""
    digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {"Env": [f"{name}={value}" for name, value in ENV.items()], "Cmd": [PYTHON]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "test"}],
        },
        sort_keys=True,
    ).encode()
    image_id = hashlib.sha256(config).hexdigest()
    manifest = [{"Config": f"{image_id}.json", "RepoTags": None, "Layers": [f"{digest}/layer.tar"]}]
    parts = (
        (f"{image_id}.json", config),
        (f"{digest}/layer.tar", layer),
        ("manifest.json", json.dumps(manifest).encode()),
    )
    with tarfile.open(path, "w") as tar:
        for name, content in parts:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return f"sha256:{image_id}"


def _files(packages: tuple[str, ...]) -> dict[str, str]:
    library = Path(
        sysconfig.get_path("stdlib", vars={"base": sys.base_prefix, "installed_base": sys.base_prefix})
    )
    files = {PYTHON.lstrip("/"): os.path.realpath(sys.executable)}
    programs = [os.path.realpath(sys.executable)]
    for source in _library_files(library):
        files[f"usr/local/lib/{library.name}/{source.relative_to(library)}"] = str(source)
        if source.suffix == ".so":
            programs.append(str(source))
    site = Path(sysconfig.get_path("platlib"))
    for name in packages:
        assert (site / name).is_dir(), f"{name} is not installed"
        for folder in (site / name, site / f"{name}.libs"):  # wheels bring most libraries along
            for source in _library_files(folder):
                files[f"usr/local/lib/{library.name}/{source.relative_to(site)}"] = str(source)
                if source.suffix == ".so":
                    programs.append(str(source))
    if has_busybox():
        files["bin/busybox"] = str(BUSYBOX)
    libraries = {library for program in programs for library in _libraries(program)}
    libraries = {name for name in libraries if not os.path.realpath(name).startswith(f"{site}/")}
    return files | {name.lstrip("/"): os.path.realpath(name) for name in libraries}


def _library_files(root: Path) -> Iterator[Path]:
    """Yield the files of a library that a program may want, without its tests."""
    for folder, below, names in os.walk(root):
        below[:] = sorted(name for name in below if name not in LEFT_OUT and not name.startswith("config-"))
        for name in names:
            if not (name.endswith((".pyc", ".a")) or "_tkinter" in name or "_test" in name):
                yield Path(folder, name)


def _libraries(program: str) -> list[str]:
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(?:=> )?(/[^ ]+) \(0x", told)


def _add_directory(tar: tarfile.TarFile, name: str, made: set[str]) -> None:
    for place in (*reversed(PurePosixPath(name).parents), PurePosixPath(name)):
        if str(place) != "." and str(place) not in made:
            made.add(str(place))
            entry = tarfile.TarInfo(str(place))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text)
    tar.addfile(entry, io.BytesIO(text.encode()))


def _add_file(tar: tarfile.TarFile, target: str, source: str) -> None:
    entry = tarfile.TarInfo(target)
    status = Path(source).stat()
    entry.size, entry.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
    with Path(source).open("rb") as file:
        tar.addfile(entry, file)
