"""Key files: made once, for the owner only, and every way in which they can be wrong."""

import errno
import json
import os
import stat

import eth_keyfile
import pytest
import trio

from skyops_p2p.adapters.system import SystemClock, SystemEntropy
from skyops_p2p.errors import IdentityError
from skyops_p2p.node import identity
from skyops_p2p.node.identity import (
    create_identity,
    load_identity,
    load_node_key,
    load_wallet,
    read_passphrase,
)
from skyops_p2p.node.keystore import KDF_WORK, KDF_WORK_MAX, KDF_WORK_MIN, open_secret, seal_secret

SECRET = bytes(31) + b"\x07"
QUICK = {"kdf_work": KDF_WORK_MIN}


class CountingEntropy:
    """Bytes that differ from draw to draw, the same in every run; `first` come first."""

    def __init__(self, *first):
        self._first = list(first)
        self._draws = 0

    def token(self, size_bytes):
        if self._first:
            return self._first.pop(0)
        self._draws += 1
        return bytes([self._draws]) * size_bytes

    def uniform(self):
        return 0.5


async def make(data_dir, *, passphrase="correct horse"):
    return await create_identity(data_dir, passphrase=passphrase, entropy=CountingEntropy(), **QUICK)


async def refusal(data_dir, *, passphrase="correct horse"):
    with pytest.raises(IdentityError) as caught:
        await load_identity(data_dir, passphrase)
    assert caught.value.hint
    return caught.value


async def test_an_identity_is_the_same_after_loading(tmp_path):
    data_dir = tmp_path / "new" / "alice"
    made = await make(data_dir)
    loaded = await load_identity(data_dir, "correct horse")
    assert loaded.node_key.peer_id == made.node_key.peer_id
    assert loaded.wallet.address == made.wallet.address
    assert loaded.node_key.seed == b"\x01" * 32
    assert loaded.wallet.secret == b"\x02" * 32


async def test_files_and_directory_are_the_owners_alone_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        await make(tmp_path / "alice")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "alice").iterdir()}
    assert modes == {"node.key": 0o600, "wallet.json": 0o600}
    assert stat.S_IMODE((tmp_path / "alice").stat().st_mode) == 0o700


async def test_two_identities_of_the_system_differ(tmp_path):
    made = [
        await create_identity(tmp_path / name, passphrase="", entropy=SystemEntropy(), **QUICK)
        for name in ("alice", "bob")
    ]
    assert made[0].node_key.peer_id != made[1].node_key.peer_id
    assert made[0].wallet.address != made[1].wallet.address


@pytest.mark.parametrize("kept", ["node.key", "wallet.json"])
async def test_an_existing_key_is_never_overwritten(tmp_path, kept):
    (tmp_path / kept).write_text("precious")
    with pytest.raises(IdentityError) as caught:
        await make(tmp_path)
    assert caught.value.code == "identity_exists"
    assert [path.name for path in tmp_path.iterdir()] == [kept]
    assert (tmp_path / kept).read_text() == "precious"


async def test_a_key_that_appears_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    real_link = os.link

    def somebody_was_quicker(source, target):
        target.write_text("precious")
        real_link(source, target)

    monkeypatch.setattr(identity.os, "link", somebody_was_quicker)
    with pytest.raises(IdentityError) as caught:
        await make(tmp_path)
    assert caught.value.code == "identity_exists"
    assert [path.name for path in tmp_path.iterdir()] == ["wallet.json"]
    assert (tmp_path / "wallet.json").read_text() == "precious"


async def test_a_disk_that_fills_between_the_two_keys_leaves_neither(tmp_path, monkeypatch):
    real_link = os.link

    def room_for_one(source, target):
        if target.name == "node.key":
            raise OSError(errno.ENOSPC, "No space left on device")
        real_link(source, target)

    monkeypatch.setattr(identity.os, "link", room_for_one)
    with pytest.raises(IdentityError, match="No space left") as caught:
        await make(tmp_path)
    assert caught.value.code == "key_unreadable"
    assert list(tmp_path.iterdir()) == []


async def test_a_directory_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(IdentityError) as caught:
        await make(tmp_path / "file" / "alice")
    assert caught.value.code in ("key_unreadable", "key_missing")


async def test_the_first_draw_outside_the_group_is_drawn_again(tmp_path):
    entropy = CountingEntropy(b"\x11" * 32, b"\xff" * 32, b"\x22" * 32)
    made = await create_identity(tmp_path, passphrase="", entropy=entropy, **QUICK)
    assert made.wallet.secret == b"\x22" * 32


@pytest.mark.parametrize("missing", ["node.key", "wallet.json"])
async def test_a_missing_key_is_named(tmp_path, missing):
    await make(tmp_path)
    (tmp_path / missing).unlink()
    error = await refusal(tmp_path)
    assert error.code == "key_missing"
    assert missing in str(error)
    assert "skyops init" in error.hint


@pytest.mark.parametrize("exposed", ["node.key", "wallet.json"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
async def test_a_key_open_to_others_is_refused_with_the_remedy(tmp_path, exposed, mode):
    await make(tmp_path)
    (tmp_path / exposed).chmod(mode)
    error = await refusal(tmp_path)
    assert error.code == "key_exposed"
    assert f"chmod 600 {tmp_path / exposed}" in error.hint
    (tmp_path / exposed).chmod(0o600)
    await load_identity(tmp_path, "correct horse")


@pytest.mark.parametrize("directory", ["node.key", "wallet.json"])
async def test_an_unreadable_key_is_refused(tmp_path, directory):
    await make(tmp_path)
    (tmp_path / directory).unlink()
    (tmp_path / directory).mkdir(mode=0o700)
    assert (await refusal(tmp_path)).code == "key_unreadable"


DAMAGED = [
    b"",
    b"\xff\xfe\x00",
    b"x" * 20_000,
    b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
    b"-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n",
    b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAEB\n-----END PRIVATE KEY-----\n",
    b"-----BEGIN RSA PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAEB\n-----END RSA PRIVATE KEY-----\n",
    b"{}",
    b'{"version": 4}',
    b"[" * 10_000,
]


@pytest.mark.parametrize("name", ["node.key", "wallet.json"])
@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
async def test_a_damaged_key_is_refused(tmp_path, name, content):
    await make(tmp_path)
    (tmp_path / name).write_bytes(content)
    error = await refusal(tmp_path)
    assert error.code == "key_damaged"
    assert name in str(error)


async def openssl(*arguments):
    return (await trio.run_process(["openssl", *map(str, arguments)], capture_stdout=True)).stdout


async def test_a_key_of_another_kind_is_refused(tmp_path):
    await make(tmp_path)
    (tmp_path / "node.key").write_bytes(await openssl("genpkey", "-algorithm", "X25519"))
    assert (await refusal(tmp_path)).code == "key_damaged"


async def test_openssl_reads_our_key_and_we_read_openssls(tmp_path):
    made = await make(tmp_path)
    shown = await openssl("pkey", "-in", tmp_path / "node.key", "-pubout", "-outform", "DER")
    assert shown.endswith(made.node_key.public_key)
    theirs = tmp_path / "theirs.key"
    await openssl("genpkey", "-algorithm", "ED25519", "-out", theirs)
    theirs.chmod(0o600)
    shown = await openssl("pkey", "-in", theirs, "-pubout", "-outform", "DER")
    assert shown.endswith(load_node_key(theirs).public_key)


@pytest.mark.parametrize("passphrase", ["", "Correct horse", "correct horse "])
async def test_a_wrong_passphrase_is_refused_and_tells_nothing(tmp_path, passphrase):
    made = await make(tmp_path)
    error = await refusal(tmp_path, passphrase=passphrase)
    assert error.code == "wrong_passphrase"
    assert made.wallet.secret.hex() not in f"{error!r} {error.hint}"


@pytest.mark.parametrize("passphrase", ["", "ünïcode ☂", "x" * 500])
async def test_any_text_is_a_passphrase(tmp_path, passphrase):
    await make(tmp_path, passphrase=passphrase)
    await load_identity(tmp_path, passphrase)


def test_keystores_are_read_by_the_usual_library_and_theirs_by_us():
    ours = seal_secret(SECRET, "pass", address="0xAB" + "00" * 19, random=bytes(range(64)), **QUICK)
    assert eth_keyfile.decode_keyfile_json(json.loads(ours), b"pass") == SECRET
    assert json.loads(ours)["address"] == "ab" + "00" * 19
    for kdf in ("scrypt", "pbkdf2"):
        theirs = eth_keyfile.create_keyfile_json(SECRET, b"pass", kdf=kdf, iterations=1024)
        assert open_secret(json.dumps(theirs), "pass") == SECRET


def test_the_example_of_the_keystore_specification_opens():
    """The pbkdf2 test vector of the Web3 Secret Storage Definition, password "testpassword"."""
    text = json.dumps({
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
            "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
            "kdf": "pbkdf2",
            "kdfparams": {
                "c": 262144, "dklen": 32, "prf": "hmac-sha256",
                "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
            },
            "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
        },
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
        "version": 3,
    })  # fmt: skip
    expected = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d"
    assert open_secret(text, "testpassword").hex() == expected


@pytest.mark.parametrize(
    "change",
    [
        {"n": 2**21}, {"n": 3}, {"n": 0}, {"n": "1024"}, {"r": 17}, {"p": 17}, {"p": 0}, {"dklen": 64}, {"salt": "xyz"},
        {"salt": ""}, {"n": 2**20, "r": 16},
    ],
    ids=str,
)  # fmt: skip
def test_absurd_parameters_are_refused_before_the_work(change):
    keystore = json.loads(seal_secret(SECRET, "pass", address="0x", random=bytes(64), **QUICK))
    keystore["crypto"]["kdfparams"] |= change
    with pytest.raises(IdentityError) as caught:
        open_secret(json.dumps(keystore), "pass")
    assert caught.value.code == "key_damaged"


def test_a_short_ciphertext_is_refused():
    keystore = json.loads(seal_secret(SECRET, "pass", address="0x", random=bytes(64), **QUICK))
    keystore["crypto"]["ciphertext"] = "00" * 31
    with pytest.raises(IdentityError) as caught:
        open_secret(json.dumps(keystore), "pass")
    assert caught.value.code == "key_damaged"


def test_a_keystore_around_no_valid_secret_is_damaged(tmp_path):
    path = tmp_path / "wallet.json"
    path.write_text(seal_secret(b"\xff" * 32, "pass", address="0x", random=bytes(64), **QUICK))
    path.chmod(0o600)
    with pytest.raises(IdentityError) as caught:
        load_wallet(path, "pass")
    assert caught.value.code == "key_damaged"


@pytest.mark.parametrize("work", [KDF_WORK_MIN // 2, KDF_WORK_MIN + 1, KDF_WORK_MAX * 2, 0])
def test_work_out_of_bounds_is_our_own_mistake(work):
    with pytest.raises(ValueError, match="kdf_work"):
        seal_secret(SECRET, "pass", address="0x", random=bytes(64), kdf_work=work)


@pytest.mark.slow
def test_the_default_work_is_that_of_the_usual_wallets():
    keystore = json.loads(seal_secret(SECRET, "pass", address="0x", random=bytes(64)))
    assert keystore["crypto"]["kdfparams"]["n"] == KDF_WORK == 262144
    assert open_secret(json.dumps(keystore), "pass") == SECRET


def test_the_passphrase_comes_from_the_variable_then_the_file(tmp_path):
    file = tmp_path / "passphrase"
    file.write_text(" from file \n")
    file.chmod(0o600)
    assert read_passphrase({}) is None
    assert read_passphrase({"SKYOPS_WALLET_PASSPHRASE": ""}) == ""
    assert read_passphrase({"SKYOPS_WALLET_PASSPHRASE_FILE": str(file)}) == " from file "
    assert (
        read_passphrase({"SKYOPS_WALLET_PASSPHRASE": "x", "SKYOPS_WALLET_PASSPHRASE_FILE": str(file)}) == "x"
    )
    file.chmod(0o644)
    with pytest.raises(IdentityError) as caught:
        read_passphrase({"SKYOPS_WALLET_PASSPHRASE_FILE": str(file)})
    assert caught.value.code == "key_exposed"


def test_secrets_do_not_show_in_the_identitys_text(tmp_path):
    from skyops_p2p.crypto.node_key import NodeKey
    from skyops_p2p.crypto.wallet import Wallet

    text = repr(identity.Identity(NodeKey.from_seed(b"\x01" * 32), Wallet.from_secret(SECRET)))
    assert "01010101" not in text
    assert SECRET.hex() not in text


def test_the_system_clock_and_entropy_are_what_they_say():
    assert 1_700_000_000_000 < SystemClock().now_ms() < 2**53
    entropy = SystemEntropy()
    assert len(entropy.token(32)) == 32
    assert entropy.token(32) != entropy.token(32)
    assert 0.0 <= entropy.uniform() < 1.0
