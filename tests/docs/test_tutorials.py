"""The tutorials run as they stand, each in a folder of its own, and hold what they assert."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import sub8

nbformat = pytest.importorskip("nbformat", reason="needs the extra dev")
nbclient = pytest.importorskip("nbclient", reason="needs the extra dev")

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "tutorials"
SOURCE = Path(sub8.__file__).resolve().parents[1]  # of the package that is tested: it is compiled
TUTORIALS = sorted(FOLDER.glob("*.ipynb"))


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
@pytest.mark.parametrize("path", TUTORIALS[1:], ids=lambda path: path.stem)
def test_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, where the libraries are loaded."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": path.stem}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, path.name, "exec"), names)


@pytest.mark.usefixtures("extras")
def test_the_first_runs_in_a_notebooks_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SOURCE), os.environ["PYTHONPATH"]])
                       if "PYTHONPATH" in os.environ else str(SOURCE))  # fmt: skip
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(TUTORIALS[0], as_version=4)
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
    project = FOLDER.parents[1]
    for document in ("mkdocs.yml", "README.md", "docs/index.md"):
        text = (project / document).read_text("utf-8")
        assert all(path.name in text for path in TUTORIALS), document
