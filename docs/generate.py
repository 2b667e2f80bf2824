"""Write the pages of docs/ that are made from the program itself: `make docs`. A test compares them with it."""

import ast
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from skyops_p2p import limits
from skyops_p2p.cli.main import cli
from skyops_p2p.config import SettingDescription, describe_settings, render_config
from skyops_p2p.core.auction import codes
from skyops_p2p.core.execution.outcomes import OUTCOMES, Cause, Outcome

HERE = Path(__file__).resolve().parent
HELP_WIDTH = 100

CLI_INTRO = """\
# The command line

Written by `make docs` from the program. Every command answers `--help`; global options stand before the command
(`skyops --data-dir DIR map`). Commands that print data take `--json`. What an error code means and how to mend it:
[troubleshooting.md](troubleshooting.md).
"""

CONFIGURATION_INTRO = """\
# Settings

Written by `make docs` from the program. A value comes from, the later winning: the default, the config file
(`config.toml` in the data directory, or `--config FILE`), the environment, flags of the command. An unknown name or
a wrong value is refused with the file, the line and what is allowed. `skyops config check` prints every effective
value and where it came from, `skyops config show NAME` explains one; `skyops config init` writes a file that explains
itself (shown at the end). In the environment a list is written with commas: `SKYOPS_NETWORK_BOOTSTRAP=ADDRESS,ADDRESS`.
"""

LIMITS_INTRO = """\
# Limits

Written by `make docs` from `skyops_p2p/limits`. Nothing in Skyops is unbounded: every queue, list, wait and retry
has a limit here. What a peer sees at a limit is said in [protocol/](../protocol/README.md). Names end in their unit.
"""

OUTCOMES_INTRO = """\
# How a job can end

Written by `make docs` from `core/execution/outcomes.py` and `core/auction/codes.py`. Each attempt at a job, or at a
shard of one, ends with one of these codes; `skyops status JOB` shows it with what the worker said. What is tried again
by itself, where and how often, is in [chapter 05](../protocol/05-execution.md#faults) and in the job's `retry` table
([jobs.md](jobs.md)). Why nobody took a job stands [further below](#how-a-match-fails). Errors of commands and of this
node are in [troubleshooting.md](troubleshooting.md).
"""
CAUSES = {
    Cause.NONE: ("Well", ""),
    Cause.JOB: (
        "The job",
        "Another worker would see the same: it is not tried again, unless it asked for it.",
    ),
    Cause.WORKER: ("The worker", "It is tried again on another worker, as long as attempts are left."),
    Cause.NETWORK: ("The way between", "It is tried again, as long as attempts are left."),
    Cause.PREEMPTION: (
        "Preemption",
        "It goes on from its last checkpoint, and does not count as an attempt.",
    ),
    Cause.REQUESTER: ("The requester", "What somebody wanted is not tried again; what just happened is."),
}
"""Heading and sentence of each cause."""
_QUALIFIES = codes.SCREENING_CODES.keys() | codes.POLICY_CODES.keys()
_BESIDES = "Besides why a node [does not qualify](jobs.md#why-a-node-does-not-qualify)."
MATCHES: tuple[tuple[str, str, Mapping[str, codes.CodeText]], ...] = (
    (
        "How a match fails",
        "`skyops match`, `submit --watch` and `status` show it, with the reasons of all nodes by count.",
        codes.FAILURE_CODES,
    ),
    ("Why a worker did not bid", _BESIDES, codes.DECLINE_CODES),
    ("Why a bid did not count", _BESIDES, codes.EXCLUSION_CODES),
    ("What else became of a node", "", codes.ANSWER_CODES),
    ("Why a bidder was let go", "", codes.RELEASE_CODES),
)
"""Heading, sentence and codes of what a match tells."""


def commands(command: click.Command, parent: click.Context | None, name: str) -> list[tuple[str, str]]:
    """List a command and those below it, each with its help text."""
    context = click.Context(
        command, info_name=name, parent=parent, terminal_width=HELP_WIDTH, **command.context_settings
    )
    found = [(context.command_path, command.get_help(context))]
    if isinstance(command, click.Group):
        for child_name in command.list_commands(context):
            child = command.get_command(context, child_name)
            assert child is not None
            found += commands(child, context, child_name)
    return found


def cli_page() -> str:
    """Return docs/cli.md."""
    parts = [CLI_INTRO]
    for path, text in commands(cli, None, "skyops"):
        lines = "\n".join(line.rstrip() for line in text.splitlines())
        parts.append(f"## {path}\n\n```text\n{lines}\n```\n")
    return "\n".join(parts)


def configuration_page() -> str:
    """Return docs/configuration.md."""
    parts = [CONFIGURATION_INTRO]
    table = ""
    for setting in describe_settings():
        head = setting.name.rpartition(".")[0]
        if head != table:
            table = head
            parts.append(f"## [{table}]\n")
        parts.append(_setting(setting))
    parts.append(f"## The config file, as `skyops config init` writes it\n\n```toml\n{render_config()}```\n")
    return "\n".join(parts)


def _setting(setting: SettingDescription) -> str:
    default = "empty" if setting.default in (None, "", (), Path()) else f"`{_plain(setting.default)}`"
    return (
        f"### {setting.name}\n\n{setting.text}\n\n"
        f"- Allowed: {setting.allowed}\n- Default: {default}\n- Environment: `{setting.environment}`\n"
    )


LIMIT_MODULES = (
    "wire", "network", "node", "auction", "execution", "content", "chain", "settlement", "wallet", "evidence",
    "reputation", "probes", "verification",
)  # fmt: skip
"""In the order of the page."""


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def limits_page() -> str:
    """Return docs/limits.md."""
    parts = [LIMITS_INTRO]
    for heading, rows in itertools.groupby(_limits(), key=lambda row: row[0]):
        parts.append(f"## {heading}\n\n| limit | value | what it bounds |\n|---|---|---|")
        parts += [f"| `{name}` | {_number(getattr(limits, name))} | {words} |" for _, name, words in rows]
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _limits() -> Iterator[tuple[str, str, str]]:
    """Yield (heading, name, sentence) of every limit, in order."""
    for name in LIMIT_MODULES:
        text = Path(limits.__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
        lines = text.splitlines()
        for step, following in itertools.pairwise(ast.parse(text).body):
            if not isinstance(step, ast.Assign) or not isinstance(step.targets[0], ast.Name):
                continue
            heading = next(line for line in reversed(lines[: step.lineno]) if line.startswith("# --- "))
            assert isinstance(following, ast.Expr), f"{step.targets[0].id} has no sentence below it"
            words = " ".join(str(ast.literal_eval(following.value)).split())
            yield heading.strip("# -").capitalize(), step.targets[0].id, words


def outcomes_page() -> str:
    """Return docs/outcomes.md."""
    parts = [OUTCOMES_INTRO]
    for cause, (heading, words) in CAUSES.items():
        ends = {code: outcome for code, outcome in OUTCOMES.items() if outcome.cause is cause}
        parts += _code_table(heading, words, "| code | what happened | what to do |", ends)
    for heading, words, table in MATCHES:
        told = {code: text for code, text in table.items() if code not in _QUALIFIES}
        parts += _code_table(heading, words, "| code | meaning | what to change |", told)
    return "\n".join(parts).rstrip() + "\n"


def _code_table(
    heading: str, words: str, columns: str, rows: Mapping[str, Outcome] | Mapping[str, codes.CodeText]
) -> Iterator[str]:
    yield f"## {heading}\n"
    if words:
        yield f"{words}\n"
    yield f"{columns}\n|---|---|---|"
    for code, text in rows.items():
        yield f"| `{code}` | {text.meaning} | {text.change} |"
    yield ""


def _number(value: float) -> str:
    return f"{value:,}".replace(",", " ")


def pages() -> dict[Path, str]:
    """Return what every generated page must hold."""
    return {
        HERE / "cli.md": cli_page(),
        HERE / "configuration.md": configuration_page(),
        HERE / "limits.md": limits_page(),
        HERE / "outcomes.md": outcomes_page(),
    }


def main() -> None:
    """Write the pages."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
