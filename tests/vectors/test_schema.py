"""protocol/messages.toml says what the models say, and the chapters' tables say what it says."""

import re

import pytest

from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError
from skyops_p2p.wire.messages.peering import Ping, Pong
from skyops_p2p.wire.registry import MESSAGES, build, message_of
from tests.vectors import schema

CHAPTERS = sorted(schema.PROTOCOL.glob("*.md"))


def test_messages_toml_is_what_the_models_say() -> None:
    assert schema.load() == schema.describe()


def test_messages_toml_has_its_one_layout() -> None:
    text = (schema.PROTOCOL / "messages.toml").read_text(encoding="utf-8")
    assert text.endswith(schema.to_toml(schema.load()))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)
def test_tables_of_the_chapter_are_those_of_messages_toml(path: object) -> None:
    assert isinstance(path, type(schema.PROTOCOL))
    text = path.read_text(encoding="utf-8")
    assert text == schema.with_tables(text, schema.load()), "run `make vectors`"


def test_every_identity_message_has_its_table() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in CHAPTERS)
    tables = set(re.findall(r"<!-- fields: ([a-z-]+) -->", text))
    assert {
        "binding",
        "hello",
        "accept",
        "confirm",
        "established",
        "refusal",
        "manifest",
        "session-data",
    } <= tables


def test_registry_refuses_a_number_or_a_name_twice() -> None:
    class Ping2(Ping):
        name = "ping-2"

    class Pong2(Ping):
        number = 60_000

    for kinds in ((Ping, Ping2), (Ping, Pong2)):
        with pytest.raises(LocalProtocolError):
            build(kinds)
    assert list(build((Pong, Ping))) == [10, 11]


def test_every_number_leads_to_its_message_and_others_to_none() -> None:
    for number, kind in MESSAGES.items():
        assert message_of(number) is kind
    for number in (0, 5, 29, 65_536):
        with pytest.raises(RemoteProtocolError) as refused:
            message_of(number)
        assert refused.value.code == "wrong_type"
