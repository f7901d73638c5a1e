"""The calibration's idea of the quantised network against the artifact in ONNX Runtime."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from inputs_of import calibrated

from sub8.graph.groups import find_groups
from sub8.graph.inference import infer_shapes
from sub8.graph.qdq import write_qdq
from sub8.oracle import OnnxRuntime
from sub8.progress import Work
from sub8.ptq.activation_cache import ActivationCache
from sub8.ptq.calibration_pass import calibration_pass
from sub8.ptq.correct import channel_means
from sub8.ptq.integer_limits import EXACT_MAGNITUDE, fits_int32
from sub8.ptq.quantiser import LayerQuantiser
from sub8.recipe import Dfp8, Int4, Int8, Recipe, Ternary

RECIPES = {
    "ternary": Recipe(weights=Ternary(3), method="hessian"),
    "corrected": Recipe(weights=Ternary(4), method="hessian"),
    "int4": Recipe(weights=Int4(4), method="hessian"),
    "int8": Recipe(weights=Int8()),
    "paper": Recipe(weights=Ternary(4), method="paper"),
    "uncorrected": Recipe(weights=Ternary(4), correct_statistics=False, method="hessian"),
    "dynamic": Recipe(weights=Ternary(4), activations=Dfp8(exponent="dynamic")),
}


def run(model: ir.Model, x: np.ndarray, names: list[str]) -> list[np.ndarray]:
    copy = model.clone()
    values = {value.name: value for node in copy.graph for value in node.outputs}
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(values[name] for name in names)
    for value in copy.graph.outputs:
        value.dtype = value.dtype or ir.DataType.FLOAT
    session = OnnxRuntime(ir.to_proto(copy).SerializeToString(), threads=1, optimise=False)
    return [session.run_all({"x": x})[name] for name in names]


@pytest.mark.parametrize("recipe", RECIPES)
def test_quantised_stream_is_what_the_artifact_computes(network, images, recipe):
    batches = [images[:16], images[16:]]
    floats = calibrated(network, batches, RECIPES[recipe].activations)
    seen = {}

    def visit(layer):
        seen[layer.group.inputs[0]] = np.concatenate(list(layer.inputs()))
        return LayerQuantiser(RECIPES[recipe])(layer)

    solved = calibration_pass(floats, visit, work=Work(threads=1))
    artifact = write_qdq(network, solved.layers, floats.formats, {})
    names = {name: f"{name}.real" for name in seen}
    for name, value in zip(names, run(artifact, images, list(names.values())), strict=True):
        np.testing.assert_array_equal(seen[name], value, err_msg=name)
    assert set(solved.signal_to_noise) == set(solved.layers)


@pytest.mark.parametrize("recipe", ["ternary", "int4", "int8"])
def test_accumulators_are_exact_in_float_and_int32(network, images, recipe):
    def visit(layer):
        chosen = LayerQuantiser(RECIPES[recipe])(layer)
        unit = layer.input_format.scale * 2.0 ** chosen.terms[0].exponent
        assert chosen.bias_exponent == np.log2(unit)
        product = layer.accumulators(chosen.terms[0].dequantize())[0]
        assert np.abs(product).max() / unit < 2 * EXACT_MAGNITUDE
        np.testing.assert_array_equal(product / unit, np.rint(product / unit))
        assert fits_int32(
            chosen.terms, np.ldexp(chosen.bias * 1.0, chosen.bias_exponent), layer.input_format
        )
        return chosen

    calibration_pass(calibrated(network, [images]), visit, work=Work(threads=1))


@pytest.mark.parametrize("recipe", ["ternary", "int8"])
def test_corrected_channels_have_the_float_models_mean(network, images, recipe):
    def visit(layer):
        chosen = LayerQuantiser(RECIPES[recipe])(layer)
        bias = np.ldexp(chosen.bias * 1.0, chosen.bias_exponent)
        means = channel_means(layer.accumulators(chosen.terms[0].dequantize()), layer.channel_axis)
        targets = [
            a if e is None else a + e
            for a, e in zip(layer.float_accumulators, layer.residual_errors(), strict=True)
        ]
        np.testing.assert_allclose(
            means + bias, channel_means(targets, layer.channel_axis), atol=1e-3
        )
        return chosen

    calibration_pass(calibrated(network, [images]), visit, work=Work(threads=1))


def test_correction_brings_the_logits_closer(network, images):
    floats = calibrated(network, [images])
    noise = [
        calibration_pass(
            floats, LayerQuantiser(RECIPES[name]), work=Work(threads=1)
        ).signal_to_noise
        for name in ("corrected", "uncorrected")
    ]
    last = floats.groups[-1].name
    assert noise[0][last] > noise[1][last]


def test_streams_forget_what_nobody_reads_any_more(network):
    groups = find_groups(network)
    streams = ActivationCache(groups)
    for place, group in enumerate(groups):
        for name in group.results:
            streams.put(name, [], [])
        for name in group.inputs:
            streams.drop(name, place)
    assert not streams.float_values and not streams.quantised


def test_an_island_that_reads_nothing_has_a_result_for_every_batch():
    """What no input reaches and no folding computes: large constants, sizes that are found late."""
    random = np.random.default_rng(0)
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 20]> g (float[batch,3,8,8] x) => (float[batch,4,8,8]
        y) {[first] a = Conv(x, v) s = ConstantOfShape(k) e = Softmax(s) m = MatMul(a, e) [last] y =
        Conv(m, w)} """
    )
    for name, value in {
        "v": random.standard_normal((4, 3, 1, 1)).astype(np.float32),
        "w": random.standard_normal((4, 4, 1, 1)).astype(np.float32),
        "k": np.array([1, 4, 8, 8]),
    }.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    model = ir.from_proto(proto)
    infer_shapes(model)
    batches = [random.standard_normal((3, 3, 8, 8)).astype(np.float32) for _ in range(2)]
    floats = calibrated(model, batches)
    assert any(not group.inputs for group in floats.groups)
    solved = calibration_pass(floats, LayerQuantiser(RECIPES["int8"]), work=Work(threads=1))
    assert set(solved.layers) == {"first", "last"}
