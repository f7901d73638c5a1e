"""The command that installs an extra works where it is told: a checkout, a wheel, anything else."""

import json
from importlib import metadata

import pytest

from sub8 import extras

REQUIRES = ["numpy>=2", "torch==2.13.0; extra == 'torch'", 'altair>=5.4,<7; extra == "study"']


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """As if sub8 were installed from ``address``, apart from any checkout."""

    class Distribution:
        address = ""

        def read_text(self, name):
            assert name == "direct_url.json"
            return json.dumps({"url": self.address}) if self.address else None

    distribution = Distribution()
    monkeypatch.setattr(extras, "__file__", str(tmp_path / "a" / "b" / "sub8" / "extras.py"))
    monkeypatch.setattr(metadata, "distribution", lambda name: distribution)
    monkeypatch.setattr(metadata, "requires", lambda name: REQUIRES)
    return distribution


def test_from_a_folder_or_a_wheel_that_is_there(installed, tmp_path):
    wheel, folder = tmp_path / "sub8-0.1.0-cp312-abi3-linux_x86_64.whl", tmp_path / "sources"
    folder.mkdir()
    for source, made in ((wheel, wheel), (folder, folder / "pyproject.toml")):
        made.write_bytes(b"")
        installed.address = source.as_uri()
        assert extras.install_command("study") == f"pip install '{source}[study]'"
        made.unlink()
        assert extras.install_command("study") == "pip install 'altair>=5.4,<7'"


@pytest.mark.parametrize("address", ["", "https://example.org/sub8.whl"])
def test_else_the_packages_themselves(installed, address):
    installed.address = address
    assert extras.install_command("torch") == "pip install 'torch==2.13.0'"


def test_without_metadata_the_folder_must_be_found(installed, monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda name: None)
    assert extras.install_command("torch") == "pip install '.[torch]' in sub8's folder"


def test_of_this_checkout():
    assert extras.install_command("torch").endswith("[torch]'")
