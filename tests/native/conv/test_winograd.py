"""Layers by Winograd's transforms give the exact sums of the direct form, up to the last value that
they can hold.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_cases import (
    KINDS,
    Case,
    Layer,
    Requantization,
    convolve,
    packed_weights,
    prepared_layer,
)  # fmt: skip
from numpy.typing import NDArray

from sub8.engine.description import records
from sub8.native import _core
from sub8.numerics.cluster import ClusteredWeight

pytestmark = pytest.mark.skipif("avx2" not in _core.supported_isas(), reason="transforms need AVX2")
ISAS = [isa for isa in ("avx2", "avxvnni", "avx512vnni") if isa in _core.supported_isas()]


def algorithm(layer: Layer) -> str:
    prepared = layer.prepared("avx2", records.RawAccumulators())
    return _core.Convolution(prepared, layer.case.geometry()).algorithm


def same_padding(inputs: int, size: tuple[int, int], **changes: object) -> Case:
    given: dict = dict(inputs=inputs, outputs=32, kernel=(3, 3), size=size, pads=(1, 1, 1, 1))
    return Case(**(given | changes))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    sizes = st.integers(1, 19)
    is_signed = draw(st.booleans())
    terms = draw(st.integers(1, 2))
    return Case(
        inputs=draw(st.sampled_from([16, 32, 48, 64, 128])),
        outputs=draw(st.integers(1, 70)),
        kernel=(3, 3),
        size=(draw(sizes), draw(sizes)),
        pads=(2, draw(st.integers(0, 2)), draw(st.integers(0, 2)), 2),
        kinds=tuple(draw(st.sampled_from(KINDS)) for _ in range(terms)),
        clusters=tuple(draw(st.sampled_from([2, 4, 8, 12, 16, 64, 1000])) for _ in range(terms)),
        shifts=(draw(st.integers(0, 1)), 0)[-terms:],
        batch=draw(st.integers(1, 3)),
        is_signed=is_signed,
        zero_point=draw(st.integers(-128, 127) if is_signed else st.integers(0, 255)),
        largest_alpha=draw(st.sampled_from([1, 20, 255])),
        extremes=draw(st.booleans()),
        seed=draw(st.integers(0, 1000)),
    )


@settings(max_examples=120)
@given(cases(), st.integers(1, 3))
def test_any_layer_is_exact(case: Case, threads: int) -> None:
    layer = Layer(case)
    for isa in ISAS:
        np.testing.assert_array_equal(layer.raw(isa, threads), layer.accumulators)


def check_form(expected: str, values: NDArray[np.int8], alpha: int, case: Case) -> None:
    """Weights `values` [O, I, 3, 3] in two clusters, so that the transformed weights hold their
    scales.
    """
    outputs, inputs = values.shape[:2]
    scales = np.full((outputs, 2), alpha, np.uint8)
    scales[:, 1] -= 1
    packed = packed_weights("avx2", [ClusteredWeight("int8", values, scales, 0, inputs // 2)])
    layer = prepared_layer(packed, records.RawAccumulators(), zero_point=case.zero_point)
    convolution = _core.Convolution(layer, case.geometry())
    assert convolution.algorithm == expected
    shape = (case.batch, *case.size, inputs)
    # Whatever the random pixels do not reach, the largest ones do.
    random = np.random.default_rng(case.seed).integers(0, 256, shape)
    scaled = values.astype(np.int64) * np.repeat(scales, inputs // 2, 1)[..., None, None]
    for x in (random, np.full(shape, 255)):
        wanted = convolve(x - case.zero_point, scaled, case)
        for threads in (1, 2):  # several images in one share, and one in each
            found = np.zeros((case.batch, *case.out_size, outputs), np.int32)
            convolution.run(x.astype(np.uint8), None, found, threads)
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("form", "largest", "alpha"),
    [("winograd 4x4", 6, 111), ("winograd 2x4", 12, 130), ("winograd 2x2", 16, 227)],
)
def test_every_form_on_every_remainder_of_tiles(form: str, largest: int, alpha: int) -> None:
    for height, width in itertools.product((12, 13, 14, 15), (16, 17, 18, 19)):
        case = same_padding(64, (height, width), outputs=19, batch=2, zero_point=5, seed=width)
        random = np.random.default_rng(height)
        values = random.integers(-largest, largest + 1, (19, 64, 3, 3), np.int8)
        values[0, 0] = largest
        check_form(form, values, alpha, case)


def test_transformed_weights_up_to_the_ends_of_int16() -> None:
    # A point of F(4x4) takes up to 49 times the weights, one of F(2x4) 21 times, one of F(2x2) 9
    # times.
    for largest, alpha, form in (
        (6, 111, "winograd 4x4"),
        (6, 112, "winograd 2x4"),
        (12, 130, "winograd 2x4"),
        (12, 131, "winograd 2x2"),
        (16, 227, "winograd 2x2"),
        (16, 228, "direct"),
    ):
        for sign in (1, -1):
            values = np.zeros((16, 64, 3, 3), np.int8)
            values[:, 3] = sign * largest
            check_form(form, values, alpha, same_padding(64, (32, 32), outputs=16))


def test_sums_up_to_the_last_that_a_form_can_bring_back() -> None:
    # F(4x4) holds sums below 2^25, F(2x4) below 2^27; here they reach 255 * 9 * 32 * (2 alpha - 1)
    # times the weight.
    for weight, alpha, form in (
        (1, 228, "winograd 4x4"),
        (1, 229, "winograd 2x4"),
        (4, 228, "winograd 2x4"),
        (4, 229, "winograd 2x2"),
    ):
        for sign in (1, -1):
            values = np.full((16, 64, 3, 3), sign * weight, np.int8)
            check_form(form, values, alpha, same_padding(64, (32, 32), outputs=16))


def test_weights_of_nine_bits_are_two_terms_of_one_transform() -> None:
    # What uint8 weights with a zero point are, less that: its few largest leave int8.
    random = np.random.default_rng(2)
    values = np.clip(np.rint(random.normal(0, 60, (19, 64, 3, 3))), -254, 254)
    values[0, 0] = 254
    values[1, 0] = -254
    terms = []
    for part in (np.clip(values, -127, 127), values - np.clip(values, -127, 127)):
        ones = np.ones((19, 1), np.uint8)
        terms.append(ClusteredWeight("int8", part.astype(np.int8), ones, 0, 64))
    case = same_padding(64, (13, 18), outputs=19, zero_point=3)
    packed = packed_weights("avx2", terms, (0, 0))
    layer = prepared_layer(packed, records.RawAccumulators(), zero_point=3)
    convolution = _core.Convolution(layer, case.geometry())
    assert convolution.algorithm == "winograd 4x4"
    for x in (random.integers(0, 256, (1, 13, 18, 64)), np.full((1, 13, 18, 64), 255)):
        found = np.zeros((1, *case.out_size, 19), np.int32)
        convolution.run(x.astype(np.uint8), None, found, 1)
        np.testing.assert_array_equal(found, convolve(x - 3, values.astype(np.int64), case))


@st.composite
def stems(draw: st.DrawFn) -> Case:
    """7x7 of stride 2 over an image; images are large enough for transforms to pay."""
    is_signed = draw(st.booleans())
    return Case(
        inputs=draw(st.integers(1, 3)),
        outputs=draw(st.sampled_from([33, 48, 64, 70])),
        kernel=(7, 7),
        strides=(2, 2),
        size=(draw(st.integers(40, 61)), draw(st.integers(40, 61))),
        pads=tuple(draw(st.integers(0, 7)) for _ in range(4)),  # type: ignore[arg-type]
        kinds=("int8",),
        clusters=(1000,),
        batch=draw(st.integers(1, 2)),
        is_signed=is_signed,
        zero_point=draw(st.integers(-128, 127) if is_signed else st.integers(0, 255)),
        extremes=draw(st.booleans()),
        seed=draw(st.integers(0, 1000)),
    )


@settings(max_examples=60)
@given(stems(), st.integers(1, 3))
def test_any_stem_is_exact(case: Case, threads: int) -> None:
    layer = Layer(case)
    for isa in ISAS:
        np.testing.assert_array_equal(layer.raw(isa, threads), layer.accumulators)


@pytest.mark.parametrize("size", [(60, 60), (61, 60), (62, 63), (63, 64), (64, 65), (65, 62)])
@pytest.mark.parametrize("pads", [(3, 3, 3, 3), (2, 3, 3, 2), (0, 6, 5, 1)])
def test_stem_on_every_remainder_of_tiles(
    size: tuple[int, int], pads: tuple[int, int, int, int]
) -> None:
    for extremes in (False, True):
        layer = Layer(
            Case(
                inputs=3, outputs=64, kernel=(7, 7), strides=(2, 2), size=size, pads=pads,
                kinds=("int8",), clusters=(3,), zero_point=100, extremes=extremes,
            )
        )  # fmt: skip
        assert algorithm(layer) == "winograd 3x3"
        np.testing.assert_array_equal(layer.raw("avx2"), layer.accumulators)


def test_layers_without_a_form_stay_direct() -> None:
    for changes in (
        {"strides": (2, 2)},
        {"dilations": (2, 2), "pads": (2, 2, 2, 2)},
        {"kernel": (1, 3), "pads": (0, 1, 0, 1)},
        {"size": (5, 5000)},
        {"inputs": 40},
        {"clusters": (3,)},
        {"groups": 2, "clusters": (16,)},
        {"kernel": (7, 7), "strides": (2, 2), "pads": (3, 3, 3, 3)},
        {"kinds": ("ternary", "ternary"), "clusters": (4, 4), "shifts": (0, 3)},
    ):
        layer = Layer(Case(**(vars(same_padding(64, (16, 16))) | changes)))
        assert algorithm(layer) == "direct", changes
        np.testing.assert_array_equal(layer.raw("avx2"), layer.accumulators)


def test_a_residual_is_added_in_place() -> None:
    layer = Layer(same_padding(64, (15, 18), outputs=40))
    assert algorithm(layer) == "winograd 4x4"
    shape = layer.accumulators.shape
    residual = np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)
    one = np.array([1])
    result = Requantization(one, one << 21, residual_multiplier=1 << 14, shift=15).native()
    given = residual.copy()
    convolution = _core.Convolution(layer.prepared("avx2", result), layer.case.geometry())
    convolution.run(layer.x, given, given, 2)
    direct = layer.run("scalar", result, np.uint8, residual)
    np.testing.assert_array_equal(given, direct)
