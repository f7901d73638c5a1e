"""Without the extra's packages: the module imports, and says what to install where it needs
them.
"""

import subprocess
import sys
from typing import Any

import pytest

from sub8.errors import InputError
from sub8.record import schema
from sub8.record.keys import PrivateKey, PublicKey


def test_command_line_imports_neither_package() -> None:
    code = (
        "import sys, sub8.cli.record;"
        "sys.exit(any(m.split('.')[0] in ('cryptography', 'fastjsonschema') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, key: PrivateKey) -> None:
    for module in ("exceptions", "hazmat.primitives", "hazmat.primitives.asymmetric.ed25519"):
        monkeypatch.setitem(sys.modules, f"cryptography.{module}", None)
    uses: list[Any] = [PrivateKey.generate, lambda: PrivateKey.load("me.pem")]
    uses += [lambda: PublicKey.load("me.pub"), lambda: key.public.verifies(b"", b"")]
    for use in uses:
        with pytest.raises(InputError, match=r"'cryptography'; pip install '\S+\[records\]'"):
            use()


def test_missing_schema_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastjsonschema", None)
    schema._compiled.cache_clear()
    with pytest.raises(InputError, match=r"'fastjsonschema'; pip install '\S+\[records\]'"):
        schema.mismatch({}, "event")
