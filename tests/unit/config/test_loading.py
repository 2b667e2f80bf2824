"""Where settings come from, and what is said when one is wrong."""

from pathlib import Path

import pytest

from skyops_p2p.config import describe_settings, find_data_dir, load_config, read_psk
from skyops_p2p.errors import ConfigError

PEER = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"


def load(tmp_path, text=None, *, environment=None, flags=None):
    if text is not None:
        (tmp_path / "config.toml").write_text(text)
    return load_config(tmp_path, file=None, environment=environment or {}, flags=flags or {})


def refusal(tmp_path, text=None, **sources):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, **sources)
    return str(caught.value)


def source_of(settings, name):
    (source,) = [setting.source for setting in settings if setting.name == name]
    return source


def test_without_any_source_everything_is_at_its_default(tmp_path):
    config, settings = load(tmp_path)
    assert config.data_dir == tmp_path
    assert config.network.listen == ("/ip4/0.0.0.0/tcp/4711",)
    assert {setting.source for setting in settings} == {"default", "data directory"}
    assert [setting.name for setting in settings] == [described.name for described in describe_settings()]


def test_later_sources_win_and_are_remembered(tmp_path):
    config, settings = load(
        tmp_path,
        '[network]\nname = "from-file"\npeers_target = 3\nmdns = true\n',
        environment={"SKYOPS_NETWORK_PEERS_TARGET": "4", "SKYOPS_NETWORK_NAME": "from-env"},
        flags={"network.name": "from-flag", "network.relay": None},
    )
    assert (config.network.name, config.network.peers_target, config.network.mdns) == ("from-flag", 4, True)
    assert source_of(settings, "network.name") == "flag network.name"
    assert source_of(settings, "network.peers_target") == "environment SKYOPS_NETWORK_PEERS_TARGET"
    assert source_of(settings, "network.mdns") == f"{tmp_path / 'config.toml'}:4"
    assert source_of(settings, "network.relay") == "default"


@pytest.mark.parametrize(
    ("variable", "text", "section", "field", "value"),
    [
        ("SKYOPS_NETWORK_LISTEN", "/ip4/127.0.0.1/tcp/0, /ip6/::1/tcp/1", "network", "listen",
         ("/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/1")),
        ("SKYOPS_NETWORK_BOOTSTRAP", "", "network", "bootstrap", ()),
        ("SKYOPS_NETWORK_MDNS", "Yes", "network", "mdns", True),
        ("SKYOPS_PRESENCE_BEAT_S", "1.5", "presence", "beat_s", 1.5),
        ("SKYOPS_PRESENCE_BEAT_S", "2", "presence", "beat_s", 2.0),
        ("SKYOPS_API_PORT", " 8080 ", "api", "port", 8080),
        ("SKYOPS_LOG_LEVEL", "debug", "log", "level", "debug"),
        ("SKYOPS_NETWORK_PSK_FILE", "", "network", "psk_file", None),
        ("SKYOPS_WORKER_MODES", "flex, commit", "worker", "modes", ("flex", "commit")),
        ("SKYOPS_WORKER_TOKENS", "SKYOPS", "worker", "tokens", ("SKYOPS",)),
        ("SKYOPS_WORKER_REFUSED_REQUESTERS", PEER, "worker", "refused_requesters", (PEER,)),
        ("SKYOPS_WORKER_DURATION_S_MAX", "3600", "worker", "duration_s_max", 3600),
        ("SKYOPS_WORKER_AUDIT_AWARDS", "no", "worker", "audit_awards", False),
    ],
)  # fmt: skip
def test_environment_text_is_read_as_the_settings_type(tmp_path, variable, text, section, field, value):
    config, _ = load(tmp_path, environment={variable: text})
    assert getattr(getattr(config, section), field) == value


def test_whole_numbers_in_the_file_serve_as_numbers(tmp_path):
    config, _ = load(tmp_path, "[presence]\nbeat_s = 5\n")
    assert config.presence.beat_s == 5.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[network]\nlisen = []\n",
            "config.toml:2: unknown setting network.lisen: did you mean network.listen?",
        ),
        ("[netwrok]\nname = 'a'\n", "config.toml:1: unknown table [netwrok]: did you mean network?"),
        ("name = 'a'\n", "config.toml:1: unknown setting name: did you mean network.name?"),
        ("network = 3\n", "config.toml:1: network is a table"),
        ("data_dir = '/x'\n", "data_dir cannot stand in the file"),
        (
            "[network]\npeers_target = 0\n",
            "peers_target: found 0, allowed is a whole number, at least 1, at most 64",
        ),
        ("[network]\npeers_target = 65\n", "found 65, allowed is"),
        ("[network]\npeers_target = '8'\n", "found '8', allowed is a whole number"),
        ("[network]\npeers_target = true\n", "found True, allowed is a whole number"),
        ("[network]\nname = 5\n", "config.toml:2: network.name: found 5, allowed is a text"),
        ("[network]\nlisten = '/ip4/127.0.0.1/tcp/1'\n", "allowed is a list of texts"),
        ("[network]\nlisten = [1]\n", "network.listen: found [1], allowed is a list of texts"),
        ("[network]\nlisten = []\n", "at least 1 entry"),
        ("[network]\nmdns = 'true'\n", "found 'true', allowed is true or false"),
        ("[presence]\nbeat_s = nan\n", "allowed is a number"),
        ("[presence]\nbeat_s = true\n", "found True, allowed is a number"),
        ("[log]\nlevel = 'loud'\n", 'allowed is one of "debug", "info", "warning", "error"'),
        ("[network.listen]\nx = 1\n", "network.listen: found {'x': 1}, allowed is a list of texts"),
        (
            "[api]\nport = 1\nhost = '0.0.0.0'\n",
            "config.toml:3: api.host: '0.0.0.0' is open to other machines",
        ),
        (
            "[worker]\ndeclared_gpus = ['A100:80']\n",
            "config.toml:2: worker.declared_gpus: declared hardware is",
        ),
        (
            "[worker]\nmisbehaves = 'wrong-result'\n",
            "config.toml:2: worker.misbehaves: a worker may do wrong on test networks only",
        ),
        (
            "[network]\nprobe_slot_s = 10\n",
            "config.toml:2: network.probe_slot_s: only test networks may shorten slots",
        ),
        (
            "is_testnet = true\n[network]\nprobe_watch_slots = 37\n",
            "network.probe_watch_slots: found 37, allowed is a whole number, at least 1, at most 36",
        ),
        ("is_testnet = true\n[worker]\ndeclared_gpus = ['A100']\n", "'A100': declare a GPU as"),
        (
            "[worker]\ndeclared_cpu_cores = 64\n",
            "config.toml:2: worker.declared_cpu_cores: declared hardware is",
        ),
        (
            "[worker]\nmodes = ['flexible']\n",
            'found [\'flexible\'], allowed is a list of "priority", "commit", "flex", at least 1 entry',
        ),
        ("[worker]\nmodes = []\n", "worker.modes: found [], allowed is"),
        ("[worker]\ntokens = ['SKY OPS']\n", "'SKY OPS': a token is 1 to 16 letters and digits"),
        ("[worker]\ntokens = ['', 'ETH']\n", "'': a token is 1 to 16"),
        ("[worker]\nduration_s_max = -1\n", "allowed is a whole number, at least 0, at most 31536000"),
        ("[worker]\nrefused_requesters = ['mallory']\n", "'mallory' is not a peer id"),
        ("[worker]\naudit_awards = 1\n", "found 1, allowed is true or false"),
    ],
)
def test_a_wrong_file_is_refused_with_place_finding_and_bounds(tmp_path, text, expected):
    message = refusal(tmp_path, text)
    assert message.startswith("1 setting is wrong:\n")
    assert expected in message


def test_several_problems_are_reported_at_once(tmp_path):
    message = refusal(
        tmp_path,
        "[network]\npeers_target = 0\nlisen = []\n",
        environment={"SKYOPS_API_PORT": "http", "SKYOPS_NETWORK_NAMES": "x"},
        flags={"log.level": "loud", "log.levle": "info"},
    )
    assert message.startswith("6 settings are wrong:\n")
    assert "environment SKYOPS_API_PORT: api.port: found 'http', allowed is a whole number" in message
    assert "environment SKYOPS_NETWORK_NAMES: unknown setting: did you mean SKYOPS_NETWORK_NAME?" in message
    assert "flag log.level: log.level: found 'loud'" in message
    assert "flag: unknown setting log.levle: did you mean log.level?" in message


def test_variables_that_are_no_settings_are_left_alone(tmp_path):
    load(tmp_path, environment={"SKYOPS_WALLET_PASSPHRASE": "x", "SKYOPS_CHECKPOINT_DIR": "y", "HOME": "/"})


def test_a_slip_in_a_variable_outside_tables_is_found(tmp_path):
    message = refusal(tmp_path, environment={"SKYOPS_IS_TESTNT": "1"})
    assert "did you mean SKYOPS_IS_TESTNET?" in message


def test_a_remote_api_needs_and_takes_permission(tmp_path):
    config, _ = load(tmp_path, "[api]\nhost = '0.0.0.0'\nallow_remote = true\n")
    assert config.api.host == "0.0.0.0"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"[network\n", "not valid TOML: "),
        (b"\xff\xfe", "not UTF-8 text at byte 0"),
        (b"a = 1\na = 2\n", "line 2"),
        (b"a = " + b"9" * 5000, "not valid TOML: "),
        (b"a = " + b"[" * 5000, "not valid TOML: "),
    ],
    ids=range(5),
)
def test_an_unreadable_file_is_refused_by_name(tmp_path, raw, expected):
    (tmp_path / "config.toml").write_bytes(raw)
    with pytest.raises(ConfigError, match=r"config\.toml") as caught:
        load(tmp_path)
    assert caught.value.code == "config_unreadable"
    assert expected in str(caught.value)


def test_a_file_that_was_asked_for_must_exist(tmp_path):
    with pytest.raises(ConfigError, match="no config file at") as caught:
        load_config(tmp_path, file=tmp_path / "none.toml", environment={}, flags={})
    assert caught.value.code == "config_unreadable"


def test_a_directory_is_no_config_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot read") as caught:
        load_config(tmp_path, file=tmp_path, environment={}, flags={})
    assert caught.value.code == "config_unreadable"


def test_key_lines_survive_long_texts_and_quoted_keys(tmp_path):
    text = '[worker]\nlabels = ["""a=\nregion = 1\n"""]\n\n[ "network" ]\n"name" = 7 # seven\n'
    message = refusal(tmp_path, text)
    assert "config.toml:7: network.name: found 7" in message


def test_the_psk_file_is_found_beside_the_keys_and_checked(tmp_path):
    (tmp_path / "swarm.psk").write_text("ab" * 32 + "\n")
    config, _ = load(tmp_path, "[network]\npsk_file = 'swarm.psk'\n")
    assert config.network.psk_file == tmp_path / "swarm.psk"
    assert read_psk(config.network.psk_file) == bytes.fromhex("ab" * 32)


@pytest.mark.parametrize("content", ["", "ab" * 31, "ab" * 33, "zz" * 32, "é" * 32])
def test_a_malformed_psk_is_refused_without_repeating_it(tmp_path, content):
    (tmp_path / "swarm.psk").write_text(content)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "[network]\npsk_file = 'swarm.psk'\n")
    assert caught.value.code == "psk_malformed"
    assert not content or content not in str(caught.value)


@pytest.mark.parametrize("path", ["swarm.psk", "~nobody-of-that-name/psk", "a\\u0000b", "."])
def test_a_psk_that_cannot_be_read_is_refused(tmp_path, path):
    with pytest.raises(ConfigError, match="cannot read") as caught:
        load(tmp_path, f'[network]\npsk_file = "{path}"\n')
    assert caught.value.code == "psk_unreadable"


def test_the_data_directory_is_the_flag_then_the_variable_then_the_users_own(tmp_path, monkeypatch):
    assert find_data_dir(tmp_path, {"SKYOPS_DATA_DIR": "/elsewhere"}) == tmp_path
    assert find_data_dir(None, {"SKYOPS_DATA_DIR": str(tmp_path)}) == tmp_path
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert find_data_dir(None, {}) == tmp_path / "skyops"
    assert find_data_dir(Path("here"), {}).is_absolute()


@pytest.mark.parametrize(
    "address",
    [
        f"/ip4/192.0.2.7/tcp/4711/p2p/{PEER}",
        f"/ip6/2001:db8::1/tcp/1/p2p/{PEER}",
        f"/dns4/a.example/tcp/65535/p2p/{PEER}",
    ],
)
def test_bootstrap_addresses_that_can_be_dialled_are_taken(tmp_path, address):
    config, _ = load(tmp_path, environment={"SKYOPS_NETWORK_BOOTSTRAP": address})
    assert config.network.bootstrap == (address,)


@pytest.mark.parametrize(
    ("setting", "address", "expected"),
    [
        ("BOOTSTRAP", "/ip4/192.0.2.7/tcp/4711", "ends in /p2p/<peer id>"),
        ("BOOTSTRAP", "/ip4/192.0.2.7/tcp/4711/p2p/12D3", "'12D3' is not a peer id"),
        ("BOOTSTRAP", f"/ip4/192.0.2.7/tcp/0/p2p/{PEER}", "not a number from 1 to 65535"),
        ("BOOTSTRAP", f"/dns/-a/tcp/1/p2p/{PEER}", "is not a DNS name"),
        ("LISTEN", "192.0.2.7:4711", 'begins with "/"'),
        ("LISTEN", "/ip4/192.0.2/tcp/4711", "is not an IPv4 address"),
        ("LISTEN", "/ip6/192.0.2.7/tcp/4711", "is not an IPv6 address"),
        ("LISTEN", "/ip4/0.0.0.0/udp/1/quic-v1", "TCP is the only transport"),
        ("LISTEN", "/ip4/0.0.0.0/tcp/65536", "not a number from 0 to 65535"),
        ("LISTEN", "/ip4/0.0.0.0/tcp/²", "not a number"),
        ("LISTEN", "/ip4/0.0.0.0/tcp/1/", "nothing may follow the port"),
        ("LISTEN", "/dns4/localhost/tcp/1", "not on a name"),
        ("LISTEN", "/unix/x", "expected one of"),
        ("ANNOUNCE", f"/ip4/192.0.2.7/tcp/1/p2p/{PEER}", "announce /<host>"),
    ],
)  # fmt: skip
def test_addresses_that_cannot_work_are_refused(tmp_path, setting, address, expected):
    assert expected in refusal(tmp_path, environment={f"SKYOPS_NETWORK_{setting}": address})


def test_a_relayed_address_can_be_announced(tmp_path):
    address = f"/ip4/192.0.2.7/tcp/1/p2p/{PEER}/p2p-circuit"
    config, _ = load(tmp_path, environment={"SKYOPS_NETWORK_ANNOUNCE": address})
    assert config.network.announce == (address,)


@pytest.mark.parametrize(
    "url", ["", "http://127.0.0.1:9000/x", "http://localhost:9000", "https://signer.example/x"]
)
def test_a_signer_is_taken_that_nobody_between_can_change(tmp_path, url):
    assert load(tmp_path, f"[chain]\nsigner = '{url}'\n")[0].chain.signer == url


@pytest.mark.parametrize(
    "url", ["http://signer.example/hunter2", "ftp://127.0.0.1/hunter2", "hunter2", "https://"]
)
def test_another_signer_is_refused_without_repeating_it(tmp_path, url):
    said = refusal(tmp_path, f"[chain]\nsigner = '{url}'\n")
    assert "config.toml:2" in said
    assert "a signer is reached by https://, or by http:// on this machine" in said
    assert "hunter2" not in said
