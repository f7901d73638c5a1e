"""Results of layers: 8-bit with one rounding, float32 and raw accumulators."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_cases import Case, Layer, Requantization, packed_weights, prepared_layer

from sub8.engine.description import records
from sub8.native import _core
from sub8.numerics.cluster import ClusteredWeight

ISAS = _core.supported_isas()
OUTPUTS = [5, 16, 24, 32, 70]


def layers(outputs: int) -> list[Layer]:
    return [
        Layer(Case(inputs=24, outputs=outputs, size=(6, 11), is_signed=True)),
        Layer(
            Case(
                inputs=outputs,
                outputs=outputs,
                groups=outputs,
                kernel=(3, 3),
                clusters=(1,),
                size=(6, 11),
            )
        ),
    ]


def compare(
    layer: Layer, requantization: Requantization, isa: str, residual: np.ndarray | None = None
) -> None:
    dtype = np.int8 if requantization.low < 0 else np.uint8
    result = layer.run(isa, requantization.native(), dtype, residual)
    np.testing.assert_array_equal(result, requantization.apply(layer.accumulators, residual))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("outputs", OUTPUTS)
def test_powers_of_two(isa: str, outputs: int) -> None:
    random = np.random.default_rng(outputs)
    for layer in layers(outputs):
        bias = random.integers(-(2**13), 2**13, outputs)
        for shift in (0, 1, 5, 12, 15, 16, 20):
            for low, high in ((0, 255), (-128, 127), (0, 96), (-100, 90)):
                compare(
                    layer, Requantization(np.array([1]), bias, shift=shift, low=low, high=high), isa
                )
                for zero_point in (3, 8):
                    compare(
                        layer,
                        Requantization(
                            np.array([4]), 4 * bias, shift=shift + 2, zero_point=zero_point,
                            low=low, high=high,
                        ),
                        isa,
                    )  # fmt: skip


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("outputs", OUTPUTS)
@pytest.mark.parametrize("residual_signed", [False, True])
def test_residual_is_added_before_the_rounding(
    isa: str, outputs: int, residual_signed: bool
) -> None:
    random = np.random.default_rng(outputs)
    for layer in layers(outputs):
        shape = layer.accumulators.shape
        low = -128 if residual_signed else 0
        residual = random.integers(low, low + 255, shape, endpoint=True).astype(
            np.int8 if residual_signed else np.uint8
        )
        bias = random.integers(-(2**10), 2**10, outputs)
        for multiplier, residual_multiplier, shift in (
            (1, 128, 9),
            (2, 1, 8),
            (1, 1, 0),
            (3, 77, 11),
        ):
            for low, high in ((0, 255), (-128, 127)):
                compare(
                    layer,
                    Requantization(
                        np.array([multiplier]), bias, residual_multiplier, shift, low=low,
                        high=high,
                        residual_signed=residual_signed,
                    ),
                    isa, residual,
                )  # fmt: skip


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("outputs", OUTPUTS)
def test_multipliers_per_channel(isa: str, outputs: int) -> None:
    random = np.random.default_rng(outputs)
    for layer in layers(outputs):
        residual = random.integers(0, 255, layer.accumulators.shape, endpoint=True).astype(np.uint8)
        multiplier = random.integers(2**29, 2**31 - 1, outputs)
        for shift in (38, 40, 45, 62):
            offset = random.integers(-(2**52), 2**52, outputs)
            compare(layer, Requantization(multiplier, offset, shift=shift, zero_point=128), isa)
            compare(
                layer,
                Requantization(
                    multiplier, offset, 2**30 + 1, shift, zero_point=-3, low=-128, high=127
                ),
                isa,
                residual,
            )
        compare(layer, Requantization(np.array([2**40]), np.array([0]), shift=48), isa)


def _column(weights: np.ndarray, isa: str) -> "_core.PackedWeights":
    """A product of one input with ``weights [O]``, so that accumulators are what a test wants."""
    values = weights.astype(np.int8).reshape(-1, 1, 1, 1)
    ones = np.ones((len(weights), 1), np.uint8)
    return packed_weights(isa, [ClusteredWeight("int8", values, ones, 0, 1)])


@st.composite
def _wide(draw: st.DrawFn) -> Requantization:
    """Multipliers of up to 31 bits, many of them with ties in reach, and shifts around those of
    32 and 61 bits that vectors take."""
    outputs = draw(st.sampled_from([8, 16, 24, 13]))
    shift = draw(st.sampled_from([31, 32, 33, 40, 45, 52, 53, 54, 60, 61, 62]))
    top = min(31, shift)
    multiplier = st.one_of(
        st.integers(0, 2**31 - 1), st.integers(0, top - 1).map(lambda bits: 1 << bits), st.just(0)
    )
    least = draw(st.integers(max(shift - 16, 0), shift - 1))
    room = 2 ** min(16, max(60 - least, 0))
    halves = st.integers(-room, room)
    offset = st.one_of(st.integers(-(2**60), 2**60), halves.map(lambda half: half << least))
    signed = draw(st.booleans())
    low = draw(st.sampled_from([-128, -100] if signed else [0, 7]))
    return Requantization(
        np.array(draw(st.lists(multiplier, min_size=outputs, max_size=outputs)), np.int64),
        np.array(draw(st.lists(offset, min_size=outputs, max_size=outputs)), np.int64),
        draw(st.one_of(st.just(0), multiplier)),
        shift,
        draw(st.sampled_from([0, 1, 128, -77, 255])),
        low,
        draw(st.sampled_from([127, 90] if signed else [255, 192])),
        draw(st.booleans()),
    )


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=30)
@given(_wide(), st.integers(0, 2**32 - 1))
def test_any_multiplier_is_exact(isa: str, requantization: Requantization, seed: int) -> None:
    random = np.random.default_rng(seed)
    outputs = len(requantization.multiplier)
    weights = random.choice([-127, -1, 0, 1, 127, 64], outputs)
    x = np.arange(256, dtype=np.uint8).reshape(1, 1, 256, 1)
    residual = None
    if requantization.residual_multiplier:
        dtype = np.int8 if requantization.residual_signed else np.uint8
        residual = random.integers(0, 256, (1, 1, 256, outputs)).astype(np.uint8).view(dtype)
    output = np.zeros((1, 1, 256, outputs), np.int8 if requantization.low < 0 else np.uint8)
    layer = prepared_layer(_column(weights, isa), requantization.native())
    _core.Convolution(layer, _core.ConvGeometry(1, (1, 256), (1, 256))).run(x, residual, output)
    accumulators = x.astype(np.int64) * weights.astype(np.int64)
    np.testing.assert_array_equal(output, requantization.apply(accumulators, residual))


def _prelu(slopes: np.ndarray, positive: float) -> np.ndarray:
    """Tables of int8 ``x < 0 ? slope * x : positive * x``, rounded half to even, by the byte."""
    x = np.arange(256).astype(np.uint8).view(np.int8).astype(np.float64)
    bent = np.where(x < 0, slopes[:, None] * x, positive * x)
    return np.clip(np.rint(bent), -128, 127).astype(np.int8).view(np.uint8)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("outputs", OUTPUTS)
def test_a_function_of_the_result(isa: str, outputs: int) -> None:
    random = np.random.default_rng(outputs)
    byte = np.arange(256)
    hard_swish = byte * np.clip(byte / 32 + 3, 0, 6) / 6
    slopes = random.normal(0, 0.3, outputs)
    slopes[0] = 0.5  # many ties
    tables = [
        random.integers(0, 256, 256),
        np.clip(np.rint(hard_swish), 0, 255),
        random.integers(0, 256, (outputs, 256)),  # of each channel, any
        _prelu(slopes, 1.0),
        _prelu(slopes, 0.5),
        _prelu(3 * slopes, 2.0),
    ]
    for layer in layers(outputs):
        bias = random.integers(-(2**10), 2**10, outputs)
        residual = random.integers(0, 255, layer.accumulators.shape, endpoint=True).astype(np.uint8)
        for table in tables:
            for low, high in ((-128, 127), (0, 255)):
                plain = Requantization(
                    np.array([1]), bias, shift=7, low=low, high=high, table=table.astype(np.uint8)
                )
                compare(layer, plain, isa)
                compare(layer, replace(plain, residual_multiplier=128, shift=9), isa, residual)


def test_a_function_of_other_channels_is_refused() -> None:
    layer = Layer(Case(inputs=8, outputs=16))
    for size in (255, 512):
        wrong = Requantization(np.array([1]), np.array([0]), table=np.zeros(size, np.uint8))
        with pytest.raises(ValueError, match="256 bytes"):
            layer.run(ISAS[0], wrong.native(), np.uint8)


@pytest.mark.parametrize("isa", ISAS)
def test_ties_go_to_even(isa: str) -> None:
    weight = np.ones((16, 4, 1, 1), np.int8)
    ones = np.ones((16, 1), np.uint8)
    packed = packed_weights(isa, [ClusteredWeight("ternary", weight, ones, 0, 4)])
    x = np.arange(256, dtype=np.uint8).repeat(4).reshape(1, 1, 256, 4)
    for shift, offset in ((3, 0), (3, -512), (1, 3), (4, -8)):
        requantization = Requantization(
            np.array([1]), np.array([offset]), shift=shift, low=-128, high=127
        )
        geometry = _core.ConvGeometry(1, (1, 256), (1, 256))
        output = np.zeros((1, 1, 256, 16), np.int8)
        layer = prepared_layer(packed, requantization.native())
        _core.Convolution(layer, geometry).run(x, None, output)
        accumulators = (x.astype(np.int64).sum(-1, keepdims=True)).repeat(16, -1)
        np.testing.assert_array_equal(output, requantization.apply(accumulators, None))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("outputs", OUTPUTS)
def test_float_result_is_rounded_once(isa: str, outputs: int) -> None:
    random = np.random.default_rng(outputs)
    for layer in layers(outputs):
        offset = random.integers(-(2**40), 2**40, outputs)
        scale = random.random(outputs).astype(np.float32)
        form = records.ToFloat(multiplier=8, offset=offset, scale=scale)
        expected = (layer.accumulators * 8 + offset).astype(np.float32) * scale
        np.testing.assert_array_equal(layer.run(isa, form, np.float32), expected)


def test_operands_that_do_not_fit_are_refused() -> None:
    layer = Layer(Case(inputs=8, outputs=16))
    with pytest.raises(ValueError, match="multiplier"):
        layer.run(
            ISAS[0], Requantization(np.ones(3, np.int64), np.zeros(1, np.int64)).native(), np.uint8
        )
    convolution = _core.Convolution(
        layer.prepared(ISAS[0], records.RawAccumulators()), layer.case.geometry()
    )
    with pytest.raises(ValueError, match="input"):
        convolution.run(layer.x[:, :2], None, np.zeros(layer.accumulators.shape, np.int32))
