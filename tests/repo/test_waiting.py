"""Every command that asks, computes or waits tells so on a terminal; those that do not are listed, with the reason."""

import ast
import inspect

import click

from skyops_p2p.cli.main import cli
from tests.repo.source_tree import dotted, expect_none, package_sources

TELLING = {"waiting", "ProgressLine", "client", "show_screen"}
"""Whoever is called for it: a spinner, a progress line, the client of a running node (whose calls have a spinner), or
the screen of a node."""
QUICK = {
    "skyops id": "reads two small files",
    "skyops config check": "reads a file",
    "skyops config show": "reads a file",
    "skyops config init": "writes a file",
    "skyops completion": "prints a text",
    "skyops job new": "writes a file",
    "skyops job schema": "prints a text",
    "skyops testnet kill": "sends signals",
    "skyops testnet stop": "sends signals",
    "skyops testnet cont": "sends signals",
    "skyops testnet logs": "prints lines as they come",
    "skyops testnet list": "reads small files",
    "skyops wallet address": "reads a small file",
    "skyops chain serve": "is a process that nobody watches",
}


def _commands(group: click.Group, path: str) -> list[tuple[str, click.Command]]:
    context = click.Context(group, info_name=path)
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found += _commands(command, f"{path} {name}")
        else:
            found.append((f"{path} {name}", command))
    return found


def _modules() -> dict[str, ast.Module]:
    """Map the name of each module of the command line to its tree."""
    return {
        source.path.removesuffix(".py").replace("/", "."): source.tree
        for source in package_sources()
        if source.path.startswith("skyops_p2p/cli/")
    }


class _Module:
    """What each function of a module calls, and which names come from which other module."""

    def __init__(self, tree: ast.Module) -> None:
        self.called: dict[str, set[str]] = {}
        self.origin: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                calls = [dotted(one.func) for one in ast.walk(node) if isinstance(one, ast.Call)]
                self.called.setdefault(node.name, set()).update(name.rpartition(".")[2] for name in calls)
            elif isinstance(node, ast.ImportFrom):
                self.origin |= {one.asname or one.name: node.module or "" for one in node.names}


def _tells(module: str, name: str, modules: dict[str, _Module]) -> bool:
    seen: set[tuple[str, str]] = set()
    coming = [(module, name)]
    while coming:
        place = coming.pop()
        if place[1] in TELLING:
            return True
        if place in seen or place[0] not in modules:
            continue
        seen.add(place)
        own = modules[place[0]]
        coming += [
            (place[0] if call in own.called else own.origin.get(call, place[0]), call)
            for call in own.called.get(place[1], ())
        ]
    return False


def test_every_command_that_lets_wait_tells_so() -> None:
    modules = {name: _Module(tree) for name, tree in _modules().items()}
    silent = []
    for path, command in _commands(cli, "skyops"):
        assert command.callback is not None
        callback = inspect.unwrap(command.callback)
        if not _tells(callback.__module__, callback.__name__, modules):
            silent.append(path)
    expect_none(f"{path}: wrap what takes long in `waiting`" for path in silent if path not in QUICK)
    expect_none(f"{path}: it tells; take it off the list" for path in QUICK if path not in silent)
