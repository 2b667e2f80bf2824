"""Whatever is typed into a file, a variable or a flag: a configuration, or a ConfigError that says why not."""

import string

from hypothesis import given
from hypothesis import strategies as st

from skyops_p2p.config import describe_settings, load_config, render_config
from skyops_p2p.config.describe import _toml
from skyops_p2p.errors import ConfigError

NAMES = [setting.name for setting in describe_settings() if setting.in_file]
TEXTS = st.text(max_size=20) | st.sampled_from(
    ["1", "-1", "1e400", "nan", "true", ",,", "/ip4/1.2.3.4/tcp/1", "A:1"]
)
PLAIN = st.one_of(TEXTS, st.integers(), st.booleans(), st.floats(), st.lists(TEXTS, max_size=3))
WORDS = st.text(string.ascii_letters + "_-.[]=#\"' \n0123456789", max_size=60)


def load(tmp_path_factory, text="", **sources):
    folder = tmp_path_factory.getbasetemp()
    file = folder / "any.toml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    return load_config(
        folder, file=file, environment=sources.get("environment", {}), flags=sources.get("flags", {})
    )


def loads_or_says_why(tmp_path_factory, text="", **sources):
    refusal = None
    try:
        config, settings = load(tmp_path_factory, text, **sources)
    except ConfigError as error:
        refusal = error
    if refusal is not None:
        assert str(refusal)
        assert refusal.code in ("config_invalid", "config_unreadable", "psk_unreadable", "psk_malformed")
        return
    assert len(settings) == len(describe_settings())
    assert config.network.listen


@given(text=st.text(max_size=200) | WORDS)
def test_any_text_as_a_file(tmp_path_factory, text):
    loads_or_says_why(tmp_path_factory, text)


@given(values=st.dictionaries(st.sampled_from(NAMES), PLAIN, max_size=4))
def test_any_values_in_the_file(tmp_path_factory, values):
    lines = [f"{name} = {_toml(value)}" for name, value in values.items()]
    loads_or_says_why(tmp_path_factory, "\n".join(lines))


@given(values=st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=4))
def test_any_text_in_the_environment(tmp_path_factory, values):
    environment = {f"SKYOPS_{name.replace('.', '_').upper()}": text for name, text in values.items()}
    loads_or_says_why(tmp_path_factory, environment=environment)


@given(values=st.dictionaries(st.sampled_from(NAMES) | TEXTS, PLAIN, max_size=4))
def test_any_flags(tmp_path_factory, values):
    loads_or_says_why(tmp_path_factory, flags=values)


@given(
    values=st.fixed_dictionaries(
        {},
        optional={
            "network.name": st.from_regex(r"\A[a-z0-9][a-z0-9-]{0,23}\Z"),
            "network.mdns": st.booleans(),
            "network.peers_target": st.integers(1, 64),
            "presence.beat_s": st.floats(0.2, 3600.0),
            "worker.labels": st.lists(
                st.text(st.characters(exclude_categories=("Cs",)), max_size=9), max_size=16
            ).map(tuple),
        },
    )
)
def test_what_is_rendered_is_read_back(tmp_path_factory, values):
    config, _ = load(tmp_path_factory, render_config(values))
    for name, value in values.items():
        section, _, key = name.partition(".")
        assert getattr(getattr(config, section), key) == value
