"""Session keys: both ends agree, and nothing opens but the next message, unchanged."""

import pytest

from skyops_p2p.crypto import session_keys
from skyops_p2p.crypto.session_keys import CipherState, Ephemeral, SessionKeys, derive_session
from skyops_p2p.errors import LocalProtocolError, RemoteProtocolError


@pytest.fixture
def pair() -> tuple[SessionKeys, SessionKeys]:
    alice, bob = Ephemeral.from_secret(bytes([1] * 32)), Ephemeral.from_secret(bytes([2] * 32))
    transcript = bytes(range(32))
    return (
        derive_session(shared=alice.agree(bob.public), transcript=transcript, is_initiator=True),
        derive_session(shared=bob.agree(alice.public), transcript=transcript, is_initiator=False),
    )


def refused_code(cipher: CipherState, ciphertext: bytes, aad: bytes = b"") -> str:
    with pytest.raises(RemoteProtocolError) as refused:
        cipher.open(ciphertext, aad)
    return refused.value.code


def test_both_ends_derive_one_session_with_crossed_directions(pair: tuple[SessionKeys, SessionKeys]) -> None:
    alice, bob = pair
    assert alice.session_id == bob.session_id
    assert len(alice.session_id) == 16
    for index in range(3):
        assert bob.receive.open(alice.send.seal(b"to bob %d" % index, b"a"), b"a") == b"to bob %d" % index
        assert alice.receive.open(bob.send.seal(b"to alice")) == b"to alice"


def test_another_transcript_gives_another_session() -> None:
    first = derive_session(shared=bytes(32), transcript=bytes(32), is_initiator=True)
    second = derive_session(shared=bytes(32), transcript=bytes([1] * 32), is_initiator=False)
    assert first.session_id != second.session_id
    assert refused_code(second.receive, first.send.seal(b"x")) == "bad_ciphertext"


def test_the_two_directions_have_different_keys(pair: tuple[SessionKeys, SessionKeys]) -> None:
    alice, bob = pair
    assert alice.send.seal(b"same") != bob.send.seal(b"same")


def test_replayed_message_does_not_open_and_the_next_one_does(pair: tuple[SessionKeys, SessionKeys]) -> None:
    alice, bob = pair  # SES-2
    first, second = alice.send.seal(b"1"), alice.send.seal(b"2")
    assert bob.receive.open(first) == b"1"
    assert refused_code(bob.receive, first) == "bad_ciphertext"
    assert bob.receive.open(second) == b"2"


def test_reordered_message_does_not_open(pair: tuple[SessionKeys, SessionKeys]) -> None:  # SES-2
    alice, bob = pair
    first, second = alice.send.seal(b"1"), alice.send.seal(b"2")
    assert refused_code(bob.receive, second) == "bad_ciphertext"
    assert bob.receive.open(first) == b"1"


@pytest.mark.parametrize("length", [0, 1, 15, 16, 19])
def test_truncated_message_does_not_open(pair: tuple[SessionKeys, SessionKeys], length: int) -> None:  # SES-2
    alice, bob = pair
    sealed = alice.send.seal(b"text")
    assert refused_code(bob.receive, sealed[:length]) == "bad_ciphertext"
    assert bob.receive.messages == 0


def test_changed_bit_or_other_associated_data_does_not_open(pair: tuple[SessionKeys, SessionKeys]) -> None:
    alice, bob = pair  # SES-2
    sealed = alice.send.seal(b"text", b"kind 1")
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 0x80]) + sealed[place + 1 :]
        assert refused_code(bob.receive, changed, b"kind 1") == "bad_ciphertext"
    assert refused_code(bob.receive, sealed, b"kind 2") == "bad_ciphertext"
    assert bob.receive.open(sealed, b"kind 1") == b"text"


def test_own_message_reflected_does_not_open(pair: tuple[SessionKeys, SessionKeys]) -> None:  # SES-2
    alice, _ = pair
    assert refused_code(alice.receive, alice.send.seal(b"x")) == "bad_ciphertext"


def test_rekey_starts_an_epoch_that_old_messages_do_not_reach(pair: tuple[SessionKeys, SessionKeys]) -> None:
    alice, bob = pair  # SES-3
    old = alice.send.seal(b"old")
    alice.send.rekey()
    bob.receive.rekey()
    assert (alice.send.epoch, alice.send.messages) == (1, 0)
    assert refused_code(bob.receive, old) == "bad_ciphertext"
    assert bob.receive.open(alice.send.seal(b"new")) == b"new"


def test_message_count_one_below_at_and_above_the_rekey_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_keys, "SESSION_REKEY_MESSAGES", 3)  # SES-3
    sender, receiver = CipherState(bytes(32)), CipherState(bytes(32))
    for _ in range(3):
        receiver.open(sender.seal(b""))
    with pytest.raises(LocalProtocolError):
        sender.seal(b"")
    assert refused_code(receiver, bytes(16)) == "bad_ciphertext"
    sender.rekey()
    receiver.rekey()
    assert receiver.open(sender.seal(b"on")) == b"on"


def test_small_order_key_is_refused_by_the_ephemeral_key() -> None:  # KEY-3
    with pytest.raises(RemoteProtocolError) as refused:
        Ephemeral.from_secret(bytes([7] * 32)).agree(bytes(32))
    assert refused.value.code == "bad_key"


def test_wrong_lengths_are_our_bug() -> None:
    with pytest.raises(LocalProtocolError):
        Ephemeral.from_secret(bytes(31))
    with pytest.raises(LocalProtocolError):
        CipherState(bytes(33))
    with pytest.raises(LocalProtocolError):
        derive_session(shared=bytes(32), transcript=bytes(31), is_initiator=True)


def test_repr_shows_no_secret() -> None:
    assert repr(CipherState(bytes(range(32)))) == "CipherState(epoch=0, messages=0)"
    ephemeral = Ephemeral.from_secret(bytes(range(32)))
    assert repr(ephemeral) == f"Ephemeral({ephemeral.public.hex()})"
