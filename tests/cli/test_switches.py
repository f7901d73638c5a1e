"""-v, -q, -h and -V, and what doctor tells."""

import pytest

from sub8.extras import EXTRAS


@pytest.mark.parametrize("command", ["quantize", "evaluate", "sweep", "doctor", "record verify"])
def test_h_is_help(sub8_command, command):
    done = sub8_command(*command.split(), "-h")
    assert done.code == 0 and "--verbose" in done.out and "--quiet" in done.out


def test_capital_v_is_the_version(sub8_command):
    assert sub8_command("-V").out == sub8_command("--version").out


def test_verbose_tells_stages_and_quiet_not_even_warnings(sub8_command, folder, tmp_path):
    arguments = ["quantize", folder / "model.onnx", "-c", folder / "data.npz", "--weights"]
    arguments += ["ternary", "-o", tmp_path / "q.onnx", "--images", "99", "--force"]
    arguments += ["--method", "hessian"]
    assert "sub8: layers: " in sub8_command(*arguments, "-v").err
    plain = sub8_command(*arguments).err
    assert "images 99: there are 24 only" in plain and "layers: " not in plain
    assert sub8_command(*arguments, "-q").err == ""


def test_doctor_names_kernels_versions_and_what_is_missing(sub8_command, monkeypatch):
    monkeypatch.setitem(EXTRAS, "moon", ("flights", ("a_package_that_nobody_has",)))
    found = sub8_command("doctor", "--json").json
    assert found["chosen"] in found["instruction_sets"] and found["problems"] == []
    assert {"sub8", "python", "onnxruntime"} <= found["versions"].keys()
    (moon,) = [extra for extra in found["extras"] if extra["name"] == "moon"]
    assert moon["missing"] == ["a_package_that_nobody_has"]
    assert moon["install"].startswith("pip install '") and moon["install"].endswith("[moon]'")
    assert moon["install"] in sub8_command("doctor").out


def test_a_wrong_instruction_set_is_a_problem(sub8_command, monkeypatch):
    monkeypatch.setenv("SUB8_ISA", "abacus")
    done = sub8_command("doctor")
    assert done.code == 1 and "abacus" in done.out
