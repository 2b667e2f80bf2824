"""Every setting explains itself, and the file that says so is a valid one."""

import re
import tomllib

import pytest

from skyops_p2p.config import describe_settings, load_config, render_config


def defaults(tmp_path):
    return load_config(tmp_path, file=None, environment={}, flags={})[0]


def load_text(tmp_path, text):
    path = tmp_path / "other.toml"
    path.write_text(text)
    return load_config(tmp_path, file=path, environment={}, flags={})


@pytest.mark.parametrize("setting", describe_settings(), ids=lambda setting: setting.name)
def test_every_setting_is_described_and_its_default_is_allowed(setting):
    assert setting.text.endswith("."), "a sentence that says what the setting does"
    assert setting.allowed
    assert setting.environment.startswith("SKYOPS_")
    if setting.name.endswith(("_s", "_ms")):
        assert "econds" in setting.text, "the unit is named"


def test_the_rendered_file_changes_nothing(tmp_path):
    text = render_config()
    assert tomllib.loads(text) == {
        table: {} for table in ("network", "presence", "worker", "content", "chain", "payment", "api", "log")
    }
    config, settings = load_text(tmp_path, text)
    assert config == defaults(tmp_path)
    assert {setting.source for setting in settings} == {"default", "data directory"}


def test_the_rendered_file_with_every_line_in_force_still_changes_nothing(tmp_path):
    text = re.sub(r"^#(\w+ = )", r"\1", render_config(), flags=re.MULTILINE)
    config, settings = load_text(tmp_path, text)
    assert config == defaults(tmp_path)
    by_source = [setting for setting in settings if str(tmp_path / "other.toml") in setting.source]
    assert len(by_source) == len([setting for setting in describe_settings() if setting.in_file])


def test_the_rendered_file_names_bounds_and_variable_of_each_setting():
    flat = " ".join(render_config().replace("\n# ", " ").split())
    for setting in describe_settings():
        if setting.in_file:
            assert (
                f"{setting.text} Allowed: {setting.allowed}. Environment: {setting.environment}"
                in flat.replace(" # ", " ")
            )


def test_chosen_values_are_written_in_force(tmp_path):
    values = {
        "is_testnet": True,
        "network.name": "testnet-4f2a",
        "network.listen": ("/ip4/127.0.0.1/tcp/0",),
        "worker.labels": ('quote="\\\x7f\n',),
        "presence.beat_s": 0.5,
    }
    config, _ = load_text(tmp_path, render_config(values))
    assert config.is_testnet
    assert config.network.name == "testnet-4f2a"
    assert config.network.listen == ("/ip4/127.0.0.1/tcp/0",)
    assert config.worker.labels == values["worker.labels"]
    assert config.presence.beat_s == 0.5


def test_an_unknown_chosen_value_is_our_own_mistake():
    with pytest.raises(KeyError, match=r"network\.nme"):
        render_config({"network.nme": "x"})


def test_no_line_is_too_wide_to_read():
    assert max(map(len, render_config().splitlines())) <= 110
