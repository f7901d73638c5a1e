"""The tutorials, which are notebooks, run in this process, where the libraries are loaded."""

import contextlib
from pathlib import Path


def run_notebook(path: Path, folder: Path) -> None:
    """All cells in order, with ``folder`` as the current one."""
    import nbformat

    names = {"__name__": path.stem}
    with contextlib.chdir(folder):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, path.name, "exec"), names)
