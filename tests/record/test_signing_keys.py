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
