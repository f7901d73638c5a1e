"""Native convolutions equal exact integer arithmetic, to the bit, on every instruction set of this
CPU.
"""

import itertools
from typing import Any

import numpy as np
import pytest
from layer_cases import KINDS, Case, Layer, packed_weights

from sub8.native import _core
from sub8.numerics.cluster import ClusteredWeight

ISAS = _core.supported_isas()


def check(case: Case, isa: str, threads: int = 1) -> None:
    layer = Layer(case)
    np.testing.assert_array_equal(layer.raw(isa, threads), layer.accumulators)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cluster", [1, 2, 3, 4, 5, 6, 8, 16, 64, 1000])
def test_every_cluster_size_on_odd_channels(isa: str, kind: str, cluster: int) -> None:
    for inputs, kernel in itertools.product((1, 2, 3, 4, 7, 8, 31, 96, 130), ((1, 1), (3, 3))):
        pads = (1, 1, 1, 1) if kernel == (3, 3) else (0, 0, 0, 0)
        case = Case(
            inputs=inputs, outputs=19, kernel=kernel, size=(4, 5), pads=pads, kinds=(kind,),
            clusters=(cluster,), seed=cluster,
        )  # fmt: skip
        check(case, isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("outputs", [1, 7, 8, 15, 16, 17, 31, 32, 33, 70])
def test_every_remainder_of_outputs(isa: str, outputs: int) -> None:
    for kind, cluster in (("ternary", 4), ("ternary", 64), ("int4", 16), ("int8", 128)):
        check(
            Case(inputs=128, outputs=outputs, kinds=(kind,), clusters=(cluster,), seed=outputs), isa
        )


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("positions", range(1, 30))
def test_every_remainder_of_positions(isa: str, positions: int) -> None:
    for kind, cluster in (("ternary", 4), ("ternary", 64), ("int4", 64), ("int8", 64)):
        case = Case(inputs=64, outputs=16, size=(1, positions), kinds=(kind,), clusters=(cluster,))
        check(case, isa)
        case = Case(
            inputs=8, outputs=16, size=(3, positions), kernel=(3, 3), pads=(1, 1, 1, 1),
            kinds=(kind,),
            clusters=(cluster,),
        )  # fmt: skip
        check(case, isa)


GEOMETRIES: dict[str, dict[str, Any]] = {
    "stride 2": dict(kernel=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1)),
    "stride 2 of 1x1": dict(strides=(2, 2)),
    "stride 3, 1": dict(kernel=(2, 5), strides=(3, 1), pads=(0, 2, 1, 2)),
    "stride wider than kernel": dict(kernel=(2, 2), strides=(3, 4)),
    "dilation": dict(kernel=(3, 3), dilations=(2, 3), pads=(2, 3, 2, 3)),
    "dilation and stride": dict(kernel=(3, 3), dilations=(3, 2), strides=(2, 3), pads=(3, 1, 2, 4)),
    "asymmetric padding": dict(kernel=(4, 3), pads=(0, 2, 3, 1)),
    "padding beyond the input": dict(kernel=(7, 7), size=(3, 2), pads=(6, 6, 6, 6)),
    "padded 1x1": dict(pads=(2, 1, 0, 3)),
    "one row": dict(kernel=(1, 3), size=(1, 40), pads=(0, 1, 0, 1)),
    "one column": dict(kernel=(3, 1), size=(40, 1), pads=(1, 0, 1, 0)),
    "batch": dict(kernel=(3, 3), batch=3, pads=(1, 1, 1, 1)),
    "batch of 1x1": dict(batch=5, strides=(1, 2)),
}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", GEOMETRIES)
def test_geometry(isa: str, name: str) -> None:
    sizes = dict(size=(13, 18)) | GEOMETRIES[name]
    for inputs, (kind, cluster) in itertools.product(
        (3, 8, 24), (("ternary", 4), ("ternary", 1000), ("int4", 8), ("int8", 1000))
    ):
        for is_signed, zero_point in ((False, 0), (True, 0), (False, 100), (True, -7)):
            case = Case(
                inputs=inputs, outputs=18, kinds=(kind,), clusters=(cluster,), is_signed=is_signed,
                zero_point=zero_point, **sizes,
            )  # fmt: skip
            check(case, isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("kind", KINDS)
def test_largest_sums_stay_exact(isa: str, kind: str) -> None:
    for cluster, inputs in itertools.product((1, 4, 64, 256, 1000), (256, 576)):
        for is_signed in (False, True):
            case = Case(
                inputs=inputs, outputs=16, kernel=(3, 3), size=(3, 4), kinds=(kind,),
                clusters=(cluster,),
                extremes=True, is_signed=is_signed,
            )  # fmt: skip
            check(case, isa)


@pytest.mark.parametrize("isa", ISAS)
def test_several_terms(isa: str) -> None:
    for kinds, clusters, shifts in (
        (("ternary", "ternary"), (4, 4), (0, 3)),
        (("ternary", "ternary"), (4, 64), (1, 0)),
        (("int4", "ternary", "int8"), (16, 1, 1000), (5, 0, 2)),
        (("ternary", "ternary"), (8, 8), (0, 0)),
        (("int8", "int8"), (1000, 1000), (0, 5)),
    ):
        for kernel, pads in (((1, 1), (0, 0, 0, 0)), ((3, 3), (1, 1, 1, 1))):
            for is_signed in (False, True):
                case = Case(
                    inputs=64, outputs=20, kernel=kernel, pads=pads, kinds=kinds, clusters=clusters,
                    shifts=shifts, is_signed=is_signed,
                )  # fmt: skip
                check(case, isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("channels", [2, 8, 16, 31, 32, 33, 40, 64, 96, 144])
def test_depthwise(isa: str, channels: int) -> None:
    for kernel, strides, kind in itertools.product(
        ((3, 3), (5, 5), (2, 1), (7, 7)), ((1, 1), (2, 2)), KINDS
    ):
        pads = (kernel[0] // 2, kernel[1] // 2, kernel[0] // 2, kernel[1] // 2)
        for is_signed, zero_point in ((False, 0), (True, 0), (False, 9)):
            case = Case(
                inputs=channels, outputs=channels, groups=channels, kernel=kernel, strides=strides,
                pads=pads,
                size=(6, 23), kinds=(kind,), clusters=(1,), is_signed=is_signed,
                zero_point=zero_point, batch=2,
            )  # fmt: skip
            check(case, isa)


@pytest.mark.parametrize("isa", ISAS)
def test_depthwise_at_the_ends_of_the_ranges(isa: str) -> None:
    for kernel in ((3, 3), (5, 5), (9, 9)):
        case = Case(
            inputs=48, outputs=48, groups=48, kernel=kernel, size=(12, 12), kinds=("int8", "int8"),
            clusters=(1, 1),
            shifts=(0, 1), extremes=True,
        )  # fmt: skip
        check(case, isa)


@pytest.mark.parametrize("isa", ISAS)
def test_groups(isa: str) -> None:
    for groups, inputs, outputs in ((2, 8, 6), (4, 64, 64), (3, 9, 60), (8, 8, 24), (5, 5, 10)):
        for kind, cluster in (("ternary", 4), ("int8", 1000), ("int4", 2)):
            for kernel, strides in (((1, 1), (1, 1)), ((3, 3), (2, 1))):
                case = Case(
                    inputs=inputs, outputs=outputs, groups=groups, kernel=kernel, strides=strides,
                    kinds=(kind,), clusters=(cluster,), is_signed=True,
                )  # fmt: skip
                check(case, isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_share_the_work(isa: str, threads: int) -> None:
    for case in (
        Case(inputs=64, outputs=100, size=(7, 7)),
        Case(inputs=64, outputs=5, size=(40, 40), kernel=(3, 3), pads=(1, 1, 1, 1)),
        Case(inputs=512, outputs=300, size=(1, 1), clusters=(64,)),
        Case(inputs=40, outputs=40, groups=40, clusters=(1,), kernel=(3, 3), pads=(1, 1, 1, 1)),
        Case(inputs=8, outputs=64, groups=4, clusters=(2,)),
    ):
        check(case, isa, threads)


@pytest.mark.parametrize("isa", ISAS)
def test_many_chunks_and_blocks(isa: str) -> None:
    for kind, cluster in (("ternary", 4), ("ternary", 64), ("int4", 64), ("int8", 1000)):
        check(Case(inputs=2048, outputs=24, size=(9, 9), kinds=(kind,), clusters=(cluster,)), isa)
        check(
            Case(
                inputs=128, outputs=24, size=(40, 60), kernel=(3, 3), pads=(1, 1, 1, 1),
                kinds=(kind,),
                clusters=(cluster,),
            ),
            isa,
        )  # fmt: skip


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("inputs", [8, 20, 24, 32, 44, 68])
def test_one_row_with_runs_of_few_steps(isa: str, inputs: int) -> None:
    """Stored vectors hold two steps, and runs begin at either: of 20 channels with N = 12 the
    second run does.
    """
    for cluster, extremes in itertools.product((1, 4, 8, 12, 24), (False, True)):
        case = Case(inputs=inputs, outputs=40, size=(1, 1), clusters=(cluster,), extremes=extremes)
        check(case, isa)


@pytest.mark.parametrize("isa", ISAS)
def test_ternary_weights_stay_two_bits_wide(isa: str) -> None:
    packed = Layer(
        Case(inputs=256, outputs=64, kernel=(3, 3), pads=(1, 1, 1, 1), clusters=(64,))
    ).packed(isa)
    weights = 256 * 64 * 9
    assert packed.bytes <= weights / 4 * 1.1


def test_weights_that_could_overflow_are_refused() -> None:
    values = np.full((16, 600, 1, 1), 127, np.int8)
    term = ClusteredWeight("int8", values, np.full((16, 1), 255, np.uint8), 0, 600)
    with pytest.raises(ValueError, match="int32"):
        packed_weights(ISAS[0], [term])
