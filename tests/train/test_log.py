"""TensorBoard's log on a full disk: one error with its path, and no traceback of a thread."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorboard")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")

SCRIPT = """
import resource, sys, time
from pathlib import Path
from sub8.errors import InputError
from sub8.train.log import open_log
import torch.utils.tensorboard
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    with open_log(Path(sys.argv[1]), 1) as log:
        for step in range(200):
            log.add_scalar("loss", 1.0, step)
            time.sleep(0.001)
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize("most", [0, 1000])
def test_no_room(tmp_path: Path, most: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "logs"), str(most)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path / 'logs'}: cannot be written: File too large\n"
