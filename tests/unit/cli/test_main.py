"""The command line in process: help, errors, exit codes and what each command prints without a node."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from skyops_p2p.cli.main import ENTRIES, cli, run_main
from skyops_p2p.errors import NetworkError, SkyopsError

Capture = pytest.CaptureFixture[str]


def run(*arguments: object) -> int:
    return run_main([str(argument) for argument in arguments])


# --- help -------------------------------------------------------------------------------------------------------
def test_help_lists_every_command_without_importing_it(capsys: Capture) -> None:
    assert run("--help") == 0
    out = capsys.readouterr().out
    for name, entry in ENTRIES.items():
        assert f"  {name} " in out
        assert entry.summary in out
    assert "Exit codes" in out


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; from skyops_p2p.cli.main import run_main; run_main(['--help']);"
        "heavy = {'trio', 'pydantic', 'rich', 'libp2p', 'fastapi', 'httpx', 'http.client'} & set(sys.modules);"
        "print(','.join(sorted(heavy)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=False
    )
    assert (done.returncode, done.stderr) == (0, "\n")


@pytest.mark.parametrize("name", list(ENTRIES))
def test_every_command_has_help_and_options_with_text(name: str, capsys: Capture) -> None:
    assert run(name, "--help") == 0
    assert len(capsys.readouterr().out) > 40
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    commands = [command, *getattr(command, "commands", {}).values()]
    for one in commands:
        assert one.help, f"{one.name} has no help"
        options = [item for item in one.params if isinstance(item, click.Option)]
        assert [item.name for item in options if not item.help] == []


def test_version(capsys: Capture) -> None:
    from skyops_p2p import __version__

    assert run("--version") == 0
    assert capsys.readouterr().out == f"skyops {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(shell: str, capsys: Capture) -> None:
    assert run("completion", shell) == 0
    assert "_SKYOPS_COMPLETE" in capsys.readouterr().out


# --- errors -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["mpa"], 2, "error[unknown_command]: there is no command 'mpa' of `skyops` -> Did you mean map? "),
        (
            ["--nonsense"],
            2,
            "error[unknown_option]: there is no option --nonsense of `skyops` -> `skyops --help`",
        ),
        (
            ["map", "--jsno"],
            2,
            "error[unknown_option]: there is no option --jsno of `skyops map` -> Did you mean --json? ",
        ),
        (
            ["map", "-x"],
            2,
            "error[unknown_option]: there is no option -x of `skyops map` -> `skyops map --help`",
        ),
        (["map", "--no-color"], 2, "-> It stands before the command: `skyops --no-color map`."),
        (["config", "show", "x", "--config", "y"], 2, "`skyops --config config show`."),
        (["ping"], 2, "error[argument_missing]: PEER is missing -> Write `skyops ping [OPTIONS] PEER`;"),
        (["completion"], 2, "error[argument_missing]: SHELL is missing: one of bash, fish, zsh -> Write"),
        (
            ["map", "--limit"],
            2,
            "error[argument_missing]: --limit needs a value -> Write it after the option",
        ),
        (["map", "--sort", "colour"], 2, "error[argument_invalid]: --sort: 'colour' is not one of 'price'"),
        (["map", "--vram", "-1"], 2, "error[argument_invalid]: --vram: -1.0 is not in the range"),
        (["map", "--limit", "0"], 2, "error[argument_invalid]: --limit: 0 is not in the range"),
        (
            ["map", "--limit", "q"],
            2,
            "error[argument_invalid]: --limit: 'q' is not a whole number -> `skyops map --help`",
        ),
        (["ping", "x", "-c", "0"], 2, "error[argument_invalid]: --count: 0 is not in the range"),
        (
            ["ping", "x", "y"],
            2,
            "error[usage_wrong]: got unexpected extra argument (y) -> Write `skyops ping ",
        ),
        (["status", "--watch"], 2, "error[usage_wrong]: --watch goes with a job; `skyops events -f` follows"),
        (["completion", "tcsh"], 2, "'tcsh' is not one of"),
        (["status"], 4, "error[node_not_running]"),
        (["events"], 4, "error[node_not_running]"),
        (["handshake", "x"], 4, "error[node_not_running]"),
        (["id"], 3, "error[key_missing]"),
        (["run"], 3, "skyops init"),
        (["init"], 3, "error[passphrase_missing]"),
        (["run", "--join", "nowhere"], 2, "error[join_invalid]"),
        (["run", "--join", "/ip4/1.2.3.4/tcp/1/p2p/12D3KooW"], 2, "--network NAME"),
        (["run", "--join", "a", "--join", "b"], 2, "one network, not 2"),
        (["run", "--listen", "nonsense"], 2, "nonsense"),
        (["run", "--declare-gpu", "A100:80"], 2, "test networks only"),
        (["config", "show", "netwrk.listen"], 2, "Did you mean network.listen"),
        (["--config", "/nowhere/x.toml", "config", "check"], 2, "/nowhere/x.toml"),
        (["testnet", "up", "--nodes", "0"], 8, "error[too_many_nodes]"),
        (["testnet", "up", "--nodes", "65"], 8, "error[too_many_nodes]"),
        (["testnet", "up", "--name", "Bad Name"], 8, "error[name_invalid]"),
        (["testnet", "up", "--topology", "/nowhere.toml"], 8, "error[topology_unreadable]"),
        (["testnet", "status"], 8, "error[testnet_unknown]"),
        (["testnet", "down", "--name", "none"], 8, "error[testnet_unknown]"),
        (["testnet", "kill"], 2, "error[argument_missing]: NODES is missing -> Write `skyops testnet kill "),
        (["testnet", "kil"], 2, "there is no command 'kil' of `skyops testnet` -> Did you mean kill? "),
        (["demo", "--nodes", "1"], 2, "error[argument_invalid]: --nodes: 1 is not in the range"),
        (["demo", "--scenario", "none"], 2, "error[scenario_unknown]"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_input_is_one_readable_error(
    arguments: list[str], code: int, said: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.isatty", lambda _descriptor: False)
    assert run(*arguments) == code
    shown = capsys.readouterr()
    assert said in shown.err
    # Settings that are wrong are listed, each on a line; all else is one line.
    assert (shown.out, shown.err.count("\n")) == ("", 1) or "error[config_invalid]" in shown.err
    assert shown.err.startswith("error[")
    assert "Traceback" not in shown.err


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["status", "--json"], 4, "node_not_running"),
        (["map", "--json", "--sort", "colour"], 2, "argument_invalid"),
        (["mpa", "--json"], 2, "unknown_command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_with_json_an_error_is_one_object(
    arguments: list[str], code: int, named: str, capsys: Capture
) -> None:
    assert run(*arguments) == code
    shown = capsys.readouterr()
    error = json.loads(shown.err)["error"]
    assert (shown.out, error["code"], error["exit_code"]) == ("", named, code)
    assert set(error) == {"code", "detail", "hint", "exit_code"}
    assert all(error.values())


def test_json_after_two_dashes_is_no_option(capsys: Capture) -> None:
    assert run("ping", "--", "--json") == 4
    assert capsys.readouterr().err.startswith("error[node_not_running]")


def test_no_command_at_all_shows_the_help(capsys: Capture) -> None:
    assert run() == 2
    assert "Usage: skyops" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (
            NetworkError("bob is away", code="dial_failed", hint="Wait."),
            4,
            "error[dial_failed]: bob is away -> Wait.\n",
        ),
        (SkyopsError("odd"), 1, "error[error]: odd\n"),
        (
            ExceptionGroup("one", [ExceptionGroup("one", [NetworkError("deep")])]),
            4,
            "error[network_unreachable]: deep -> Check that the peer",
        ),
        (KeyboardInterrupt(), 130, ""),
        (BaseExceptionGroup("one", [KeyboardInterrupt()]), 130, ""),
        (ValueError("boom"), 70, "error[unexpected]: ValueError: boom -> This is a bug in skyops"),
    ],
)
def test_every_ending_has_a_code(
    raised: BaseException, code: int, said: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_options: object) -> None:
        raise raised

    monkeypatch.setattr(cli, "main", fail)
    assert run("status") == code
    err = capsys.readouterr().err
    assert err.startswith(said)
    assert "Traceback" not in err


def test_debug_adds_the_traceback(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_options: object) -> None:
        raise ValueError("boom")

    monkeypatch.setattr(cli, "main", fail)
    assert run("--debug", "status") == 70
    assert "Traceback" in capsys.readouterr().err


# --- commands on files ------------------------------------------------------------------------------------------
def test_new_test_network_node(tmp_path: Path, capsys: Capture) -> None:
    data_dir = tmp_path / "alice"
    assert run("--data-dir", data_dir, "init", "--testnet", "testnet-4f2a", "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert run("id", "--json", "--data-dir", data_dir) == 0
    assert json.loads(capsys.readouterr().out) == made
    assert run("--data-dir", data_dir, "config", "check", "--json") == 0
    settings = json.loads(capsys.readouterr().out)
    assert settings["network.name"]["value"] == "testnet-4f2a"
    assert settings["is_testnet"]["value"] is True
    assert "config.toml" in settings["network.name"]["source"]


def test_init_never_overwrites(tmp_path: Path, capsys: Capture) -> None:
    assert run("--data-dir", tmp_path, "init", "--testnet", "testnet-1") == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert run("--data-dir", tmp_path, "init", "--testnet", "testnet-2") == 3
    assert "error[identity_exists]" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_init_keeps_a_config_file_that_is_there(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "config.toml").write_text('is_testnet = true\n[network]\nname = "testnet-9"\n')
    assert run("--data-dir", tmp_path, "init", "--testnet", "testnet-1") == 0
    assert "left alone" in capsys.readouterr().out
    assert run("--data-dir", tmp_path, "config", "init") == 2
    assert "error[config_exists]" in capsys.readouterr().err


def test_passphrase_file_protects_the_wallet(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skyops_p2p.node.identity import load_wallet

    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("correct horse\n")
    monkeypatch.setenv("SKYOPS_WALLET_PASSPHRASE", "another")
    assert (
        run("--data-dir", tmp_path / "a", "init", "--testnet", "t", "--passphrase-file", secret, "--json")
        == 0
    )
    wallet = json.loads(capsys.readouterr().out)["wallet"]
    assert load_wallet(tmp_path / "a" / "wallet.json", "correct horse").address == wallet


def test_doctor_on_an_empty_directory_fails_with_advice(tmp_path: Path, capsys: Capture) -> None:
    assert run("--data-dir", tmp_path / "none", "doctor") == 1
    out = capsys.readouterr().out
    assert "skyops init" in out
    assert "must be mended" in out
    assert run("--data-dir", tmp_path / "none", "doctor", "--json") == 1
    findings = json.loads(capsys.readouterr().out)
    assert {"name", "status", "found", "mend"} == set(findings[0])


def test_config_show_explains_one_setting(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKYOPS_PRESENCE_BEAT_S", "5")
    assert run("--data-dir", tmp_path, "config", "show", "presence.beat_s") == 0
    out = capsys.readouterr().out
    assert out.startswith("presence.beat_s = 5.0   (environment SKYOPS_PRESENCE_BEAT_S)")
    assert run("--data-dir", tmp_path, "config", "show", "presence.beat_s", "--json") == 0
    assert json.loads(capsys.readouterr().out)["value"] == 5.0


def test_config_check_names_the_wrong_line(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "config.toml").write_text("[network]\nlisten = 4\n")
    assert run("--data-dir", tmp_path, "config", "check") == 2
    err = capsys.readouterr().err
    assert "config.toml:2" in err
    assert "network.listen" in err
