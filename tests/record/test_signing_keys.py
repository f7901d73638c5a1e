"""Keys: files, fingerprints, passphrases."""

import stat
from pathlib import Path

import pytest

from sub8.errors import InputError
from sub8.record.keys import PrivateKey, PublicKey, generate_key_files


def test_key_files_are_private_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "me.pem"
    public = generate_key_files(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(InputError, match="never overwritten"):
        generate_key_files(path)
    assert path.read_bytes() == before
    assert PrivateKey.load(path).public == public == PublicKey.load(f"{path}.pub")


def test_no_private_key_is_left_where_the_public_one_exists(tmp_path: Path) -> None:
    (tmp_path / "me.pem.pub").write_text("mine")
    with pytest.raises(InputError, match="never overwritten"):
        generate_key_files(tmp_path / "me.pem")
    assert not (tmp_path / "me.pem").exists()


def test_passphrase_is_needed_and_must_fit(tmp_path: Path) -> None:
    path = tmp_path / "me.pem"
    public = generate_key_files(path, "open sesame")
    assert b"ENCRYPTED" in path.read_bytes()
    assert PrivateKey.load(path, "open sesame").public == public
    with pytest.raises(InputError, match="needs a passphrase"):
        PrivateKey.load(path)
    with pytest.raises(InputError, match="passphrase is wrong"):
        PrivateKey.load(path, "wrong")


def test_public_key_in_every_published_form(key: PrivateKey, tmp_path: Path) -> None:
    path = tmp_path / "key.pub"
    path.write_bytes(key.public_pem())
    assert PublicKey.load(path) == PublicKey.load(key.public.base64) == key.public
    assert PublicKey.load(key.public.raw.hex()) == key.public


@pytest.mark.parametrize("content", [b"", b"not a key", b"x" * 20000])
def test_files_that_are_no_keys(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.pem"
    path.write_bytes(content)
    for load in (PublicKey.load, PrivateKey.load):
        with pytest.raises(InputError, match=r"bad\.pem"):
            load(path)
        with pytest.raises(InputError, match="cannot be read"):
            load(tmp_path / "absent.pem")


def test_private_key_is_not_in_its_repr(key: PrivateKey) -> None:
    assert repr(key) == f"PrivateKey({key.public.fingerprint})"


FIELD = 2**255 - 19
ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
UNSOUND = {
    "identity": (1).to_bytes(32, "little"),
    "identity with a sign": (1 | 1 << 255).to_bytes(32, "little"),
    "order 2": (FIELD - 1).to_bytes(32, "little"),
    "order 4": bytes(32),
    "order 4, other sign": (1 << 255).to_bytes(32, "little"),
    "order 8": ORDER_8,
    "order 8, other sign": ORDER_8[:31] + bytes([ORDER_8[31] | 0x80]),
    "order 8, negative": (FIELD - int.from_bytes(ORDER_8, "little")).to_bytes(32, "little"),
    "zero written as p": FIELD.to_bytes(32, "little"),
    "identity written as p + 1": (FIELD + 1).to_bytes(32, "little"),
    "another number beyond p": (FIELD + 3).to_bytes(32, "little"),
    "all ones": b"\xff" * 32,
    "no point": (2).to_bytes(32, "little"),
    "too short": bytes(31),
}


@pytest.mark.parametrize("raw", UNSOUND.values(), ids=UNSOUND.keys())
def test_keys_that_anyone_could_sign_for_sign_nothing(raw: bytes) -> None:
    key = PublicKey(raw)
    assert not key.is_sound
    for point in (raw.ljust(32, b"\0"), UNSOUND["identity"]):
        for number in range(16):  # a right guess of the message's hash is enough for a forger
            assert not key.verifies(point + bytes(32), b"message %d" % number)
    if len(raw) == 32:
        with pytest.raises(InputError, match="not a sound Ed25519 key"):
            PublicKey.load(raw.hex())


def test_every_key_that_is_made_is_sound() -> None:
    assert all(PrivateKey.generate().public.is_sound for _ in range(20))


def test_a_signature_has_one_form(key: PrivateKey) -> None:
    signature = key.sign(b"message")
    order = 2**252 + 27742317777372353535851937790883648493
    second = (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    assert key.public.verifies(signature, b"message")
    for other in (signature[:32] + second, signature[:63], signature + b"\0", b""):
        assert not key.public.verifies(other, b"message")
    assert not key.public.verifies(signature, b"massage")


def test_passphrase_that_is_no_utf8(tmp_path: Path) -> None:
    public = generate_key_files(tmp_path / "me.pem", "\udcff")
    assert PrivateKey.load(tmp_path / "me.pem", "\udcff").public == public


def test_passphrase_that_the_cipher_does_not_take(tmp_path: Path) -> None:
    for length in (1024, 5000):
        with pytest.raises(InputError, match="at most 1023"):
            generate_key_files(tmp_path / "me.pem", "p" * length)
    assert list(tmp_path.iterdir()) == []
    public = generate_key_files(tmp_path / "me.pem", "p" * 1023)
    assert PrivateKey.load(tmp_path / "me.pem", "p" * 1023).public == public
    with pytest.raises(InputError, match="at most 1023"):
        PrivateKey.load(tmp_path / "me.pem", "p" * 1024)


@pytest.mark.parametrize("path", ["", ".", "/"])
def test_path_that_names_no_key_file(path: str) -> None:
    with pytest.raises(InputError, match=r"names no file|exists"):
        generate_key_files(path)
