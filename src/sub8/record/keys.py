"""Ed25519 keys: made, kept in PEM files, named by fingerprint.

A fingerprint is the first 16 bytes of the SHA-256 of the raw public key, in hexadecimal; the
paper's registry names its key the same way.
"""

import base64
import binascii
import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sub8.errors import InputError
from sub8.files import create_file, read_start
from sub8.record.extra import need_extra

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

LONGEST_PASSPHRASE = 1023  # bytes, of OpenSSL
_KEY_FILE_BYTES = 16384
_FIELD = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
# The second coordinates of the eight points whose order divides 8. A signature under such a key can
# be made without knowing any private key.
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = frozenset({0, 1, _FIELD - 1, _ORDER_8, _FIELD - _ORDER_8})


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 public key, 32 raw bytes."""

    raw: bytes

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> "PublicKey":
        """From a PEM file, or from the raw key itself written in hexadecimal or base64. Raises
        InputError.
        """
        text = os.fspath(source)
        if re.fullmatch(r"[0-9a-fA-F]{64}", text):
            return cls(bytes.fromhex(text))._checked(text)
        if re.fullmatch(r"[A-Za-z0-9+/]{43}=", text):
            return cls(base64.b64decode(text))._checked(text)
        try:
            from cryptography.exceptions import UnsupportedAlgorithm
            from cryptography.hazmat.primitives import serialization
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        except ImportError as error:
            raise need_extra("cryptography") from error
        try:
            key = serialization.load_pem_public_key(_read_key_file(Path(text)))
        except (ValueError, UnsupportedAlgorithm) as error:
            raise InputError(f"{text}: not a public key in PEM form") from error
        if not isinstance(key, Ed25519PublicKey):
            raise InputError(f"{text}: not an Ed25519 key")
        return cls(key.public_bytes_raw())._checked(text)

    def _checked(self, name: str) -> "PublicKey":
        if not self.is_sound:
            raise InputError(
                f"{name}: not a sound Ed25519 key; anyone could sign for it, or no one"
            )
        return self

    @cached_property
    def is_sound(self) -> bool:
        """Whether the bytes are the one form of a point of the curve whose order is large.

        Where they are not, no signature is taken: under a point of small order everyone can make
        one."""
        return len(self.raw) == 32 and _is_large_point(self.raw) and _is_on_curve(self.raw)

    @property
    def base64(self) -> str:
        return base64.b64encode(self.raw).decode("ascii")

    @cached_property
    def fingerprint(self) -> str:
        """32 hexadecimal digits."""
        return hashlib.sha256(self.raw).hexdigest()[:32]

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` (64 bytes) is this key's signature of ``message``, in its one
        form.
        """
        try:
            from cryptography.exceptions import InvalidSignature
        except ImportError as error:
            raise need_extra("cryptography") from error
        if len(signature) != 64 or not self.is_sound or not _is_large_point(signature[:32]):
            return False
        if int.from_bytes(signature[32:], "little") >= _ORDER:
            return False  # a second form of the same signature
        try:
            self._native.verify(signature, message)
        except (InvalidSignature, ValueError):  # ValueError: the bytes are no point of the curve
            return False
        return True

    @cached_property
    def _native(self) -> "Ed25519PublicKey":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        return Ed25519PublicKey.from_public_bytes(self.raw)


@dataclass(frozen=True)
class PrivateKey:
    """An Ed25519 private key. Its ``repr`` does not show it."""

    _native: "Ed25519PrivateKey"

    @classmethod
    def generate(cls) -> "PrivateKey":
        try:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        except ImportError as error:
            raise need_extra("cryptography") from error
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: str | os.PathLike[str], passphrase: str | None = None) -> "PrivateKey":
        """From a PKCS #8 PEM file; InputError where it is none, or where the passphrase does not
        fit.
        """
        try:
            from cryptography.exceptions import UnsupportedAlgorithm
            from cryptography.hazmat.primitives import serialization
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        except ImportError as error:
            raise need_extra("cryptography") from error
        data = _read_key_file(Path(path))
        secret = _secret(passphrase) if passphrase else None
        try:
            key = serialization.load_pem_private_key(data, secret)
        except TypeError as error:
            remedy = (
                "needs a passphrase" if secret is None else "has no passphrase, but one was given"
            )
            raise InputError(f"{path}: {remedy}") from error
        except UnsupportedAlgorithm as error:
            raise InputError(f"{path}: a kind of key or cipher that is not supported") from error
        except ValueError as error:
            remedy = "the passphrase is wrong" if secret else "not a private key in PEM form"
            raise InputError(f"{path}: {remedy}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise InputError(f"{path}: not an Ed25519 key")
        return cls(key)

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.fingerprint})"

    @cached_property
    def public(self) -> PublicKey:
        return PublicKey(self._native.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """64 bytes; the same message always gives the same signature."""
        return self._native.sign(message)

    def pem(self, passphrase: str | None) -> bytes:
        """PKCS #8 PEM, encrypted where there is a passphrase."""
        from cryptography.hazmat.primitives import serialization

        return self._native.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(_secret(passphrase))
            if passphrase
            else serialization.NoEncryption(),
        )

    def public_pem(self) -> bytes:
        from cryptography.hazmat.primitives import serialization

        return self._native.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


def generate_key_files(path: str | os.PathLike[str], passphrase: str | None = None) -> PublicKey:
    """Write a new private key to ``path`` (mode 0600) and its public key to ``path`` + ".pub".

    Neither file may exist: keys are never overwritten (InputError).
    """
    private_path = Path(path)
    if not private_path.name:
        raise InputError(f"{str(path)!r} names no file; name the key's file, such as me.pem")
    public_path = private_path.with_name(f"{private_path.name}.pub")
    key = PrivateKey.generate()
    try:
        create_file(public_path, key.public_pem(), 0o644)
        try:
            create_file(private_path, key.pem(passphrase), 0o600)
        except BaseException:
            public_path.unlink()
            raise
    except FileExistsError as error:
        raise InputError(
            f"{error.filename}: exists; keys are never overwritten, name another file"
        ) from error
    return key.public


def is_encrypted(path: str | os.PathLike[str]) -> bool:
    """Whether a private key's PEM file needs a passphrase."""
    return b"ENCRYPTED" in _read_key_file(Path(path))


def decode_base64(text: str) -> bytes | None:
    """The bytes, or None where ``text`` is not the one base64 form of any."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode("ascii") == text else None


def _secret(passphrase: str) -> bytes:
    """The bytes that were typed, or that the environment holds, also where they are no UTF-8."""
    secret = passphrase.encode("utf-8", "surrogateescape")
    if len(secret) > LONGEST_PASSPHRASE:
        raise InputError(
            f"a passphrase of {len(secret)} bytes is too long; give at most {LONGEST_PASSPHRASE}"
        )
    return secret


def _is_large_point(encoded: bytes) -> bool:
    """Whether a point's 32 bytes are canonical and not one of the eight of small order."""
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    return y < _FIELD and y not in _SMALL_ORDER


def _is_on_curve(encoded: bytes) -> bool:
    """Whether -x**2 + y**2 = 1 + d * x**2 * y**2 has a solution for the y of a point's 32 bytes."""
    y2 = pow(int.from_bytes(encoded, "little") & (2**255 - 1), 2, _FIELD)
    # x**2 = u / v with u = y**2 - 1, v = d * y**2 + 1 and d = -121665 / 121666; a square where u *
    # v is one.
    u, v = y2 - 1, (121666 - 121665 * y2) * 121666
    return pow(u * v, (_FIELD - 1) // 2, _FIELD) in (0, 1)


def _read_key_file(path: Path) -> bytes:
    data = read_start(path, _KEY_FILE_BYTES)
    if len(data) > _KEY_FILE_BYTES:
        raise InputError(f"{path}: too large for a key file")
    return data
