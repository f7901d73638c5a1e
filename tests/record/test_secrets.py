"""A private key and its passphrase reach no terminal, log or traceback, whatever file is given
where.
"""

import base64
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sub8.errors import InputError
from sub8.record.keys import PrivateKey, generate_key_files

PASSPHRASE = "correct horse battery"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("keys")
    generate_key_files(place / "open.pem")
    generate_key_files(place / "protected.pem", PASSPHRASE)
    (place / "half.pem").write_bytes((place / "open.pem").read_bytes()[:100])
    return place


def secrets(folder: Path) -> list[str]:
    """What must not be seen: pieces of the files' own text, and the key itself as it may be
    written.
    """
    seed = PrivateKey.load(folder / "open.pem")._native.private_bytes_raw()
    found = [seed.hex()[:16], repr(seed)[2:20], base64.b64encode(seed).decode()[4:20], PASSPHRASE]
    for name in ("open.pem", "protected.pem"):
        body = "".join((folder / name).read_text().splitlines()[1:-1])
        found += [body[at : at + 12] for at in range(24, len(body) - 12, 6)]
    return found


COMMANDS = [
    "record verify {key}",
    "record verify {key} --key {key}",
    "record merge {key} {key} -o {out}",
    "record replicate --model {key} --metrics {key} --key {key} -o {out}",
    "record replicate --study {key} --key {key} -o {out}",
    "record keygen -o {key}",
    "inspect {key}",
    "inspect {key} --recipe {key}",
    "quantize {key} -c {key} --recipe {key} --preprocess {key} -o {out}",
    "evaluate {key} {key} --preprocess {key}",
    "run {key} {key} --preprocess {key}",
    "report {key}",
    "compare {key} {key}",
]


# Every command with every kind of key in one process: what they print is what counts, not how they
# start.
SCRIPT = """
import logging, sys
from sub8.cli.main import main
logging.basicConfig(level=logging.DEBUG)
for line in sys.stdin.read().splitlines():
    sys.argv = ["sub8", *line.split()]
    try:
        main()
    except SystemExit as end:
        print("ended with", end.code, file=sys.stderr)
    except BaseException:
        import traceback
        traceback.print_exc()
"""


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE, PASSPHRASE * 100])
def test_nothing_shows_a_key(keys: Path, tmp_path: Path, passphrase: str | None) -> None:
    lines = [
        line.format(key=keys / name, out=tmp_path / "out")
        for name in ("open.pem", "protected.pem", "half.pem")
        for line in COMMANDS
    ]
    environment = {**os.environ, "SUB8_TRACEBACK": "1", "SUB8_KEY_PASSPHRASE": passphrase or "none"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input="\n".join(lines),
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr.count("ended with 2") == len(lines), done.stderr
    shown = done.stdout + done.stderr
    assert [secret for secret in secrets(keys) if secret in shown] == []


def test_a_key_describes_itself_by_its_fingerprint(
    keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = PrivateKey.load(keys / "open.pem")
    with caplog.at_level(logging.DEBUG):
        logging.getLogger().debug("%s %r %s %s", key, key, f"{key}", vars(key))
    assert key.public.fingerprint in caplog.text
    assert [secret for secret in secrets(keys) if secret in caplog.text] == []
    with pytest.raises(InputError) as refused:
        PrivateKey.load(keys / "protected.pem", "wrong " + PASSPHRASE)
    assert PASSPHRASE not in str(refused.value)
