"""The example scripts say what they take without anything but sub8's own extras."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))
WITHOUT = "import sys; sys.modules['torchvision'] = None; import runpy; "


@pytest.mark.parametrize(
    "script", [e for e in EXAMPLES if "argparse" in e.read_text("utf-8")], ids=lambda e: e.name
)
def test_help_needs_no_torchvision(script: Path) -> None:
    call = f"sys.argv = ['example', '--help']; runpy.run_path({str(script)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", WITHOUT + call], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage:")
