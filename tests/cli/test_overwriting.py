"""No command replaces a file that sub8 has not made, unless --force says so."""

from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_paper import made_up_paper
from made_up_studies import made_up_study
from tests.conftest import Outcome

from sub8.record.canonical import canonical_bytes
from sub8.record.keys import PrivateKey
from sub8.study.sweep import _write_json

Run = Callable[..., Outcome]
SETTLED = "exists; --force replaces it"


@pytest.fixture(scope="module")
def mixed(folder: Path, sub8_command: Run) -> Path:
    path = folder / "mixed.onnx"
    done = sub8_command(
        "quantize", folder / "model.onnx", "-c", folder / "data.npz", "--mean-bits", "3",
        "--method", "hessian", "-o", path,
    )  # fmt: skip
    assert done.code == 0, done.err
    return path


def refused_then_forced(run: Run, target: Path, *command: str | Path) -> None:
    target.write_bytes(b"mine")
    refused = run(*command)
    assert (refused.code, refused.err) == (2, f"sub8: error: {target}: {SETTLED}\n")
    assert target.read_bytes() == b"mine"
    assert list(target.parent.iterdir()) == [target]
    forced = run(*command, "--force")
    assert forced.code == 0, forced.err
    assert target.read_bytes() != b"mine"


@pytest.mark.parametrize("verb", ["quantize", "export", "compile", "zoo", "inspect"])
def test_one_file(verb: str, folder: Path, mixed: Path, tmp_path: Path, sub8_command: Run) -> None:
    target = tmp_path / "out.onnx"
    commands: dict[str, list[str | Path]] = {
        "quantize": ["quantize", folder / "model.onnx", "-c", folder / "data.npz", "-o", target],
        "export": ["export", mixed, "--target", "onnx-plain", "-o", target],
        "compile": ["compile", mixed, "-o", tmp_path / "out.s8"],
        "zoo": ["zoo", "resnet18", "--size", "32", "-o", target],
        "inspect": ["inspect", mixed, "--plot", tmp_path / "out.svg"],
    }
    command = commands[verb]
    refused_then_forced(sub8_command, Path(command[-1]), *command)


def test_models_of_its_own_are_replaced(folder: Path, tmp_path: Path, sub8_command: Run) -> None:
    target = tmp_path / "out.onnx"
    for weights in ("ternary", "int8"):
        done = sub8_command(
            "quantize", folder / "model.onnx", "-c", folder / "data.npz", "--weights", weights,
            "--method", "hessian", "-o", target,
        )  # fmt: skip
        assert done.code == 0, done.err
    own = target.read_bytes()
    assert sub8_command("zoo", "resnet18", "--size", "32", "-o", target).code == 0
    assert target.read_bytes() != own
    target.write_bytes(own.replace(b"sub8", b"sub9", 1))
    assert sub8_command("zoo", "resnet18", "--size", "32", "-o", target).code == 2


def test_records(tmp_path: Path, sub8_command: Run) -> None:
    pytest.importorskip("cryptography", reason="needs the extra records")
    key = tmp_path / "me.pem"
    assert sub8_command("record", "keygen", "-o", key).code == 0
    paper = tmp_path / "paper.json"
    paper.write_bytes(canonical_bytes(made_up_paper("2001.00001", PrivateKey.load(key))))
    (tmp_path / "to").mkdir()
    target = tmp_path / "to" / "state.json"
    refused_then_forced(sub8_command, target, "record", "merge", paper, "-o", target)
    again = sub8_command("record", "keygen", "-o", key)
    assert again.code == 2
    assert "never overwritten" in again.err


def test_a_file_that_appears_meanwhile_is_not_replaced(
    folder: Path, tmp_path: Path, sub8_command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sub8

    target, inner = tmp_path / "q.onnx", sub8.quantize

    def slow(*arguments: object, **options: object) -> object:
        made = inner(*arguments, **options)  # type: ignore[arg-type]
        target.write_bytes(b"mine")
        return made

    monkeypatch.setattr(sub8, "quantize", slow)
    done = sub8_command("quantize", folder / "model.onnx", "-c", folder / "data.npz", "-o", target)
    assert (done.code, done.err) == (2, f"sub8: error: {target}: {SETTLED}\n")
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_bytes() == b"mine"


def test_the_source_is_not_replaced_with_force_either(folder: Path, sub8_command: Run) -> None:
    model = folder / "model.onnx"
    before = model.read_bytes()
    done = sub8_command("quantize", model, "-c", folder / "data.npz", "-o", model, "--force")
    assert (done.code, model.read_bytes()) == (2, before)


def test_a_sweep_stays_out_of_folders_with_other_files(
    folder: Path, tmp_path: Path, sub8_command: Run
) -> None:
    (tmp_path / "points").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    data = folder / "data.npz"
    command = ["sweep", folder / "model.onnx", "--data", data, "-c", data, "-o", tmp_path]
    done = sub8_command(*command)
    assert done.code == 2
    assert done.err == (
        f"sub8: error: {tmp_path}: holds files, but no study; name another folder, or --force\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "points"]


def test_a_report_replaces_only_reports(tmp_path: Path, sub8_command: Run) -> None:
    pytest.importorskip("altair", reason="needs the extra study")
    _write_json(tmp_path / "study.json", made_up_study().to_dict())
    page = tmp_path / "report.html"
    page.write_text("<html>mine</html>")
    refused = sub8_command("report", tmp_path)
    assert refused.code == 2
    assert "is no report of sub8; --force replaces it" in refused.err
    assert page.read_text() == "<html>mine</html>"
    assert not (tmp_path / "charts").exists()
    assert sub8_command("report", tmp_path, "--force").code == 0
    assert sub8_command("report", tmp_path).code == 0  # its own
    page.unlink()
    refused = sub8_command("report", tmp_path)
    assert refused.code == 2
    assert SETTLED in refused.err


def test_a_quickstart_is_not_replaced(tmp_path: Path, sub8_command: Run) -> None:
    (tmp_path / "efficientnet-lite0-int8.onnx").write_bytes(b"mine")
    done = sub8_command("quickstart", "-o", tmp_path)
    assert done.code == 2
    assert done.err.endswith(f"efficientnet-lite0-int8.onnx: {SETTLED}\n")
