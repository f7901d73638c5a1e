"""Calibration data that float32 sums, 8 bits or a mean cannot take as they come."""

import json
import warnings

import numpy as np
import onnx_ir as ir
import pytest

from sub8.cli.main import main
from sub8.errors import InputError, Sub8Warning
from sub8.oracle import OnnxRuntime
from sub8.ptq.correct import ChannelMoments
from sub8.recipe import Dfp8, Int8, Recipe
from sub8.verbs.quantize import quantize

RNG = np.random.default_rng(5)
W = (RNG.normal(size=(8, 3, 3, 3)) * 0.27).astype(np.float32)
V = (RNG.normal(size=(8, 8, 3, 3)) * 0.16).astype(np.float32)
U = (RNG.normal(size=(4, 8, 1, 1)) * 0.5).astype(np.float32)
BODY = "a = Conv(x, w) r = Relu(a) b = Conv(r, v) s = Relu(b) y = Conv(s, u)"


@pytest.fixture(scope="module")
def three_layers(net):
    return net(BODY, x="b,3,9,9", w=W, v=V, u=U)


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(6).normal(size=(16, 3, 9, 9)).astype(np.float32)


def decibels(model: ir.Model, x: np.ndarray, recipe: Recipe, shown: np.ndarray) -> float:
    """Of the engine on ``shown``, which must equal ONNX Runtime's result."""
    quantised = quantize(model, x, recipe, threads=1)
    file = ir.to_proto(quantised.model).SerializeToString()
    got = quantised.session(threads=1).run(shown)
    np.testing.assert_array_equal(got, OnnxRuntime(file, threads=1, optimise=False).run(shown))
    real = OnnxRuntime(ir.to_proto(model).SerializeToString(), threads=1).run(shown)
    error = (real - got).astype(np.float64)
    return 10 * np.log10(np.sum(real.astype(np.float64) ** 2) / np.sum(error**2))


@pytest.mark.parametrize("exponent", ["static", "dynamic"])
@pytest.mark.parametrize("method", ["hessian", "optimal"])
@pytest.mark.parametrize("scale", [1e18, 1e-10, 1e-30])
def test_activations_of_any_size(three_layers, noise, scale, method, exponent):
    x = noise * np.float32(scale)
    recipe = Recipe(weights=Int8(), method=method, activations=Dfp8(exponent=exponent))
    assert decibels(three_layers, x, recipe, x) > 30


@pytest.mark.parametrize("size", [1e-20, 1e15])
def test_weights_of_any_size(net, noise, size):
    model = net(BODY, x="b,3,9,9", w=W * np.float32(size), v=V, u=U)
    assert decibels(model, noise, Recipe(weights=Int8()), noise) > 30


@pytest.mark.parametrize("value", [-9999, 3e38])
def test_an_image_with_a_value_that_dwarfs_all_is_left_out(three_layers, noise, value):
    x = noise.copy()
    x[3, 1, 4, 4] = value
    with pytest.warns(Sub8Warning, match="left out 1 of 16 images, the first row 3"):
        assert decibels(three_layers, x, Recipe(weights=Int8()), np.delete(x, 3, 0)) > 30


def test_values_that_dwarf_the_rest_of_every_image_are_told(three_layers, noise):
    x = noise.copy()
    x[:, 1, 4, 4] = -9999
    with pytest.warns(Sub8Warning, match="input 'x' holds values up to 1e[+]04 where 95 %"):
        quantize(three_layers, x, Recipe(weights=Int8()), threads=1)


@pytest.mark.parametrize("mean", [1e3, 3e4, 1e7])
def test_nearly_constant_inputs(net, noise, mean):
    model = net("y = Conv(x, w)", x="b,3,9,9", w=W)
    x = (noise + mean).astype(np.float32)
    assert decibels(model, x, Recipe(weights=Int8()), x) > 50


def test_nearly_constant_hidden_channels(net, noise):
    bias = np.linspace(37, 90, 8, dtype=np.float32)
    model = net(
        "a = Conv(x, w, c) r = Relu(a) y = Conv(r, v)",
        x="b,3,9,9",
        w=W * np.float32(0.01),
        c=bias,
        v=V,
    )
    assert decibels(model, noise, Recipe(weights=Int8()), noise) > 50


@pytest.mark.parametrize(("mean", "spread"), [(0, 1), (3e4, 1), (1e7, 3), (0, 1e18), (0, 1e-30)])
def test_variances_of_streamed_channels(mean, spread):
    batches = (RNG.normal(size=(3, 4, 2, 50)) * spread + mean).astype(np.float32)
    moments = ChannelMoments(1)
    for batch in batches:
        moments.add(batch[..., None])
    whole = batches.transpose(2, 0, 1, 3).reshape(2, -1).astype(np.float64)
    np.testing.assert_allclose(moments.mean, whole.mean(1), rtol=1e-5, atol=1e-5 * spread)
    np.testing.assert_allclose(moments.variance, whole.var(1), rtol=3e-3)


def test_constant_channels_have_no_variance():
    moments = ChannelMoments(1)
    for _ in range(3):
        moments.add(np.full((2, 1, 7, 7), 0.1, np.float32))
    assert moments.variance == 0


def test_layers_of_much_noise_are_told(net, noise, tmp_path, capsys):
    model = net(BODY, x="b,3,9,9", w=W, v=V, u=U)
    x = noise * np.float32(1e-38)
    with pytest.warns(Sub8Warning, match="3 of 3 layers reach less than 20 dB.*least '"):
        quantize(model, x, Recipe(weights=Int8()), threads=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantize(model, noise, Recipe(weights=Int8()), threads=1)
    ir.save(model, tmp_path / "f.onnx")
    np.save(tmp_path / "c.npy", x)
    args = ["quantize", "f.onnx", "-c", "c.npy", "-o", "q.onnx", "--weights", "int8", "--json"]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as left:
        patch.chdir(tmp_path)
        patch.setattr("sys.argv", ["sub8", *args])
        main()
    assert left.value.code == 0
    shown = capsys.readouterr()
    (line,) = json.loads(shown.out)["warnings"]
    assert line.startswith("3 of 3 layers reach less than 20 dB") and line in shown.err


def test_a_bias_far_above_its_layer(net, noise):
    bias = np.array([3e37, -2e37, 1e37, 1], np.float32)
    model = net("a = Conv(x, w) r = Relu(a) y = Conv(r, u, b)", x="b,3,9,9", w=W, u=U, b=bias)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Sub8Warning)
        quantised = quantize(model, noise, Recipe(weights=Int8()), threads=1)
    file = ir.to_proto(quantised.model).SerializeToString()
    got = quantised.session(threads=1).run(noise)
    np.testing.assert_array_equal(got, OnnxRuntime(file, threads=1, optimise=False).run(noise))


def test_sums_past_float32_that_a_limit_hides(net, noise):
    model = net(
        "a = Conv(x, w) r = Clip(a, l, h) y = Conv(r, u)",
        x="b,3,9,9",
        w=(np.abs(W) * np.float32(1e38)),
        u=U,
        l=np.float32(0),
        h=np.float32(6),
    )
    model.graph[0].name = "first"
    with pytest.raises(InputError, match="'first': its result is infinite"):
        quantize(model, np.abs(noise) * np.float32(100), Recipe(weights=Int8()), threads=1)
