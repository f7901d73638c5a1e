"""Layers of few outputs, of which several positions of a row are made at once."""

import numpy as np
import pytest
from layer_cases import KINDS, Case, Layer, Requantization

from sub8.engine.description import records
from sub8.native import _core

ISAS = _core.supported_isas()
# Widths of results that 2, 3, 4 and more divide, and one that nothing does.
CASES = [
    Case(inputs=8, outputs=8, kernel=(3, 13), size=(5, 36), pads=(1, 6, 1, 6), kinds=("int8",)),
    Case(inputs=5, outputs=1, kernel=(5, 5), size=(7, 48), pads=(2, 2, 2, 2), kinds=("int8",)),
    Case(inputs=3, outputs=7, kernel=(3, 3), size=(9, 25), pads=(1, 1, 1, 1), strides=(2, 2),
         clusters=(3,), is_signed=True, zero_point=-3),
    Case(inputs=4, outputs=5, kernel=(1, 4), size=(3, 20), strides=(1, 3), batch=2),
    Case(inputs=16, outputs=3, kernel=(3, 3), size=(6, 14), pads=(0, 1, 2, 1),
         kinds=("int4", "ternary"), clusters=(4, 8), shifts=(3, 0), largest_alpha=20,
         zero_point=7),
    Case(inputs=8, outputs=4, kernel=(3, 3), size=(6, 14), dilations=(1, 2)),
    Case(inputs=8, outputs=8, kernel=(3, 3), size=(5, 15)),
]  # fmt: skip


def test_all_formats_are_among_them() -> None:
    assert {kind for case in CASES for kind in case.kinds} == set(KINDS)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("case", CASES)
def test_every_kind_of_result(isa: str, case: Case) -> None:
    layer = Layer(case)
    random = np.random.default_rng(1)
    outputs, accumulators = case.outputs, layer.accumulators
    np.testing.assert_array_equal(layer.raw(isa, threads=2), accumulators)

    scale = random.uniform(0.1, 2.0, outputs).astype(np.float32)
    offset = random.integers(-999, 999, outputs)
    real = layer.run(isa, records.ToFloat(3, offset, scale), np.float32)
    expected = (accumulators * 3 + offset).astype(np.float32) * scale
    np.testing.assert_array_equal(real, expected)

    residual = random.integers(0, 255, accumulators.shape, endpoint=True).astype(np.uint8)
    for table in (None, (256,), (outputs, 256)):
        entries = None if table is None else random.integers(0, 256, table).astype(np.uint8)
        requantization = Requantization(
            random.integers(1, 99, outputs), offset, 5000, shift=12, zero_point=9, table=entries
        )
        result = layer.run(isa, requantization.native(), np.uint8, residual)
        np.testing.assert_array_equal(result, requantization.apply(accumulators, residual))
