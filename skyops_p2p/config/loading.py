"""From defaults, file, environment and flags to one NodeConfig, with every mistake named at once.

Later sources win. For each value it is remembered where it came from; a mistake is reported with that place
(file and line, variable, or flag), with what was found, what is allowed, and a name that was perhaps meant.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from skyops_p2p import limits
from skyops_p2p.config.describe import ENVIRONMENT_PREFIX, SettingDescription, describe_settings
from skyops_p2p.config.models import NodeConfig
from skyops_p2p.config.toml_lines import key_lines
from skyops_p2p.errors import ConfigError

CONFIG_FILE_NAME = "config.toml"
OTHER_VARIABLES = frozenset(
    {"SKYOPS_DATA_DIR", "SKYOPS_CONFIG", "SKYOPS_WALLET_PASSPHRASE", "SKYOPS_WALLET_PASSPHRASE_FILE"}
)
"""Variables of this program that are no settings; what they mean is said where they are read."""
_FOUND_CHARS_MAX = 80
_FLAG_WORDS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(
    ("false", "no", "off", "0"), False
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One effective setting and where its value came from."""

    name: str
    """Dotted, e.g. "network.listen"."""
    value: object
    source: str
    """"default", "<file>:<line>", "environment SKYOPS_…", "flag <name>", or "data directory" for itself."""


def find_data_dir(flag: Path | None, environment: Mapping[str, str]) -> Path:
    """Return the data directory: the flag, else SKYOPS_DATA_DIR, else the user's default one; absolute."""
    if flag is not None:
        return flag.expanduser().absolute()
    if text := environment.get("SKYOPS_DATA_DIR", ""):
        return Path(text).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("skyops", appauthor=False))


def load_config(
    data_dir: Path, *, file: Path | None, environment: Mapping[str, str], flags: Mapping[str, object]
) -> tuple[NodeConfig, tuple[Setting, ...]]:
    """Read and check all settings; defaults < file < environment < flags.

    Args:
        data_dir: The node's directory; a relative psk_file is looked up in it.
        file: The config file; None means `config.toml` in `data_dir`, if it exists.
        environment: Usually os.environ. A variable that begins like a table ("SKYOPS_NETWORK_") must be a
            setting; other SKYOPS_ names are left alone unless they look like a slip of the pen.
        flags: Values by dotted name, as text or already typed; None means that the flag was not given.

    Returns:
        The configuration, and every setting with its source, in the order of `describe_settings`.

    Raises:
        ConfigError: `config_invalid` naming every wrong setting, `config_unreadable` (the file cannot be
            read or is no TOML), `psk_unreadable` or `psk_malformed`.
    """
    draft = _Draft()
    _take_file(draft, data_dir, file)
    _take_environment(draft, environment)
    _take_flags(draft, flags)
    draft.values["data_dir"], draft.sources["data_dir"] = data_dir, "data directory"
    config = _validate(draft)
    if config.network.psk_file is not None:
        psk_file = data_dir / _expand(config.network.psk_file)
        network = config.network.model_copy(update={"psk_file": psk_file})
        config = config.model_copy(update={"network": network})
        read_psk(psk_file)
    return config, _effective(config, draft.sources)


def read_psk(path: Path) -> bytes:
    """Return the 32-byte pre-shared key of a private network from a file with 64 hex digits.

    Raises:
        ConfigError: `psk_unreadable`, or `psk_malformed`. Neither repeats the file's content.
    """
    try:
        raw = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"network.psk_file: cannot read {path}: {reason}", code="psk_unreadable") from error
    text = raw.strip()
    if len(text) != limits.PSK_HEX_CHARS or text.translate(None, b"0123456789abcdefABCDEF"):
        raise ConfigError(
            f"network.psk_file: {path} does not hold 64 hex digits and nothing else",
            code="psk_malformed",
            hint="Make one with `openssl rand -hex 32` and give the same file to every node of the network.",
        )
    return bytes.fromhex(text.decode())


def _expand(path: Path) -> Path:
    """Replace "~"; a user who does not exist makes the path one that cannot be read."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


class _Draft:
    """Raw values by dotted name, where each came from, and the problems found so far."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.sources: dict[str, str] = {}
        self.problems: list[str] = []
        self.known: dict[str, SettingDescription] = {setting.name: setting for setting in describe_settings()}

    def take(self, name: str, value: object, source: str, *, is_text: bool) -> None:
        """Take a value over the earlier ones; `is_text` says that it still has to be read as its type."""
        setting = self.known[name]
        if setting.kind == "path" and value == "":
            value = None
        elif is_text and isinstance(value, str):
            value = _from_text(setting, value)
        self.values[name], self.sources[name] = value, source

    def refuse(self, source: str, problem: str) -> None:
        """Note a problem at its place."""
        self.problems.append(f"{source}: {problem}")


def _take_file(draft: _Draft, data_dir: Path, file: Path | None) -> None:
    """Read the config file into the draft; only a file that was asked for has to exist."""
    path = data_dir / CONFIG_FILE_NAME if file is None else file
    try:
        text = path.read_bytes().decode()
        tables = tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError) as error:
        if file is None:
            return
        raise ConfigError(f"no config file at {path}", code="config_unreadable") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", code="config_unreadable") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: not UTF-8 text at byte {error.start}", code="config_unreadable"
        ) from error
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits, and absurd nesting
        raise ConfigError(f"{path}: not valid TOML: {error}", code="config_unreadable") from error
    lines = key_lines(text)
    sections = {name.partition(".")[0] for name in draft.known if "." in name}
    for table, content in tables.items():
        if table in sections and isinstance(content, dict):
            items = {f"{table}.{key}": value for key, value in content.items()}
        else:
            items = {table: content}
        for name, value in items.items():
            place = f"{path}:{lines[name]}" if name in lines else str(path)
            _take_file_value(draft, name, value, place)


def _take_file_value(draft: _Draft, name: str, value: object, place: str) -> None:
    """Take one value of the file, or say why not."""
    if name in draft.known and draft.known[name].in_file:
        draft.take(name, value, place, is_text=False)
    elif name in draft.known:
        draft.refuse(place, f"{name} cannot stand in the file: use --data-dir or SKYOPS_DATA_DIR")
    elif any(known.startswith(f"{name}.") for known in draft.known):
        draft.refuse(place, f"{name} is a table: write [{name}] and its settings below")
    elif isinstance(value, dict) and "." not in name:
        tables = [known.partition(".")[0] for known in draft.known if "." in known]
        draft.refuse(place, f"unknown table [{name}]{_meant(name, tables)}")
    else:
        draft.refuse(place, f"unknown setting {name}{_meant(name, draft.known)}")


def _take_environment(draft: _Draft, environment: Mapping[str, str]) -> None:
    """Take the settings among the variables."""
    names = {setting.environment: setting.name for setting in draft.known.values() if setting.in_file}
    tables = tuple(
        f"{ENVIRONMENT_PREFIX}{name.partition('.')[0].upper()}_" for name in draft.known if "." in name
    )
    for variable, text in sorted(environment.items()):
        if variable in names:
            draft.take(names[variable], text, f"environment {variable}", is_text=True)
        elif variable in OTHER_VARIABLES or not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        elif variable.startswith(tables) or difflib.get_close_matches(variable, names, n=1, cutoff=0.9):
            draft.refuse(f"environment {variable}", f"unknown setting{_meant(variable, names)}")


def _take_flags(draft: _Draft, flags: Mapping[str, object]) -> None:
    """Take the flags that were given."""
    for name, value in flags.items():
        if value is None:
            continue
        if name in draft.known and draft.known[name].in_file:
            draft.take(name, value, f"flag {name}", is_text=True)
        else:
            draft.refuse("flag", f"unknown setting {name}{_meant(name, draft.known)}")


def _from_text(setting: SettingDescription, text: str) -> object:
    """Read a text as its setting's type; what cannot be read stays text, for the validation to refuse."""
    stripped = text.strip()
    match setting.kind:
        case "flag":
            return _FLAG_WORDS.get(stripped.lower(), text)
        case "whole number" | "number":
            try:
                return int(stripped) if setting.kind == "whole number" else float(stripped)
            except ValueError:
                return text
        case "list":
            return tuple(part.strip() for part in text.split(",") if part.strip())
        case _:
            return text


def _validate(draft: _Draft) -> NodeConfig:
    """Check the draft as a whole and return the configuration, or raise with all problems."""
    tree: dict[str, object] = {}
    for name, value in draft.values.items():
        table, _, key = name.rpartition(".")
        place = tree.setdefault(table, {}) if table else tree
        assert isinstance(place, dict)
        place[key] = value
    try:
        config = NodeConfig.model_validate(tree)
    except ValidationError as error:
        for details in error.errors(include_url=False):
            _refuse_value(draft, details)
    else:
        if not draft.problems:
            return config
    problems = list(dict.fromkeys(draft.problems))
    count = "1 setting is" if len(problems) == 1 else f"{len(problems)} settings are"
    raise ConfigError("\n  ".join([f"{count} wrong:", *problems]))


def _refuse_value(draft: _Draft, details: ErrorDetails) -> None:
    """Turn one finding of pydantic into a sentence about the setting, at the place it came from."""
    if details["type"] == "setting_refused":
        name = str(details["ctx"]["setting"])
        problem = f"{name}: {details['ctx']['reason']}"
    else:
        name = ".".join(str(part) for part in details["loc"][:2])
        if details["type"] == "value_error":
            problem = f"{name}: {details['ctx']['error']}"
        else:
            found = repr(draft.values.get(name))
            if len(found) > _FOUND_CHARS_MAX:
                found = found[:_FOUND_CHARS_MAX] + "…"
            problem = f"{name}: found {found}, allowed is {draft.known[name].allowed}"
    draft.refuse(draft.sources.get(name, "default"), problem)


def _meant(name: str, known: Iterable[str]) -> str:
    """Return ": did you mean …?" if a known name is close, else nothing."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if not close:
        close = [candidate for candidate in names if candidate.rpartition(".")[2] == name.rpartition(".")[2]][
            :1
        ]
    return f": did you mean {close[0]}?" if close else ""


def _effective(config: NodeConfig, sources: Mapping[str, str]) -> tuple[Setting, ...]:
    """List every setting of a checked configuration."""
    settings = []
    for name in (setting.name for setting in describe_settings()):
        value: object = config
        for part in name.split("."):
            value = getattr(value, part)
        settings.append(Setting(name, value, sources.get(name, "default")))
    return tuple(settings)
