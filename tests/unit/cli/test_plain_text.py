"""What strangers wrote can do nothing to a terminal."""

import pytest

from skyops_p2p.cli.plain_text import plain, plain_line, plain_view
from tests.gateway import fake_jobs as fj


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("step 1\tloss 0.3", "step 1\tloss 0.3"),
        ("größer 数 🙂", "größer 数 🙂"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[38;2;1;2;3mred\x1b[m", "red"),
        ("\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x1b]52;c;ZXZpbA==\x07", "\\x1b]52;c;ZXZpbA==\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\x08\x08b", "a\\x08\\x08b"),
        ("\x7f\x00", "\\x7f\\x00"),
        ("line\nanother", "line\\x0aanother"),
        ("evil\u202etxt.exe", "evil\\u202etxt.exe"),
        ("\u2066x\u2069\u2028", "\\u2066x\\u2069\\u2028"),
        ("\ufffd", "\ufffd"),
    ],
)
def test_control_characters_are_shown(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_nothing_that_a_terminal_obeys_is_left_of_any_byte() -> None:
    text = plain("".join(map(chr, range(0x3000))))
    assert [char for char in text if char != "\t" and (ord(char) < 32 or 0x7F <= ord(char) < 0xA0)] == []
    assert not set(text) & set(map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" 10%\r 50%\r100%", "100%"),
        ("done\r", "done"),
        (" 10%\r 50%\r", " 50%"),
        ("\r", ""),
        ("hidden\r\x1b[2Jseen", "\\x1b[2Jseen"),
    ],
)
def test_of_a_line_that_was_drawn_over_the_last_state_is_shown(text: str, shown: str) -> None:
    assert plain_line(text) == shown


def test_every_text_of_a_view_is_plain() -> None:
    evil = "\x1b[2Jevil"
    shard = fj.running(
        text=evil,
        metrics={evil: 1.0},
        phase=evil,
        attempts=(fj.attempt(text=evil, code=evil),),
        checkpoints=(fj.checkpoint(label=evil),),
    )
    view = plain_view(fj.job("running", shard, text=evil))
    assert "\x1b" not in view.model_dump_json().encode().decode("unicode_escape")
    assert (view.job_id, view.shards[0].done) == (fj.TRAIN_ID, 120)
