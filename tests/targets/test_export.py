"""Exported forms give the engine's numbers, in ONNX Runtime's default sessions too."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from random_networks import sample
from tests.conftest import SIZE, small_network

import sub8
from sub8.engine.compile import compile_plan
from sub8.engine.plan.exactness import float32_is_exact
from sub8.engine.plan.reference import run_tensors
from sub8.errors import InputError, Sub8Error
from sub8.oracle import OnnxRuntime
from sub8.targets import TARGETS

EXACT = [target for target in TARGETS.values() if target.exact and target.runtimes is None]


def _images(count=6, seed=0):
    return np.random.default_rng(seed).standard_normal((count, 3, SIZE, SIZE)).astype(np.float32)


def _quantised(weights, exponent="static"):
    recipe = sub8.Recipe(
        weights=weights, method="optimal", activations=sub8.Dfp8(exponent=exponent)
    )
    return sub8.quantize(small_network(), _images(), recipe, threads=1)


@pytest.fixture(scope="module", params=["static", "dynamic"])
def ternary(request):
    return _quantised(sub8.Ternary(cluster=3), request.param)  # 8 channels: a shorter last cluster


@pytest.mark.parametrize("target", [target.name for target in EXACT])
def test_every_element_is_the_engines(ternary, target, tmp_path):
    result = sub8.export(ternary, target, tmp_path / "out.onnx", data=_images(8, 1), threads=1)
    assert result.differing == 0 and result.same_top1 == 8
    assert result.bytes == (tmp_path / "out.onnx").stat().st_size
    onnx.checker.check_model(onnx.load(tmp_path / "out.onnx"), full_check=True)


def test_plain_has_nothing_that_old_runtimes_lack(ternary, tmp_path):
    sub8.export(ternary, "onnx-plain", tmp_path / "out.onnx", threads=1)
    model = onnx.load(tmp_path / "out.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
    assert not model.functions and model.ir_version == 7
    small = {onnx.TensorProto.INT4, onnx.TensorProto.UINT4, onnx.TensorProto.INT2}
    assert not small & {tensor.data_type for tensor in model.graph.initializer}
    kinds = {node.op_type for node in model.graph.node}
    assert "DequantizeLinear" not in kinds
    assert not any(a.name == "block_size" for node in model.graph.node for a in node.attribute)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    stored = {types[n.input[2]] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    assert stored <= {onnx.TensorProto.UINT8} and "Round" in kinds


def test_opset_21_keeps_blocks_in_4_bits(ternary, tmp_path):
    sub8.export(ternary, "onnx-opset21", tmp_path / "out.onnx", threads=1)
    model = onnx.load(tmp_path / "out.onnx")
    assert ("", 21) in [(entry.domain, entry.version) for entry in model.opset_import]
    stored = {tensor.data_type for tensor in model.graph.initializer}
    assert onnx.TensorProto.INT4 in stored and onnx.TensorProto.INT2 not in stored
    session = sub8.Session(tmp_path / "out.onnx", threads=1)
    x = _images(3, 2)
    assert np.array_equal(session.run(x), ternary.session(threads=1).run(x))


@pytest.mark.parametrize("seed", range(40, 52))
def test_random_networks_keep_their_numbers(seed):
    """Every exact target, with ONNX Runtime's optimisation off and, without islands, on."""
    network = sample(seed)
    try:
        written = sub8.quantize(network.model, network.inputs, network.recipe, threads=1)
    except Sub8Error:
        pytest.skip("is refused")
    plan = compile_plan(written.model)
    tensors = run_tensors(plan, network.inputs)
    if not float32_is_exact(plan, tensors):
        pytest.skip("float32 is not exact")
    for target in EXACT:
        form = target.rewrite(written.model, []).model
        for optimise in target.optimisations:
            if optimise and plan.islands():
                continue
            got = OnnxRuntime(form, threads=1, optimise=optimise).run_all(network.inputs)
            for name in plan.outputs:
                assert np.array_equal(got[name], tensors[name].values, equal_nan=True), target.name


def test_the_model_is_left_as_it_is(ternary):
    before = ir.to_proto(ternary.model).SerializeToString()
    for target in EXACT:
        target.rewrite(ternary.model, [])
    assert ir.to_proto(ternary.model).SerializeToString() == before


def test_a_form_with_other_numbers_is_not_written(ternary, tmp_path, monkeypatch):
    """An exact target that is wrong in one weight is found before an old file is replaced."""
    from sub8.targets import plain

    right = plain._term

    def wrong(writer, node, name, term, transposed):
        values = term.values.copy()
        values.flat[np.flatnonzero(values)[0]] = 0
        changed = type(term)(
            term.kind, values, term.alpha, term.exponent, term.cluster, term.channel_scale
        )
        return right(writer, node, name, changed, transposed)

    monkeypatch.setattr(plain, "_term", wrong)
    path = tmp_path / "out.onnx"
    path.write_bytes(b"old")
    with pytest.raises(InputError, match=r"is not written: .* differ from the engine's"):
        sub8.export(ternary, "onnx-plain", path, data=_images(8, 1), threads=1)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_exported_is_told_in_a_line(ternary, tmp_path):
    with pytest.raises(InputError, match="target 'tflite' must be one of onnx, onnx-opset21"):
        sub8.export(ternary, "tflite", tmp_path / "out.onnx")
    with pytest.raises(InputError, match="a float model; export takes quantised ones"):
        sub8.export(small_network(), "onnx-plain", tmp_path / "out.onnx")
    assert not list(tmp_path.iterdir())


def test_installed_runtimes_are_run_and_compared(ternary, tmp_path):
    path = tmp_path / "out.onnx"
    result = sub8.export(ternary, "onnx-plain", path, data=_images(2), check=True, threads=1)
    found = {check.runtime: check for check in result.runtimes}
    assert {"onnxruntime", "onnxruntime, not optimised", "onnx reference"} <= set(found)
    for check in found.values():
        assert check.error is None and check.elements == 12
        assert check.milliseconds > 0 and check.ratio > 0
    assert all(found[name].differing == 0 for name in found if name.startswith("onnx"))


def test_a_runtime_that_cannot_load_the_file_says_why(tmp_path):
    from sub8.targets.check import check_runtimes

    (tmp_path / "broken.onnx").write_bytes(b"no model")
    for check in check_runtimes(tmp_path / "broken.onnx", {"x": _images(1)}, []):
        assert check.error and "\n" not in check.error
    with pytest.raises(InputError, match="does not start"):
        check_runtimes(tmp_path / "broken.onnx", {}, [], pythons=[str(tmp_path / "python")])


def test_openvinos_own_files(ternary, tmp_path):
    """Also of numbers that lie as close to halves of the input's steps as floats can."""
    pytest.importorskip("openvino")
    path, x = tmp_path / "out.xml", _images(6, 3)
    halves = np.float32(np.arange(x.size).reshape(x.shape) % 99 - 49.5) * np.float32(2.0**-6)
    x[:3] = np.nextafter(halves, np.float32(0))[:3]
    result = sub8.export(ternary, "openvino", path, data=x, check=True, threads=1)
    assert result.differing == 0
    assert sorted(tmp_path.iterdir()) == [tmp_path / "out.bin", path]
    assert result.bytes == sum(file.stat().st_size for file in tmp_path.iterdir())
    (check,) = result.runtimes
    assert check.runtime == "openvino" and check.error is None and check.differing == 0


def test_openvinos_files_have_their_ending(ternary, tmp_path):
    pytest.importorskip("openvino")
    with pytest.raises(InputError, match=r"ends in \.xml"):
        sub8.export(ternary, "openvino", tmp_path / "out.onnx")
    assert not list(tmp_path.iterdir())


def test_a_missing_converter_is_told(ternary, tmp_path, monkeypatch):
    from sub8.targets import openvino_ir

    monkeypatch.setattr(openvino_ir.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="the target 'openvino' needs the package 'openvino'; pip"):
        sub8.export(ternary, "openvino", tmp_path / "out.xml")


def test_files_that_their_runtime_computes_otherwise_are_not_written(
    ternary, tmp_path, monkeypatch
):
    pytest.importorskip("openvino")
    from sub8.verbs import export

    def other(path, inputs, expected, **options):
        found = check_runtimes(path, inputs, [part + 1 for part in expected], **options)
        assert found
        return found

    check_runtimes = export.check_runtimes
    monkeypatch.setattr(export, "check_runtimes", other)
    with pytest.raises(InputError, match="differ from the engine's in openvino"):
        sub8.export(ternary, "openvino", tmp_path / "out.xml", threads=1)
    assert not list(tmp_path.iterdir())
