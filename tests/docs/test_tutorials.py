"""The tutorials run as they stand, each in a folder of its own, and hold what they assert."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from notebooks import run_notebook
from tests.conftest import SIZE, small_network

import sub8
from sub8.native import _core

nbformat = pytest.importorskip("nbformat", reason="needs the extra dev")
nbclient = pytest.importorskip("nbclient", reason="needs the extra dev")

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / "docs" / "tutorials"
SOURCE = Path(sub8.__file__).resolve().parents[1]  # of the package that is tested: it is compiled
TUTORIALS = sorted(FOLDER.glob("*.ipynb"))
# Those with tests of their own below, or elsewhere.
IN_A_KERNEL = "choose-bits"
OF_THE_RUNTIME = {
    "from-cpp": "below",
    "raspberry-pi": "tests/native/kernels, where what it builds is tested further",
    "web-page": "below",
}


@pytest.fixture(scope="module")
def extras() -> Iterator[None]:
    """What tutorials import; one thread, for the same figures on every machine of one kind."""
    for extra in ("torch", "sklearn", "accelerate", "altair"):
        pytest.importorskip(extra, reason="needs the extra dev")
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("extras")
@pytest.mark.parametrize(
    "path",
    [path for path in TUTORIALS if path.stem not in (IN_A_KERNEL, *OF_THE_RUNTIME)],
    ids=lambda path: path.stem,
)
def test_runs(path: Path, tmp_path: Path) -> None:
    run_notebook(path, tmp_path)


@pytest.mark.usefixtures("extras")
@pytest.mark.skipif(
    not (list(PROJECT.glob("build/[ci][pn]*/library/libsub8.so")) and shutil.which("cmake")),
    reason="needs build/*/library/libsub8.so and cmake",
)
def test_from_cpp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUB8_CLONE", str(PROJECT))
    # A module that pip has built may have brought its own oneTBB.
    own = [str(Path(_core.__file__).parent), os.environ.get("LD_LIBRARY_PATH", "")]
    monkeypatch.setenv("LD_LIBRARY_PATH", os.pathsep.join(own))
    run_notebook(FOLDER / "from-cpp.ipynb", tmp_path)


@pytest.mark.skipif(
    not (PROJECT / "build/web/sub8.wasm").exists(),
    reason="needs build/web/sub8.wasm (1 GB of emscripten; the tutorial builds it)",
)
def test_web_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a small network in the place of that of EfficientNet, which takes minutes."""
    import sub8.verbs.quickstart as quickstart

    monkeypatch.setattr(quickstart, "float_model", small_network)
    preprocess = sub8.Preprocess(size=SIZE, scale=1 / 128, mean=(1, 1, 1))
    monkeypatch.setattr(quickstart, "PREPROCESS", preprocess)
    monkeypatch.setenv("SUB8_CLONE", str(PROJECT))
    monkeypatch.setenv("PYTHONPATH", str(SOURCE), prepend=os.pathsep)
    run_notebook(FOLDER / "web-page.ipynb", tmp_path)


@pytest.mark.usefixtures("extras")
def test_one_runs_in_a_notebooks_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SOURCE), prepend=os.pathsep)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(FOLDER / f"{IN_A_KERNEL}.ipynb", as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_is_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and all(not cell.outputs and cell.execution_count is None for cell in code)


def test_the_site_and_the_readme_name_every_tutorial() -> None:
    for document in ("mkdocs.yml", "README.md", "docs/index.md"):
        text = (PROJECT / document).read_text("utf-8")
        assert all(path.name in text for path in TUTORIALS), document
