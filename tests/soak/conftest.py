"""Small quantised models of every kind of program."""

from pathlib import Path

import pytest
from small_quantized import write_all


@pytest.fixture(scope="session")
def quantized_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_all(tmp_path_factory.mktemp("soak"))
