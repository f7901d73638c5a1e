"""The source distribution: all that builds the wheel, and nothing that git does not keep."""

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> tarfile.TarFile:
    backend = pytest.importorskip("scikit_build_core.build", reason="needs the extra dev")
    folder = tmp_path_factory.mktemp("sdist")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        return tarfile.open(folder / backend.build_sdist(str(folder)))


def test_it_holds_what_is_built_and_no_more(sdist: tarfile.TarFile) -> None:
    if not shutil.which("git") or not (PROJECT / ".git").exists():
        pytest.skip("needs a git checkout")
    list_files = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    tracked = subprocess.run(
        list_files, cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    held = {name.partition("/")[2] for name in sdist.getnames()}
    needed = {path for path in tracked if path.startswith("src/")}
    needed |= {"CMakeLists.txt", "LICENSE", "README.md", "pyproject.toml"}
    assert needed - held == set()
    assert held - set(tracked) == {"PKG-INFO"}


def test_it_tells_which_pythons_it_is_for(sdist: tarfile.TarFile) -> None:
    (member,) = (name for name in sdist.getnames() if name.endswith("/PKG-INFO"))
    told = sdist.extractfile(member)
    assert told is not None
    lines = told.read().decode().splitlines()
    assert "Requires-Python: >=3.11" in lines
    for version in ("3.11", "3.12", "3.13"):
        assert f"Classifier: Programming Language :: Python :: {version}" in lines
