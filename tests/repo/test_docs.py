"""The pages cannot rot: generated ones are compared, commands and links in the others are looked up, examples run."""

import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import pytest
from pydantic import BaseModel

from skyops_p2p.cli.main import cli
from skyops_p2p.config import describe_settings
from skyops_p2p.core.execution.outcomes import OUTCOMES
from skyops_p2p.core.jobs.spec import JobSpec
from skyops_p2p.testnet.topology import Topology, load_topology
from tests.repo.error_codes import raised_codes
from tests.repo.source_tree import ROOT, expect_none, text_of, tracked_files

PAGES = [path for path in tracked_files() if path.endswith(".md")]
UNIT = "deploy/skyops.service"
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
TARGETS = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
OTHER_PROGRAMS = {
    "sudo",
    "git",
    "cd",
    "pip",
    "python3",
    "curl",
    "tar",
    "systemctl",
    "journalctl",
    "systemd-analyze",
    "docker",
    "export",
    "cat",
    "ls",
    "kill",
}


def test_generated_pages_are_current() -> None:
    wanted = runpy.run_path(str(ROOT / "docs/generate.py"))["pages"]()
    old = [path.name for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    expect_none(f"{name}: run `make docs`" for name in old)


def _commands() -> list[tuple[str, str]]:
    """List (page, command line) of every `$ …` line in console blocks and the ExecStart of the unit."""
    found = []
    for page in PAGES:
        for block in CONSOLE.findall(text_of(page)):
            lines = block.replace("\\\n", " ").splitlines()
            found += [(page, line[2:].strip()) for line in lines if line.startswith("$ ")]
    started = re.findall(r"^ExecStart=(.+)$", text_of(UNIT), re.MULTILINE)
    return found + [(UNIT, line) for line in started]


@pytest.mark.parametrize(("page", "line"), _commands(), ids=lambda value: value)
def test_commands_in_the_docs_exist(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words.pop(0)
    program = Path(words[0]).name
    if program == "make":
        expect_none(word for word in words[1:] if "=" not in word and word not in TARGETS)
    elif program == "skyops":
        _check_skyops(words[1:])
    else:
        assert program in OTHER_PROGRAMS, f"{page}: is {program} there for the reader?"


def _check_skyops(words: list[str]) -> None:
    """Walk the words down the tree of commands; then click itself checks options and arguments."""
    command: click.Command = cli
    context = click.Context(command, info_name="skyops")
    while True:
        options = {name: param for param in command.params for name in (*param.opts, *param.secondary_opts)}
        while words and words[0].startswith("-") and isinstance(command, click.Group):
            name, equals, _ = words.pop(0).partition("=")
            assert name in {*options, "--help", "--version"}, f"{command.name} has no option {name}"
            if not equals and name in options and not getattr(options[name], "is_flag", False):
                words.pop(0)
        if not isinstance(command, click.Group) or not words:
            break
        child = command.get_command(context, words[0])
        assert child is not None, f"no command {words[0]}"
        context = click.Context(child, info_name=words.pop(0), parent=context)
        command = child
    if not isinstance(command, click.Group):
        words = [re.split(r"^[|&;]+$", word)[0] for word in words]
        ends = [index for index, word in enumerate(words) if word in {"", "|", "&", "&&", ">", "<", ";"}]
        command.make_context(
            command.name, words[: ends[0]] if ends else words, parent=context, resilient_parsing=False
        )


def test_links_inside_the_repository_lead_somewhere() -> None:
    files = set(tracked_files())
    broken = []
    for page in PAGES:
        for target in LINK.findall(text_of(page)):
            if "://" in target or target.startswith("mailto:"):
                continue
            path, _, anchor = target.partition("#")
            place = (ROOT / page).parent.joinpath(path).resolve() if path else ROOT / page
            name = str(place.relative_to(ROOT))
            is_there = name in files or any(file.startswith(f"{name}/") for file in files)
            if not is_there or (anchor and name.endswith(".md") and anchor not in _anchors(place)):
                broken.append(f"{page}: {target}")
    expect_none(broken)


def _anchors(page: Path) -> set[str]:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r'<a id="([^"]+)">', text))
    return named | {
        re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        for heading in HEADING.findall(text)
    }


def test_every_error_code_is_explained() -> None:
    row = re.compile(r"^(?:###? |\| )`([a-z0-9_]+)`", re.MULTILINE)
    explained = set(row.findall(text_of("docs/troubleshooting.md")))
    codes = raised_codes()
    expect_none(
        [
            f"{code}: not explained ({', '.join(sorted(codes[code]))})"
            for code in sorted(set(codes) - explained - set(OUTCOMES))
        ]
        + [f"{code}: explained, and nothing raises it" for code in sorted(explained - set(codes))]
    )


@pytest.mark.net
def test_library_example_runs(tmp_path: Path) -> None:
    program = re.findall(r"^```python\n(.*?)^```", text_of("docs/library.md"), re.MULTILINE | re.DOTALL)[0]
    (tmp_path / "example.py").write_text(program)
    command = [sys.executable, "-W", "error", str(tmp_path / "example.py")]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert re.fullmatch(r"session with 0x[0-9a-fA-F]{40}, who has A100\n", run.stdout)


def test_topology_in_the_docs_is_one(tmp_path: Path) -> None:
    text = re.findall(r"^```toml\n(.*?)^```", text_of("docs/testnet.md"), re.MULTILINE | re.DOTALL)[0]
    (tmp_path / "my-network.toml").write_text(text)
    plan = load_topology(tmp_path / "my-network.toml", count=None)
    assert [node.region for node in plan.nodes][-1] == "ap"


def test_every_metric_is_listed() -> None:
    source = text_of("skyops_p2p/node/metrics.py")
    listed = set(
        re.findall(
            r"^\| `(skyops_[a-z_]+?)(?:_total)?(?:\{[a-z,]+\})?` \|", text_of("docs/operations.md"), re.M
        )
    )
    counted = set(re.findall(r'"(skyops_[a-z_]+)"', source))
    assert listed == counted


def test_settings_named_in_the_docs_exist() -> None:
    known = {setting.name for setting in describe_settings()}
    tables = "|".join(sorted({name.partition(".")[0] for name in known if "." in name}))
    pattern = re.compile(rf"`((?:{tables})\.[a-z_]+)\b(?! *\()")
    expect_none(
        f"{page}: {name}" for page in PAGES for name in pattern.findall(text_of(page)) if name not in known
    )


def test_every_field_of_a_job_is_on_its_page() -> None:
    page = text_of("docs/jobs.md")
    expect_none(name for name in sorted(set(_fields(JobSpec))) if not re.search(rf"`{name}\b", page))


def test_every_command_and_field_of_a_test_network_is_on_its_page() -> None:
    page = text_of("testnet/README.md")
    group = cli.get_command(click.Context(cli), "testnet")
    assert isinstance(group, click.Group)
    names = {*_fields(Topology), *group.list_commands(click.Context(group))}
    expect_none(name for name in sorted(names) if not re.search(rf"[`\[]{name}\b", page))


def _fields(part: type[BaseModel]) -> Iterator[str]:
    """Yield the names of a table's fields as people write them, and those of the tables in it."""
    for name, field in part.model_fields.items():
        if field.exclude:
            continue  # in Python only
        yield field.alias or name
        for inner in _tables(field.annotation):
            yield from _fields(inner)


def _tables(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _tables(inner)


def test_every_setting_has_words() -> None:
    expect_none(setting.name for setting in describe_settings() if len(setting.text) < 10)


def test_every_page_is_reachable_from_the_readme() -> None:
    seen: set[str] = set()
    waiting = ["README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page not in PAGES:
            continue
        seen.add(page)
        for target in LINK.findall(text_of(page)):
            place = (ROOT / page).parent.joinpath(target.partition("#")[0]).resolve()
            if "://" not in target and place.is_relative_to(ROOT):
                name = str(place.relative_to(ROOT))
                waiting += [name, f"{name}/README.md"]
    expect_none(page for page in PAGES if page not in seen)


def test_changelog_has_room_for_what_comes() -> None:
    text = text_of("CHANGELOG.md")
    sections = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= {
        "Added",
        "Changed",
        "Deprecated",
        "Removed",
        "Fixed",
        "Security",
    }
